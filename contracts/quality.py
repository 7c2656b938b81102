"""Messages about the quality of data: what was checked in a table, and what was found."""

from enum import StrEnum

from pydantic import Field, JsonValue

from contracts.identifiers import RunId, StepId, TenantId
from contracts.message import Event, Part, Query, Reply, Service, Utc

MOST_CHECKS = 200
MOST_SAMPLES = 10


class Severity(StrEnum):
    WARN = "warn"
    FAIL = "fail"


class CheckStatus(StrEnum):
    PASSED = "PASSED"
    FAILED = "FAILED"
    ERROR = "ERROR"
    """The check could not be made."""


class CheckPart(Part):
    """One check and what it found."""

    name: str
    kind: str
    """As Great Expectations calls it, e.g. `expect_column_values_to_not_be_null`."""
    column: str = ""
    severity: Severity
    status: CheckStatus
    observed: str = ""
    expected: str = ""
    row_count: int = Field(default=0, ge=0)
    """Rows looked at."""
    failing_rows: int = Field(default=0, ge=0)
    samples: tuple[dict[str, JsonValue], ...] = Field(default=(), max_length=MOST_SAMPLES)
    """Keys of some failing rows."""
    detail: str = ""


class QualityCheckedV1(Event, type="quality.checked.v1"):
    """All checks that one step made of one table, in one scan."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    step_id: StepId
    table: str
    checked_at: Utc
    checks: tuple[CheckPart, ...] = Field(max_length=MOST_CHECKS)


class SchemaDriftedV1(Event, type="schema.drifted.v1"):
    """What a step was to write has other columns than its table had."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    step_id: StepId
    table: str
    added: tuple[str, ...] = ()
    """Columns that the table did not have."""
    missing: tuple[str, ...] = ()
    """Columns of the table that were not delivered."""
    refused: bool = False
    """Whether the step failed by it; else the table was given what was new."""
    found_at: Utc


class QualityRowPart(Part):
    """One check as it was recorded."""

    check: CheckPart

    run_id: RunId
    step_id: StepId
    attempt: int
    table: str
    checked_at: Utc


class ListQualityV1(Query, type="quality.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    run_id: RunId | None = None
    status: CheckStatus | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)
    from_time: Utc | None = None
    """When absent: 30 days before `to_time`, or before now; of a run, since it began."""
    to_time: Utc | None = None


class QualityListV1(Reply, type="quality.page.v1"):
    """Newest first."""

    tenant_id: TenantId
    checks: tuple[QualityRowPart, ...]
    next_after: str = ""

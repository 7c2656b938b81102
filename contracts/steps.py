"""Messages about the steps of a run."""

from enum import StrEnum

from pydantic import Field

from contracts.identifiers import RunId, StepId, TenantId
from contracts.message import Event, Part, Query, Reply, Service, Utc
from contracts.runs import ErrorPart


class StepStatus(StrEnum):
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class StepStartedV1(Event, type="step.started.v1"):
    tenant_id: TenantId
    run_id: RunId
    attempt: int
    step_id: StepId
    step_type: str
    started_at: Utc


class StepProgressedV1(Event, type="step.progressed.v1"):
    """How far a step has come; said now and then, and lost without harm."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    step_id: StepId
    rows: int = Field(default=0, ge=0)
    bytes: int = Field(default=0, ge=0)
    fraction: float | None = Field(default=None, ge=0, le=1)
    """How much of the work is done, where that can be known."""
    note: str = Field(default="", max_length=200)


class StepCompletedV1(Event, type="step.completed.v1"):
    """A step has ended, well or not."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    step_id: StepId
    step_type: str
    status: StepStatus
    started_at: Utc | None = None
    finished_at: Utc
    duration_ms: int = Field(default=0, ge=0)
    rows: int = Field(default=0, ge=0)
    bytes: int = Field(default=0, ge=0)
    """Bytes that BigQuery billed for."""
    job_ids: tuple[str, ...] = ()
    error: ErrorPart | None = None
    tries: int = Field(default=0, ge=0)
    slot_ms: int = Field(default=0, ge=0)
    """Slot time that BigQuery spent."""


class StepRowPart(Part):
    """A step as its tenant sees it."""

    step_id: StepId
    step_type: str
    attempt: int
    status: StepStatus
    started_at: Utc | None = None
    finished_at: Utc | None = None
    duration_ms: int = 0
    rows: int = 0
    bytes: int = 0
    error: ErrorPart | None = None


class ListStepsV1(Query, type="step.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    run_id: RunId


class StepListV1(Reply, type="step.page.v1"):
    tenant_id: TenantId
    run_id: RunId
    steps: tuple[StepRowPart, ...]

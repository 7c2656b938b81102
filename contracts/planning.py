"""Messages about what a run would do, without doing it."""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from pydantic import Field, JsonValue

from contracts.identifiers import StepId, TenantId
from contracts.message import Part, Query, Reply, Service
from contracts.pipelines import DefinitionPart
from contracts.runs import ErrorPart


class Verdict(StrEnum):
    ALLOWED = "allowed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It cannot be told before the steps that it needs have run."""


class StepPlanPart(Part):
    """What one step would do."""

    step_id: StepId
    step_type: str
    level: int = Field(ge=1)
    """1 for what may begin at once; one more than the highest level of its needs."""
    verdict: Verdict
    sql: str = ""
    """As BigQuery would get it; values are bound as parameters."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    bytes: int = Field(default=0, ge=0)
    price_usd: Decimal = Decimal(0)
    note: str = ""
    error: ErrorPart | None = None


class PlanRunV1(Query, type="run.plan.v1", to=Service.EXECUTOR):
    """Compile every step and have BigQuery estimate it; nothing runs."""

    tenant_id: TenantId
    definition: DefinitionPart
    datasets: tuple[str, ...]
    run_date: date
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    max_bytes_billed: int = Field(default=0, ge=0)
    """0: the executor's own cap is shown."""


class RunPlanV1(Reply, type="run.planned.v1"):
    tenant_id: TenantId
    steps: tuple[StepPlanPart, ...]
    bytes: int = Field(ge=0)
    price_usd: Decimal
    allowed: bool
    """Whether no step would be refused."""

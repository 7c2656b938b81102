"""Messages about runs: admission by the scheduler, attempts by the executor.

The executor reports attempts; the scheduler alone says that a run has ended,
so a run has one end however many attempts report one.
"""

from datetime import date
from enum import StrEnum

from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc
from contracts.pipelines import DefinitionPart
from contracts.templates import TemplateRefPart


class RunStatus(StrEnum):
    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"

    @property
    def is_final(self) -> bool:
        return self not in {RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RUNNING}


class TriggerType(StrEnum):
    API = "api"
    SCHEDULE = "schedule"
    BACKFILL = "backfill"
    RETRY = "retry"


class TriggerPart(Part):
    """How a run came about; recorded, never trusted."""

    type: TriggerType = TriggerType.API
    by: str = ""
    user_id: str = ""


class ErrorPart(Part):
    """Why something failed, phrased for the tenant."""

    code: str
    detail: str
    step_id: str = ""


PLATFORM_FAULTS = frozenset(
    {
        "platform_lost_run",
        "internal_error",
        "bigquery_unavailable",
        "storage_unavailable",
        "credential_unavailable",
    }
)
"""Error codes of runs that failed for no fault of their tenant's: they are not charged."""


class SubmitRunV1(Command, type="run.submit.v1", to=Service.SCHEDULER):
    """The sender picks the run id, so that sending again never makes a second run."""

    tenant_id: TenantId
    run_id: RunId
    config_id: ConfigId
    run_date: date
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    trigger: TriggerPart = TriggerPart()
    priority: int = Field(default=0, ge=-100, le=100)
    template: TemplateRefPart | None = None
    """Run this packaged definition; `config_id` is then only its name."""


class RunRequestedV1(Event, type="run.requested.v1"):
    """Admitted: a slot is taken and an executor may start this attempt."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int = Field(ge=1)
    config_id: ConfigId
    revision: int
    definition: DefinitionPart
    run_date: date
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    trigger: TriggerPart = TriggerPart()
    datasets: tuple[str, ...]
    """The only datasets that steps may read or write."""
    max_bytes_billed: int = Field(ge=0)
    lease_seconds: float = Field(gt=0)
    """Once begun, without a heartbeat for this long, it is given up and the next requested."""
    begin_seconds: float | None = Field(default=None, gt=0, exclude_if=lambda it: it is None)
    """So much later it may still be begun; as long as the lease, unless said."""
    generation: int = Field(default=1, ge=1)
    """Grows when a person asks for the run again; only jobs of one generation are shared."""
    resume_from: str = ""
    """What of an older generation is done again: "" what did not complete, "start" all of it,
    or the id of a step: that step and what follows from it."""
    submitted_at: Utc
    retry_of: RunId | None = None
    """The ended run that this one repeats."""
    retry_of_attempts: int = Field(default=0, ge=0)
    """How many attempts that one had; what they completed need not be done again."""
    reason: str = ""
    """Why this attempt starts now."""


class RunQueuedV1(Event, type="run.queued.v1"):
    """Accepted and charged, waiting for a slot."""

    tenant_id: TenantId
    run_id: RunId
    config_id: ConfigId
    revision: int
    run_date: date
    trigger: TriggerPart = TriggerPart()
    position: int
    reason: str
    submitted_at: Utc


class RunRejectedV1(Event, type="run.rejected.v1"):
    """Refused and not charged."""

    tenant_id: TenantId
    run_id: RunId
    config_id: ConfigId
    run_date: date
    trigger: TriggerPart = TriggerPart()
    code: str
    """E.g. `quota_exceeded`, `config_not_found`, `tenant_suspended`."""
    limit: str = ""
    """With `quota_exceeded`: `daily` or `monthly`."""
    reason: str
    resets_at: Utc | None = None
    submitted_at: Utc


class CancelRunV1(Command, type="run.cancel.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    run_id: RunId
    requested_by: str


class RetryRunV1(Command, type="run.retry.v1", to=Service.SCHEDULER):
    """Repeats an ended run as a new one, with the definition and parameters that it had."""

    tenant_id: TenantId
    run_id: RunId
    """Of the new run; the sender picks it."""
    retry_of: RunId
    start_from: str = Field(default="failed", max_length=100)
    """`failed` keeps completed steps, `start` keeps none, a step's id keeps what it needs not."""
    trigger: TriggerPart = TriggerPart(type=TriggerType.RETRY)


class ExplainRunV1(Query, type="run.explain.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    run_id: RunId


class RunExplainedV1(Reply, type="run.explained.v1"):
    """Why a run waits, or that it does not."""

    tenant_id: TenantId
    run_id: RunId
    status: RunStatus
    blocking_limit: str = ""
    """`concurrent`, `platform` or `suspended`; empty when nothing holds it up."""
    place: int = 0
    """In its tenant's queue, from 1; 0 when it does not wait."""
    waiting: int = 0
    """How many of the tenant's runs wait."""
    running: int = 0
    expected_start_at: Utc | None = None
    """By how long this tenant's runs usually take; absent while nobody can tell."""
    detail: str


class RunCancelRequestedV1(Event, type="run.cancel_requested.v1"):
    """The executor that has this run should stop it and its BigQuery jobs."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    requested_by: str


class RunFinishedV1(Event, type="run.finished.v1"):
    """The one end of a run; its concurrency slot is free again."""

    tenant_id: TenantId
    run_id: RunId
    config_id: ConfigId
    revision: int
    attempt: int
    status: RunStatus
    run_date: date
    trigger: TriggerPart = TriggerPart()
    submitted_at: Utc
    started_at: Utc | None = None
    finished_at: Utc
    error: ErrorPart | None = None
    refunded: bool = False
    """It does not count against the limits of the day on which it was admitted."""
    reason: str = ""
    """Why it ended so."""


class AttemptStartedV1(Event, type="attempt.started.v1"):
    """An executor has claimed this attempt."""

    tenant_id: TenantId
    run_id: RunId
    config_id: ConfigId
    attempt: int
    steps: tuple[str, ...]
    started_at: Utc


class AttemptHeartbeatV1(Event, type="attempt.heartbeat.v1"):
    """The attempt is alive; its lease is extended."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int


class AttemptReturnedV1(Event, type="attempt.returned.v1"):
    """Its executor stops or is full before the attempt has ended: the next may be requested."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int


class AttemptFinishedV1(Event, type="attempt.finished.v1"):
    """What came of one attempt; the scheduler decides what that means for the run."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    status: RunStatus
    started_at: Utc
    finished_at: Utc
    error: ErrorPart | None = None


class RunPart(Part):
    """A run as its tenant sees it."""

    run_id: RunId
    config_id: ConfigId
    revision: int = 0
    status: RunStatus
    attempt: int = 0
    run_date: date
    trigger: TriggerPart = TriggerPart()
    submitted_at: Utc
    started_at: Utc | None = None
    finished_at: Utc | None = None
    error: ErrorPart | None = None


class GetRunV1(Query, type="run.get.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    run_id: RunId


class RunV1(Reply, type="run.v1"):
    """`run` is absent when the tenant has no such run."""

    tenant_id: TenantId
    run: RunPart | None = None


class ListRunsV1(Query, type="run.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    status: RunStatus | None = None
    config_id: ConfigId | None = None
    from_date: date | None = None
    to_date: date | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)


class RunListV1(Reply, type="run.page.v1"):
    tenant_id: TenantId
    runs: tuple[RunPart, ...]
    next_after: str = ""

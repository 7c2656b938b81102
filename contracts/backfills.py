"""Messages about running a pipeline for days that have passed."""

from datetime import date
from enum import StrEnum

from pydantic import Field, JsonValue

from contracts.identifiers import BackfillId, ConfigId, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc


class BackfillOnly(StrEnum):
    MISSING = "missing"
    """Days without a completed run of this pipeline."""
    ALL = "all"


class BackfillStatus(StrEnum):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"

    @property
    def is_final(self) -> bool:
        return self in {BackfillStatus.CANCELLED, BackfillStatus.COMPLETED}


class BackfillAction(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class BackfillPart(Part):
    """A backfill and how far it is."""

    backfill_id: BackfillId
    config_id: ConfigId
    from_date: date
    to_date: date
    only: BackfillOnly
    max_active: int
    status: BackfillStatus
    next_date: date | None = None
    """The next day to look at; absent when all have been."""
    started: int = 0
    completed: int = 0
    failed: int = 0
    created_at: Utc
    ended_at: Utc | None = None


class StartBackfillV1(Command, type="backfill.start.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    backfill_id: BackfillId
    config_id: ConfigId
    from_date: date
    to_date: date
    only: BackfillOnly = BackfillOnly.MISSING
    max_active: int = Field(default=1, ge=1, le=100)
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    dry_run: bool = False
    """Only say what it would cost."""
    requested_by: str


class BackfillPlannedV1(Reply, type="backfill.planned.v1"):
    """What a backfill would cost; nothing was started."""

    tenant_id: TenantId
    config_id: ConfigId
    days: int
    runs: int
    """What it would charge to the quota."""
    left_today: int
    """What today's and this month's quota leave, after what schedules still need."""
    left_this_month: int
    expected_days: int
    """How many days it would take at the daily limit."""


class BackfillStartedV1(Event, type="backfill.started.v1"):
    tenant_id: TenantId
    backfill: BackfillPart
    requested_by: str


class ChangeBackfillV1(Command, type="backfill.change.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    backfill_id: BackfillId
    action: BackfillAction
    requested_by: str


class BackfillChangedV1(Event, type="backfill.changed.v1"):
    """It was paused, resumed or cancelled, or has come to its end."""

    tenant_id: TenantId
    backfill: BackfillPart
    requested_by: str = ""
    """Empty when nobody asked: it has come to its end."""


class ListBackfillsV1(Query, type="backfill.list.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    config_id: ConfigId | None = None
    backfill_id: BackfillId | None = None


class BackfillListV1(Reply, type="backfill.page.v1"):
    tenant_id: TenantId
    backfills: tuple[BackfillPart, ...]

"""What happens to a ledger, as it is written down."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from contracts.backfills import BackfillPart, BackfillStatus
from contracts.identifiers import BackfillId, ConfigId, RunId
from contracts.message import Utc
from contracts.pipelines import ConfigPart
from contracts.runs import RunRequestedV1, RunStatus
from contracts.schedules import SchedulePart
from contracts.tenants import LimitsPart


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class TenantKnown(Fact):
    kind: Literal["tenant_known"] = "tenant_known"
    plan: str
    limits: LimitsPart
    datasets: tuple[str, ...] | None = None


class TenantMay(Fact):
    kind: Literal["tenant_may"] = "tenant_may"
    suspended: bool
    gone: bool = False


class ConfigKept(Fact):
    kind: Literal["config_kept"] = "config_kept"
    config: ConfigPart


class ConfigDropped(Fact):
    kind: Literal["config_dropped"] = "config_dropped"
    config_id: ConfigId
    at: Utc | None = None


class ScheduleKept(Fact):
    kind: Literal["schedule_kept"] = "schedule_kept"
    schedule: SchedulePart
    due_at: Utc | None
    """When it comes next; absent while it is paused."""
    offset_seconds: int = 0
    """How much later than its times it starts."""


class ScheduleDropped(Fact):
    kind: Literal["schedule_dropped"] = "schedule_dropped"
    config_id: ConfigId


class ScheduleAdvanced(Fact):
    """All times before `due_at` have been acted on."""

    kind: Literal["schedule_advanced"] = "schedule_advanced"
    config_id: ConfigId
    last_due_at: Utc
    due_at: Utc | None


class BackfillKept(Fact):
    kind: Literal["backfill_kept"] = "backfill_kept"
    backfill: BackfillPart
    parameters: dict[str, JsonValue]


class BackfillMoved(Fact):
    """A backfill has looked at all days before `next_date`, or has another status."""

    kind: Literal["backfill_moved"] = "backfill_moved"
    backfill_id: BackfillId
    next_date: date | None
    status: BackfillStatus
    at: Utc


class Admitted(Fact):
    """A run is charged, and has a slot or a place in the queue."""

    kind: Literal["admitted"] = "admitted"
    request: RunRequestedV1
    queued: bool
    priority: int
    day: str
    lease_until: Utc
    backfill_id: BackfillId | None = None
    of_template: bool | None = None


class Requested(Fact):
    """A run has a slot for its next attempt."""

    kind: Literal["requested"] = "requested"
    run_id: RunId
    attempt: int
    lease_until: Utc
    place: int | None = None
    """The place of the platform's that it takes; absent when it has one, or needs none."""
    returned: bool = False
    """The attempt before was given back in good order, not lost."""


class PlaceSeen(Fact):
    """A place was offered; a run took it, or it is given back."""

    kind: Literal["place_seen"] = "place_seen"
    number: int


class LeaseExtended(Fact):
    kind: Literal["lease_extended"] = "lease_extended"
    run_id: RunId
    until: Utc
    started_at: Utc | None = None


class CancelAsked(Fact):
    kind: Literal["cancel_asked"] = "cancel_asked"
    run_id: RunId
    by: str = ""


class Ended(Fact):
    kind: Literal["ended"] = "ended"
    run_id: RunId
    status: RunStatus
    refund: bool = False
    at: Utc | None = None
    """By the scheduler's clock; what was written before `took` was, by the executor's."""
    took: float | None = None
    """Seconds of the last attempt, both ends by the executor's clock."""


class Forgotten(Fact):
    """What ended before is no longer remembered."""

    kind: Literal["forgotten"] = "forgotten"
    before: Utc


class Reminded(Fact):
    """The time at which somebody must look at this ledger again."""

    kind: Literal["reminded"] = "reminded"
    at: Utc | None


AnyFact = Annotated[
    TenantKnown
    | TenantMay
    | ConfigKept
    | ConfigDropped
    | ScheduleKept
    | ScheduleDropped
    | ScheduleAdvanced
    | BackfillKept
    | BackfillMoved
    | Admitted
    | Requested
    | PlaceSeen
    | LeaseExtended
    | CancelAsked
    | Ended
    | Forgotten
    | Reminded,
    Field(discriminator="kind"),
]
FACTS: TypeAdapter[Fact] = TypeAdapter(AnyFact)

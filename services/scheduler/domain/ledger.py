"""One tenant's ledger.

Counters are keyed by UTC day and month, so a new period is a new key. A slot is
a lease with an attempt number: a heartbeat extends it, its end requests the next
attempt, and what an older attempt says is not applied.
"""

from datetime import date, datetime, timedelta

from pydantic import Field, JsonValue

from contracts.backfills import BackfillPart, BackfillStatus
from contracts.identifiers import BackfillId, ConfigId, RunId
from contracts.message import Utc
from contracts.pipelines import ConfigPart, RevisionPart
from contracts.runs import RunRequestedV1, RunStatus, TriggerType
from contracts.schedules import SchedulePart
from contracts.tenants import LimitsPart
from services.scheduler.domain.facts import Fact
from services.scheduler.domain.paging import PagedDict

Range = tuple[int, int]
REMEMBERED_RUNS = (5_000, 20_000)


class Lease(Fact):
    """An admitted run that has not ended."""

    request: RunRequestedV1
    day: str
    priority: int = 0
    place: int
    """Order of admission among this tenant's runs."""
    queued: bool
    until: Utc
    started_at: Utc | None = None
    cancelling: bool = False
    cancelled_by: str = ""
    backfill_id: BackfillId | None = None
    platform_place: int | None = None
    """The place of the platform's that it has."""
    returned: int = 0
    """How many of its attempts were given back in good order."""
    unheard: int = 0
    """How many times it was requested again since somebody last said that it goes on."""
    of_template: bool | None = None

    @property
    def lost(self) -> int:
        """How many attempts the platform has lost, should it lose this one."""
        return self.request.attempt - self.returned


class EndedRun(Fact):
    """What is remembered of a run that has ended."""

    status: RunStatus
    config_id: ConfigId
    revision: int
    run_date: date
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    priority: int = 0
    trigger: TriggerType = TriggerType.API
    at: Utc | None = None
    attempts: int = 0
    generation: int = 1
    of_template: bool | None = None
    """Whether it was a template's and not a saved definition's; unknown of older runs."""


class Planned(Fact):
    """A schedule and when it comes next."""

    schedule: SchedulePart
    due_at: Utc | None
    last_due_at: Utc | None = None
    offset_seconds: int = 0
    starts_at: Utc | None = None
    """`due_at` and the offset; looked at more often than anything else."""

    @property
    def offset(self) -> timedelta:
        return timedelta(seconds=self.offset_seconds)

    def due(self, due_at: datetime | None, **more: datetime) -> "Planned":
        """The same schedule, to come at another time."""
        starts = None if due_at is None else due_at + self.offset
        return self.model_copy(update={"due_at": due_at, "starts_at": starts, **more})


class Backfill(Fact):
    about: BackfillPart
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    active: frozenset[RunId] = frozenset()

    @property
    def id(self) -> BackfillId:
        return self.about.backfill_id

    @property
    def is_active(self) -> bool:
        return self.about.status is BackfillStatus.ACTIVE


class Ledger(Fact):
    """One tenant's configs, schedules, counters, slots and queue."""

    known: bool = False
    gone: bool = False
    suspended: bool = False
    plan: str = ""
    limits: LimitsPart = LimitsPart(daily=0, monthly=0, concurrent=0)
    datasets: tuple[str, ...] = ()
    configs: dict[ConfigId, ConfigPart] = Field(default_factory=dict)
    history: dict[ConfigId, tuple[RevisionPart, ...]] = Field(default_factory=dict)
    """The newest last, also of configs that were deleted."""
    schedules: dict[ConfigId, Planned] = Field(default_factory=dict)
    first_due_at: Utc | None = None
    """The first time of all schedules, their jitter included."""
    backfills: dict[BackfillId, Backfill] = Field(default_factory=dict)
    done: dict[ConfigId, tuple[Range, ...]] = Field(default_factory=dict)
    """Days with a completed run, as ranges of ordinals."""
    charged: dict[str, int] = Field(default_factory=dict)
    """Runs by day (2026-01-31) and by month (2026-01)."""
    admitted: int = 0
    runs: dict[RunId, Lease] = Field(default_factory=dict)
    ended: PagedDict[RunId, EndedRun] = Field(default_factory=PagedDict)
    usual_seconds: float | None = None
    """How long a run takes, the latest counting most."""
    last_place: int = 0
    """The last place of the platform's that was offered."""
    changes: int = 0
    """How often this ledger has changed."""
    reminder: Utc | None = None
    """When somebody will look at this ledger again."""
    reminders: int = 0
    """How many there have been: each is a thing of its own."""

    @property
    def running(self) -> list[Lease]:
        return [lease for lease in self.runs.values() if not lease.queued]

    @property
    def free(self) -> int:
        return max(0, self.limits.concurrent - len(self.running))

    @property
    def remembered_runs(self) -> int:
        """How many ended runs are remembered: what the plan allows in four months, within bounds.

        So none is forgotten before its time is over, unless limits are beyond all plans.
        """
        least, most = REMEMBERED_RUNS
        return min(most, max(least, 4 * self.limits.monthly))

    def last_revision(self, config_id: ConfigId) -> int:
        """The last revision ever used; 0 when there was none."""
        history = self.history.get(config_id)
        return history[-1].revision if history else 0

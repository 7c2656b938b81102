"""What a tenant's ledger has said, written down in the plainest way, and judged as it is said.

It knows the messages that came and those that went out, and nothing of the ledger's own.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from contracts.backfills import BackfillChangedV1, BackfillPart, BackfillStartedV1
from contracts.catalogue import entry_of
from contracts.envelope import Wire
from contracts.message import Kind, Message
from contracts.pipelines import ConfigDeletedV1, ConfigSavedV1
from contracts.quota import QuotaReachedV1
from contracts.runs import (
    PLATFORM_FAULTS,
    RunCancelRequestedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    TriggerType,
)
from contracts.schedules import ScheduleDeletedV1, SchedulePart, ScheduleSavedV1
from contracts.tenants import (
    LimitsPart,
    PlanChangedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from services.scheduler.domain import cron
from services.scheduler.domain.deciding import Rules
from tests.scheduler.promises import Promise, keep
from tests.scheduler.reasons import has_known_reason

if TYPE_CHECKING:
    from contracts.identifiers import BackfillId, ConfigId

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
Accepted = RunRequestedV1 | RunQueuedV1


class Book:
    """One tenant's, from the first message on."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.limits = LimitsPart(daily=0, monthly=0, concurrent=0)
        self.suspended = False
        self.configs: set[ConfigId] = set()
        self.schedules: dict[ConfigId, SchedulePart] = {}
        self.backfills: dict[BackfillId, BackfillPart] = {}
        self.accepted: dict[str, Accepted] = {}
        self.charged: Counter[str] = Counter()
        self.days: dict[str, str] = {}
        self.waiting: set[str] = set()
        self.going: dict[str, int] = {}
        """The attempt of each run that goes on."""
        self.ended: dict[str, RunFinishedV1] = {}
        self.refused: list[RunRejectedV1] = []
        self.completed: list[tuple[ConfigId, date]] = []
        self.latest = BEGINNING
        self._day = ""

    def hear(self, message: Message | None, at: datetime) -> None:
        """What the ledger decides on next."""
        self.latest = max(self.latest, at)
        match message:
            case TenantOnboardedV1() | PlanChangedV1():
                self.limits = message.limits
            case TenantSuspendedV1():
                self.suspended = True
            case TenantResumedV1():
                self.suspended = False
            case _:
                pass  # what comes of it is said

    def say(self, wire: Wire) -> None:
        said = entry_of(wire.attributes["ce-type"]).model.decode(wire.data)
        keep(Promise.REASONED, has_known_reason(said) or said.kind is Kind.REPLY, said)
        if (read := _READ.get(type(said))) is not None:
            read(self, said)

    @property
    def now_charged(self) -> dict[str, int]:
        """To the last day that was charged and its month; what is past is in the log."""
        return {key: self.charged[key] for key in (self._day, self._day[:7]) if key}

    def _requested(self, said: RunRequestedV1) -> None:
        run = said.run_id
        keep(Promise.FINAL, run not in self.ended, said)
        if said.attempt > 1:
            keep(Promise.ATTEMPTS, self.going.get(run) == said.attempt - 1, said)
            self.going[run] = said.attempt
            return
        if run not in self.waiting:
            self._accept(said)
        keep(Promise.ATTEMPTS, run not in self.going, said)
        keep(Promise.SUSPENDED, not self.suspended, said)
        self.waiting.discard(run)
        self.going[run] = 1
        keep(Promise.LIMITS, len(self.going) <= self.limits.concurrent, f"concurrent: {self.going}")

    def _queued(self, said: RunQueuedV1) -> None:
        self._accept(said)
        self.waiting.add(said.run_id)
        free = max(0, self.limits.concurrent - len(self.going))
        most = max(self.rules.queue_limit, free if self.rules.max_running else 0)
        keep(Promise.LIMITS, len(self.waiting) <= most, f"queue: {len(self.waiting)}")

    def _accept(self, said: Accepted) -> None:
        run, day = said.run_id, self._day_of(said.submitted_at)
        keep(Promise.ONCE, run not in self.accepted, said)
        keep(Promise.SUSPENDED, not self.suspended, said)
        if said.trigger.type is TriggerType.BACKFILL:
            self._judge_backfill_run(day)
        self.accepted[run] = said
        self._day = self.days[run] = day
        for period, most in self._limits_of(day):
            self.charged[period] += 1
            keep(Promise.LIMITS, self.charged[period] <= most, f"{period}: {self.charged[period]}")

    def _rejected(self, said: RunRejectedV1) -> None:
        self.refused.append(said)
        keep(Promise.ONCE, said.run_id not in self.accepted, said)
        match said.code:
            case "quota_exceeded":
                day = self._day_of(said.submitted_at)
                period, most = self._limits_of(day)[said.limit == "monthly"]
                keep(Promise.JUSTIFIED, self.charged[period] >= most, said)
                keep(Promise.JUSTIFIED, said.resets_at == _end_of(period), said)
            case "queue_full":
                keep(Promise.JUSTIFIED, len(self.waiting) >= self.rules.queue_limit, said)
            case "config_not_found":
                keep(Promise.JUSTIFIED, said.config_id not in self.configs, said)
            case "tenant_suspended":
                keep(Promise.JUSTIFIED, self.suspended, said)
            case _:
                keep(Promise.JUSTIFIED, holds=False, detail=said)

    def _finished(self, said: RunFinishedV1) -> None:
        run = said.run_id
        keep(Promise.FINAL, run in self.accepted and run not in self.ended, said)
        keep(Promise.ATTEMPTS, self.going.get(run, said.attempt) == said.attempt, said)
        self.waiting.discard(run)
        self.going.pop(run, None)
        self.ended[run] = said
        if said.status is RunStatus.COMPLETED:
            self.completed.append((said.config_id, said.run_date))
        code = said.error.code if said.error is not None else ""
        fault = said.status is RunStatus.FAILED and code in PLATFORM_FAULTS
        keep(Promise.CHARGED, said.refunded == fault, said)
        if said.refunded:
            for period, _ in self._limits_of(self.days[run]):
                self.charged[period] -= 1

    def _cancel_requested(self, said: RunCancelRequestedV1) -> None:
        keep(Promise.ATTEMPTS, self.going.get(said.run_id) == said.attempt, said)

    def _reached(self, said: QuotaReachedV1) -> None:
        keep(Promise.CHARGED, self.charged[said.period] == said.used, said)

    def _judge_backfill_run(self, day: str) -> None:
        """Checked before it is charged: what is live comes first."""
        live = [r for r in self.waiting if not self._is_of_backfill(r)]
        keep(Promise.LIVE_FIRST, not live, f"{live} wait")
        scheduled = [one for one in self.schedules.values() if one.enabled]
        kept = 1 if scheduled and self.limits.concurrent > 1 else 0
        taken = len(self.going) + len(self.waiting)
        keep(Promise.LIVE_FIRST, taken + kept < self.limits.concurrent, f"{taken} slots are taken")
        today, month = _needs(scheduled, self.latest, day, self.limits.daily)
        for (period, most), needed in zip(self._limits_of(day), (today, month), strict=True):
            left = most - self.charged[period]
            keep(Promise.LIVE_FIRST, needed < left, f"{period}: {left} left, {needed} needed")

    def _is_of_backfill(self, run: str) -> bool:
        return self.accepted[run].trigger.type is TriggerType.BACKFILL

    def _backfill(self, said: BackfillStartedV1 | BackfillChangedV1) -> None:
        known = self.backfills.get(said.backfill.backfill_id)
        keep(Promise.FINAL, known is None or not known.status.is_final, said)
        self.backfills[said.backfill.backfill_id] = said.backfill

    def _day_of(self, at: datetime) -> str:
        return max(self._day, at.astimezone(UTC).date().isoformat())

    def _limits_of(self, day: str) -> tuple[tuple[str, int], tuple[str, int]]:
        return (day, self.limits.daily), (day[:7], self.limits.monthly)


def _needs(schedules: list[SchedulePart], after: datetime, day: str, daily: int) -> tuple[int, int]:
    """How many runs schedules come to in what is left of a day, and of its month."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    days: Counter[date] = Counter()
    for one in schedules:
        times = _times(one.cron, one.time_zone, day[:7])
        for at in times[max(bisect_right(times, after), bisect_left(times, start)) :]:
            days[at.date()] += 1
    return min(daily, days[start.date()]), sum(min(daily, count) for count in days.values())


@lru_cache(maxsize=256)
def _times(text: str, zone: str, month: str) -> list[datetime]:
    """All of a month."""
    first, end = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC), _end_of(month)
    found: list[datetime] = []
    for at in cron.following(text, zone, first - timedelta(microseconds=1)):
        if at >= end:
            break
        found.append(at)
    return found


def _end_of(period: str) -> datetime:
    """Of a day, as 2026-01-31, or of a month, as 2026-01."""
    if len(period) > len("2026-01"):
        return datetime.fromisoformat(period).replace(tzinfo=UTC) + timedelta(days=1)
    first = datetime.fromisoformat(f"{period}-01").replace(tzinfo=UTC)
    return (first + timedelta(days=32)).replace(day=1)


_READ: dict[type[Message], Callable[[Book, Any], object]] = {
    RunRequestedV1: Book._requested,
    RunQueuedV1: Book._queued,
    RunRejectedV1: Book._rejected,
    RunFinishedV1: Book._finished,
    RunCancelRequestedV1: Book._cancel_requested,
    QuotaReachedV1: Book._reached,
    BackfillStartedV1: Book._backfill,
    BackfillChangedV1: Book._backfill,
    ConfigSavedV1: lambda book, said: book.configs.add(said.config_id),
    ConfigDeletedV1: lambda book, said: book.configs.discard(said.config_id),
    ScheduleSavedV1: lambda book, said: book.schedules.update(
        {said.schedule.config_id: said.schedule}
    ),
    ScheduleDeletedV1: lambda book, said: book.schedules.pop(said.config_id, None),
}

"""What the scheduler promises a tenant, in the plainest words: its ledger is compared with it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from contracts.backfills import BackfillStatus
from contracts.identifiers import BackfillId
from services.scheduler.domain.backfills import MOST_OPEN, PRIORITY, backfill_run_id
from services.scheduler.domain.schedules import scheduled_run_id
from tests.scheduler.platforms import CONFIG, RULES, START, TENANT
from tests.scheduler.timetable import DAY, Timetable

REQUESTED, QUEUED, REJECTED = "run.requested.v1", "run.queued.v1", "run.rejected.v1"
REACHED = "quota.reached.v1"
FINISHED, REFUSED, ASKED = "run.finished.v1", "command.refused.v1", "run.cancel_requested.v1"
SAVED, DELETED = "config.saved.v1", "config.deleted.v1"
PLANNED, UNPLANNED, MISSED = "schedule.saved.v1", "schedule.deleted.v1", "schedule.missed.v1"
ADVANCED = "schedule.advanced.v1"
STARTED, CHANGED = "backfill.started.v1", "backfill.changed.v1"
PATIENCE = (1, 1, 2, 4, *[4] * 100)
"""Leases that a request may wait, by how many in a row nobody took up before it."""


@dataclass
class Fill:
    """A backfill."""

    name: BackfillId
    days: list[date]
    most: int
    created_at: datetime
    status: BackfillStatus = BackfillStatus.ACTIVE
    active: set[str] = field(default_factory=set)


@dataclass
class Run:
    name: str
    priority: int
    asked_at: datetime
    day: str
    fill: Fill | None = None
    attempt: int = 0
    returned: int = 0
    silences: int = 0
    until: datetime = START
    cancelling: bool = False


@dataclass
class Model:
    """One tenant and one definition, which may have a schedule."""

    daily: int
    monthly: int
    concurrent: int
    now: datetime = START
    latest: str = ""
    suspended: bool = False
    saved: bool = True
    charged: dict[str, int] = field(default_factory=dict)
    going: list[Run] = field(default_factory=list)
    line: list[Run] = field(default_factory=list)
    over: dict[str, int] = field(default_factory=dict)
    """The priority of each run that has ended."""
    fills: dict[str, Fill] = field(default_factory=dict)
    table: Timetable | None = None

    def day(self) -> str:
        return max(self.latest, self.now.date().isoformat())

    def find(self, name: str) -> Run | None:
        return next((r for r in self.going + self.line if r.name == name), None)

    def current(self, name: str, attempt: int) -> Run | None:
        run = self.find(name)
        return run if run in self.going and run is not None and run.attempt == attempt else None

    def submit(self, name: str, priority: int) -> list[str]:
        if not self.saved and not self.find(name) and name not in self.over:
            return [REJECTED]
        return self.admit(name, priority)

    def retry(self, name: str, of: str) -> list[str]:
        return self.admit(name, self.over[of]) if of in self.over else [REFUSED]

    def admit(self, name: str, priority: int, fill: Fill | None = None) -> list[str]:
        if self.find(name) or name in self.over:
            return [REFUSED]
        day = self.day()
        waits = len(self.going) >= self.concurrent or bool(self.line)
        full = min(self.left()) <= 0 or (waits and len(self.line) >= RULES.queue_limit)
        if self.suspended or full:
            return [REJECTED]
        self.latest = day
        for key in (day, day[:7]):
            self.charged[key] = self.charged.get(key, 0) + 1
        run = Run(name, priority, self.now, day, fill)
        if fill is not None:
            fill.active.add(name)
        told = [REACHED for key, need in self.worth_telling(day) if self.charged[key] == need]
        if waits:
            self.line.append(run)
            return [QUEUED, *told]
        self.start(run)
        return [REQUESTED, *told]

    def left(self) -> tuple[int, int]:
        day = self.day()
        used, of_month = self.charged.get(day, 0), self.charged.get(day[:7], 0)
        return self.daily - used, self.monthly - of_month

    def worth_telling(self, day: str) -> list[tuple[str, int]]:
        """How many runs are 80 and 100 % of each limit, rounded up."""
        return [
            (key, -(-most * percent // 100))
            for key, most in ((day, self.daily), (day[:7], self.monthly))
            for percent in (80, 100)
        ]

    def start(self, run: Run) -> None:
        run.attempt += 1
        run.until = self.now + timedelta(seconds=RULES.lease_seconds * PATIENCE[run.silences])
        if run not in self.going:
            self.going.append(run)

    def extend(self, run: Run) -> None:
        run.silences = 0
        run.until = self.now + timedelta(seconds=RULES.lease_seconds)

    def order(self) -> list[Run]:
        return sorted(self.line, key=lambda r: r.asked_at - timedelta(minutes=r.priority))

    def settle(self) -> list[str]:
        """Free slots go to who waits, and what is left of them to backfills."""
        return self.drain() + self.backfill()

    def drain(self) -> list[str]:
        said = []
        while not self.suspended and self.line and len(self.going) < self.concurrent:
            run = self.order()[0]
            self.line.remove(run)
            self.start(run)
            said.append(REQUESTED)
        return said

    def room(self) -> int:
        """For backfills: not what waits, comes, or will still come today and this month."""
        table = self.table
        if self.suspended or self.line or (table is not None and table.has_come(self.now)):
            return 0
        free, (today, month) = self.concurrent - len(self.going), self.left()
        if table is not None and table.due is not None:
            free -= self.concurrent > 1
            tomorrow = datetime.fromisoformat(self.day()).replace(tzinfo=UTC) + DAY
            month_end = ((tomorrow - DAY).replace(day=1) + 31 * DAY).replace(day=1)
            needed, later = table.needs(tomorrow, month_end, self.daily)
            today, month = today - needed, month - needed - min(later, self.monthly)
        return max(0, min(free, today, month))

    def backfill(self) -> list[str]:
        said, room = [], self.room()
        for fill in sorted(self.fills.values(), key=lambda one: one.created_at):
            if fill.status is not BackfillStatus.ACTIVE:
                continue
            may = min(room, fill.most - len(fill.active))
            for day in fill.days[: max(0, may)]:
                said += self.admit(backfill_run_id(fill.name, day), PRIORITY, fill)
                fill.days.remove(day)
                room -= 1
            if not fill.days and not fill.active:
                fill.status = BackfillStatus.COMPLETED
                said.append(CHANGED)
        return said

    def begin_backfill(self, name: BackfillId, days: list[date], most: int) -> list[str]:
        still_open = [fill for fill in self.fills.values() if not fill.status.is_final]
        if not self.saved or len(still_open) >= MOST_OPEN:
            return [REFUSED]
        self.fills[name] = Fill(name, days, most, self.now)
        return [STARTED, *self.backfill()]

    def change_backfill(self, name: str, status: BackfillStatus) -> list[str]:
        fill = self.fills.get(name)
        if fill is None or fill.status.is_final:
            return [REFUSED]
        said = [CHANGED] if status is not fill.status else []
        fill.status = status
        return said + self.backfill()

    def plan(self, table: Timetable, *, enabled: bool) -> list[str]:
        """A new schedule: what has come of the one before is acted on first, unless it pauses."""
        if not self.saved:
            return [REFUSED]
        before, self.table = self.table, table
        said: list[str] = []
        table.last = last = before.last if before is not None else None
        if enabled:
            table.due = table.next_after(max(self.now, last or self.now))
            if before is not None and before.has_come(self.now):
                if not self.suspended:
                    said = self.act(before)
                    table.last = before.last
                elif before.cron == table.cron:
                    table.due = before.due
                else:
                    said = [MISSED]
        return [*said, PLANNED, *self.settle()]

    def unplan(self) -> list[str]:
        if self.table is None:
            return [REFUSED]
        self.table = None
        return [UNPLANNED, *self.settle()]

    def act(self, table: Timetable) -> list[str]:
        made_up, on_time, missed = table.take(self.now)
        said = [MISSED] if missed else []
        for at in made_up + on_time:
            told = self.admit(scheduled_run_id(TENANT, CONFIG, at), 0)
            said += [] if told == [REFUSED] else told  # the clock was there before
        return said

    def delete(self) -> list[str]:
        if not self.saved:
            return [REFUSED]
        self.saved = False
        unplanned = [] if self.table is None else [UNPLANNED]
        self.table = None
        still_open = [fill for fill in self.fills.values() if not fill.status.is_final]
        for fill in still_open:
            fill.status = BackfillStatus.CANCELLED
        return [DELETED, *unplanned] + [CHANGED for _ in still_open]

    def end(self, run: Run, *, refund: bool = False) -> list[str]:
        (self.going if run in self.going else self.line).remove(run)
        self.over[run.name] = run.priority
        if run.fill is not None:
            run.fill.active.discard(run.name)
        if refund:
            for key in (run.day, run.day[:7]):
                if key in (self.latest, self.latest[:7]):
                    self.charged[key] -= 1
        return [FINISHED]

    def finish(self, name: str, attempt: int, *, refund: bool) -> list[str]:
        run = self.current(name, attempt)
        return [] if run is None else self.end(run, refund=refund) + self.settle()

    def give_back(self, name: str, attempt: int) -> list[str]:
        run = self.current(name, attempt)
        if run is None:
            return []
        if run.cancelling:
            return self.end(run) + self.settle()
        run.returned += 1
        run.silences = 0
        self.start(run)
        return [REQUESTED]

    def begin(self, name: str, attempt: int) -> list[str]:
        run = self.current(name, attempt)
        if run is None:
            return []
        self.extend(run)
        return [ASKED] if run.cancelling else []

    def cancel(self, name: str) -> list[str]:
        run = self.find(name)
        if run is None:
            return [REFUSED]
        if run in self.line:
            return self.end(run) + self.settle()
        run.cancelling = True
        return [ASKED]

    def look(self) -> list[str]:
        said = []
        for run in [r for r in self.going if r.until <= self.now]:
            if run.cancelling:
                said += self.end(run)
            elif run.attempt - run.returned >= RULES.max_attempts:
                said += self.end(run, refund=True)
            else:
                run.silences += 1
                self.start(run)
                said.append(REQUESTED)
        said += self.drain()
        if not self.suspended and self.table is not None and self.table.has_come(self.now):
            said += [*self.act(self.table), ADVANCED]
        return said + self.backfill()

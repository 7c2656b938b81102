"""A schedule of the model: times that are whole hours of UTC, found by looking at each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.schedules import MisfirePolicy
from tests.scheduler.platforms import RULES

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MATCHES: dict[str, Callable[[datetime], bool]] = {
    "0 * * * *": lambda _: True,
    "0 23 * * *": lambda at: at.hour == 23,
    "0 6 * * 1": lambda at: (at.weekday(), at.hour) == (0, 6),
}


@dataclass
class Timetable:
    cron: str
    misfire: MisfirePolicy
    limit: int
    due: datetime | None = None
    """None while it is paused."""
    last: datetime | None = None

    def next_after(self, after: datetime) -> datetime:
        at = after.replace(minute=0, second=0, microsecond=0) + HOUR
        while not MATCHES[self.cron](at):
            at += HOUR
        return at

    def has_come(self, now: datetime) -> bool:
        return self.due is not None and self.due <= now

    def take(self, now: datetime) -> tuple[list[datetime], list[datetime], bool]:
        """The times to make up for, those on time, and whether any were missed; goes on."""
        assert self.due is not None
        first, missed_before = self.due, now - timedelta(seconds=RULES.misfire_seconds)
        times = [first, *self.between(first + HOUR, now + timedelta(microseconds=1))]
        missed = [at for at in times if at < missed_before]
        on_time = [at for at in times if at >= missed_before]
        made_up = {
            MisfirePolicy.SKIP: [],
            MisfirePolicy.RUN_ONCE: [] if on_time else missed[-1:],
            MisfirePolicy.RUN_ALL: missed[-self.limit :],
        }[self.misfire]
        self.last = (on_time or made_up or [first])[-1]
        self.due = self.next_after(now)
        return made_up, on_time, bool(missed)

    def between(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """Times from `first`, which is a whole hour, to before the end."""
        at = first
        while at < end:
            if MATCHES[self.cron](at):
                yield at
            at += HOUR

    def needs(self, tomorrow: datetime, month_end: datetime, daily: int) -> tuple[int, int]:
        """Runs until tomorrow, and from then to the end of the month; none over a day's limit."""
        if self.due is None:
            return 0, 0
        today = min(daily, sum(1 for _ in self.between(self.due, tomorrow)))
        if self.due >= month_end:
            return today, 0
        later, day = 0, tomorrow
        while day < month_end:
            later += min(daily, sum(1 for _ in self.between(day, day + DAY)))
            day += DAY
        return today, later

"""When a schedule is due, in its own time zone.

cronsim follows Debian's cron when clocks change: a fixed time that the clock
skips runs once, right after the gap; one that comes twice runs once, the first
time; what runs hourly or more often follows real time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = 5


class CronError(ValueError):
    """A cron expression or time zone that cannot be used; names the field and the reason."""

    def __init__(self, field: str, detail: str) -> None:
        self.field = field
        super().__init__(detail)


def check(cron: str, time_zone: str, now: datetime) -> None:
    """Raise `CronError` unless there is a next time."""
    zone = _zone(time_zone)
    text = _five_fields(cron)
    try:
        first = next(CronSim(text, now.astimezone(zone)), None)
    except CronSimError as error:
        detail = f"{cron!r}: {str(error).lower()}; expected e.g. '30 6 * * 1-5'"
        raise CronError("cron", detail) from None
    if first is None:
        raise CronError("cron", f"{cron!r} never comes")


def following(cron: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """All times later than `after`, in order, in UTC."""
    last = after
    for local in CronSim(_five_fields(cron), after.astimezone(_zone(time_zone))):
        found = local.astimezone(UTC)
        if found > last:  # a fixed time is looked up by the clock on the wall, which may go back
            last = found
            yield found


def next_after(cron: str, time_zone: str, after: datetime) -> datetime | None:
    return next(following(cron, time_zone, after), None)


def latest(
    cron: str, time_zone: str, first: datetime, until: datetime, most: int
) -> tuple[datetime, ...]:
    """The last times from `first` to `until`, both included: `most` of them, oldest first."""
    found: list[datetime] = []
    start = until.astimezone(_zone(time_zone)).replace(microsecond=1)  # so `until` itself counts
    for local in CronSim(_five_fields(cron), start, reverse=True):
        at = local.astimezone(UTC)
        if at < first or len(found) == most:
            break
        if at <= until and (not found or at < found[-1]):
            found.append(at)
    return tuple(reversed(found))


@lru_cache(maxsize=4096)
def by_day(cron: str, time_zone: str, until: datetime, days: int, most: int) -> tuple[int, ...]:
    """How many times on each of the last UTC days before `until`; at most `most` are counted."""
    found = [0] * days
    first = until - timedelta(days=days)
    just_before = timedelta(microseconds=-1)
    times = following(cron, time_zone, first + just_before)
    while (at := next(times, None)) is not None and at < until:
        day = (at - first).days
        found[day] += 1
        if found[day] >= most:
            times = following(cron, time_zone, first + timedelta(days=day + 1) + just_before)
    return tuple(found)


def _five_fields(cron: str) -> str:
    text = cron.strip()
    if text.startswith("@"):
        if text.lower() not in NICKNAMES:
            raise CronError("cron", f"{cron!r}: there are only {', '.join(NICKNAMES)}")
        return NICKNAMES[text.lower()]
    if len(text.split()) != FIELDS:
        detail = f"{cron!r}: expected five fields, minute hour day month weekday"
        raise CronError("cron", detail)
    return text


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # cronsim need not look whether clocks change there
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        detail = f"{name!r} is no time zone; expected a name such as Europe/Berlin or UTC"
        raise CronError("time_zone", detail) from None

"""Days and months of the counters, in UTC, and when a schedule's time has come."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from services.scheduler.domain.ledger import Ledger, Planned


def day_of(state: Ledger, now: datetime) -> str:
    """Today, or the last day that was charged when the clock has gone back."""
    today = now.astimezone(UTC).date().isoformat()
    return max([today, *(key for key in state.charged if len(key) == len(today))])


def next_reset(day: str, limit: str) -> datetime:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    if limit == "daily":
        return start + timedelta(days=1)
    return (start.replace(day=28) + timedelta(days=4)).replace(day=1)


def first_due(planned: Iterable[Planned]) -> datetime | None:
    """When the first of them starts."""
    times = [p.starts_at for p in planned if p.starts_at is not None]
    return min(times, default=None)

"""Time is given, never taken: services ask a clock, and tests move it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

Clock = Callable[[], datetime]
At = TypeVar("At", date, datetime)
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


def system_clock() -> datetime:
    return datetime.now(UTC)


def earlier(at: At, by: timedelta) -> At:
    """Or the first that the calendar has: callers may name days next to it."""
    try:
        return at - by
    except OverflowError:
        return FIRST if isinstance(at, datetime) else date.min


def later(at: At, by: timedelta) -> At:
    """Or the last that the calendar has."""
    try:
        return at + by
    except OverflowError:
        return LAST if isinstance(at, datetime) else date.max

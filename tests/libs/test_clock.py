"""Moments and days next to the ends of the calendar, which callers may name."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from libs.clock import earlier, later

DAY = timedelta(days=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moved", "at", "expected"),
    [
        (earlier, FIRST, FIRST),
        (earlier, FIRST + DAY / 2, FIRST),
        (earlier, FIRST + DAY, FIRST),
        (earlier, LAST, LAST - DAY),
        (earlier, date.min, date.min),
        (earlier, date(1, 1, 2), date.min),
        (earlier, date(2026, 3, 1), date(2026, 2, 28)),
        (later, LAST, LAST),
        (later, LAST - DAY / 2, LAST),
        (later, FIRST, FIRST + DAY),
        (later, date.max, date.max),
        (later, date(9999, 12, 30), date.max),
        (later, date(2026, 2, 28), date(2026, 3, 1)),
    ],
)
def test_nothing_is_beyond_the_ends_of_the_calendar(
    moved: Callable[[date, timedelta], date], at: date, expected: date
) -> None:
    found = moved(at, DAY)
    assert found == expected
    assert type(found) is type(at)

"""Moments and days next to the ends of the calendar, which callers may name."""

from datetime import UTC, date, datetime, timedelta

import pytest

from libs.clock import earlier, later

DAY = timedelta(days=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (FIRST, FIRST),
        (FIRST + DAY / 2, FIRST),
        (FIRST + DAY, FIRST),
        (LAST, LAST - DAY),
        (date.min, date.min),
        (date(1, 1, 2), date.min),
        (date(2026, 3, 1), date(2026, 2, 28)),
    ],
)
def test_nothing_is_earlier_than_the_calendar_begins(at: date, expected: date) -> None:
    found = earlier(at, DAY)
    assert found == expected
    assert type(found) is type(at)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (LAST, LAST),
        (LAST - DAY / 2, LAST),
        (FIRST, FIRST + DAY),
        (date.max, date.max),
        (date(9999, 12, 30), date.max),
        (date(2026, 2, 28), date(2026, 3, 1)),
    ],
)
def test_nothing_is_later_than_the_calendar_ends(at: date, expected: date) -> None:
    found = later(at, DAY)
    assert found == expected
    assert type(found) is type(at)

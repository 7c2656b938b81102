"""What a load says of the rows that it replaces."""

import re
from datetime import UTC, datetime

import pytest

from libs.warehouse.data_tables import costs_table
from services.executor.focus.tables import NEVER, Replacement, Source
from services.executor.focus.tally import Key


def period(month: int, hour: int = 0, account: str = "a") -> Key:
    return datetime(2026, month, 1, hour, tzinfo=UTC), account, "USD"


def replacing(slice_: str, *billed: Key) -> dict[str, object]:
    source = Source("acme.raw", slice_)
    return Replacement("p", costs_table("acme"), source).parameters("gcp", billed)


def test_the_whole_of_a_month_is_that_month_alone() -> None:
    found = replacing("2026-10", period(9, 7), period(10, 7), period(10, 7, "b"))
    assert found["keys"] == ["a|2026-10-01", "b|2026-10-01"]
    assert found["accounts"] == ["a", "b"]
    assert found["source"] == "acme.raw.2026-10"


def test_the_month_of_a_period_is_that_of_who_bills() -> None:
    tokyo, auckland = (datetime(2026, 9, 30, hour, tzinfo=UTC) for hour in (15, 11))
    honolulu = datetime(2026, 10, 1, 10, tzinfo=UTC)
    for start in (tokyo, auckland, honolulu):
        assert replacing("2026-10", (start, "a", "USD"))["keys"] == ["a|2026-10-01"]
    assert replacing("2026-09", (tokyo, "a", "USD"))["keys"] == [""]


def test_the_whole_of_another_slice_is_all_that_it_has() -> None:
    assert replacing("all", period(9), period(10))["keys"] == ["a|2026-09-01", "a|2026-10-01"]


def test_bounds_are_the_days_of_periods_from_where_they_begin_first() -> None:
    found = replacing("2026-10", period(9, 7), period(10, 7))
    assert found["first"] == datetime(2026, 8, 31, 11, tzinfo=UTC)
    assert found["last"] == datetime(2026, 10, 1, 23, 59, 59, 999_999, tzinfo=UTC)


def test_a_load_of_nothing_takes_no_period() -> None:
    found = replacing("2026-10")
    assert (found["first"], found["last"]) == NEVER
    assert (found["keys"], found["accounts"]) == ([""], [""])


def test_the_last_day_of_the_calendar_is_one_too() -> None:
    start = datetime(9999, 12, 31, tzinfo=UTC)
    assert replacing("all", (start, "a", "USD"))["keys"] == ["a|9999-12-31"]


def test_the_first_day_of_the_calendar_is_one_too() -> None:
    start = datetime(1, 1, 1, tzinfo=UTC)
    assert replacing("all", (start, "a", "USD"))["first"] == start


@pytest.mark.parametrize(
    ("slice_", "other", "beside"),
    [
        ("2026-10", "acme.raw.2026-11", True),
        ("2026-10", "acme.raw.all", True),
        ("2026-10", "acme.other.2026-11", True),
        ("2026-10", "acme.other.all", False),
        ("2026-10", "acme.raw_other.all", False),
        ("2026-10", "acme.other.a.2026-11", False),
        ("all", "acme.raw.2026-11", True),
        ("all", "acme.other.2026-11", False),
        ("all", "acmexraw.2026-11", False),
    ],
)
def test_what_shares_a_period_with_a_slice(slice_: str, other: str, beside: bool) -> None:  # noqa: FBT001
    assert bool(re.search(Source("acme.raw", slice_).beside, other)) is beside


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("acme.raw.v1.2", True),
        ("acme.other.v1.2", True),
        ("acme.other.v1.20", False),
        ("acme.other.x.v1.2", False),
        ("acme.other.v1x2", False),
    ],
)
def test_what_is_the_same_slice_in_any_table(other: str, same: bool) -> None:  # noqa: FBT001
    assert bool(re.search(Source("acme.raw", "v1.2").in_any_table, other)) is same

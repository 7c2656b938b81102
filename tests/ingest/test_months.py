"""The month of a slice, in the words of paths and queries."""

import pytest

from services.executor.steps.months import fill_month
from services.executor.steps.step import StepError

WORDS = "{period.start_date} {period.end_date}"


@pytest.mark.parametrize(
    ("month", "expected"),
    [
        ("2026-02", "2026-02-01 2026-03-01"),
        ("2026-12", "2026-12-01 2027-01-01"),
        ("9999-12", "9999-12-01 9999-12-31"),
    ],
)
def test_a_month_ends_where_the_next_begins(month: str, expected: str) -> None:
    assert fill_month(WORDS, month) == expected


@pytest.mark.parametrize("month", ["0000-12", "2026-13", "all", "٢٠٢٦-01"])
def test_what_is_no_month_is_said_to_be_none(month: str) -> None:
    with pytest.raises(StepError, match="is no month"):
        fill_month(WORDS, month)

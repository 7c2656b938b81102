"""Which periods a load replaces."""

from datetime import UTC, datetime, timedelta

from services.executor.focus.tables import replaced
from services.executor.focus.tally import Key


def period(month: int, hour: int = 0, account: str = "a") -> Key:
    return datetime(2026, month, 1, hour, tzinfo=UTC), account, "USD"


def test_its_own_and_no_partition_beside_them() -> None:
    found = replaced("gcp", [period(9, 7), period(10, 7), period(10, 7, "b")])
    assert found == {
        "provider": "gcp",
        "first_period": datetime(2026, 9, 1, tzinfo=UTC),
        "after_periods": datetime(2026, 10, 2, tzinfo=UTC),
        "keys": ["a|2026-09-01", "a|2026-10-01", "b|2026-10-01"],
    }


def test_a_load_of_nothing_replaces_nothing() -> None:
    found = replaced("aws", [])
    assert found["keys"] == [""]
    first, after = found["first_period"], found["after_periods"]
    assert isinstance(first, datetime)
    assert after == first + timedelta(days=1)


def test_the_last_day_of_the_calendar_is_one_too() -> None:
    start = datetime(9999, 12, 31, tzinfo=UTC)
    assert replaced("aws", [(start, "a", "USD")])["keys"] == ["a|9999-12-31"]

"""When schedules are due: time zones, clocks that change, leap days, month ends."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.cron import CronError, check, following, latest

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [f"{t:%m-%d %H:%M}" for t in islice(following(cron, zone, start), count)]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        # 29 March 2026, 02:00 → 03:00: what is skipped runs once, right after the gap
        ("30 2 * * *", BERLIN, "2026-03-28T00:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("0,30 2 * * *", BERLIN, "2026-03-29T00:00", ["03-29 01:00", "03-30 00:00"]),
        # 25 October 2026, 03:00 → 02:00: what comes twice runs once, the first time
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T01:10", ["10-26 01:30", "10-27 01:30"]),
        # hourly and oftener follow real time, through both
        ("0 * * * *", BERLIN, "2026-10-24T23:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("0 * * * *", BERLIN, "2026-03-29T00:30", ["03-29 01:00", "03-29 02:00"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01T00:00", ["11-01 05:30", "11-02 06:30"]),
        # half an hour's change
        ("15 2 * * *", LORD_HOWE, "2026-10-03T00:00", ["10-03 15:30", "10-04 15:15"]),
        # ends of months, years, and leap days
        ("0 0 31 * *", "UTC", "2026-01-31T00:00", ["03-31 00:00", "05-31 00:00"]),
        ("0 0 L * *", "UTC", "2028-02-01T00:00", ["02-29 00:00", "03-31 00:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["02-29 00:00"]),
        ("59 23 31 12 *", "UTC", "2026-12-31T23:58", ["12-31 23:59", "12-31 23:59"]),
        ("@daily", "Asia/Kolkata", "2026-06-01T00:00", ["06-01 18:30", "06-02 18:30"]),
        ("0 9 * * MON-FRI", "UTC", "2026-05-29T10:00", ["06-01 09:00", "06-02 09:00"]),
        ("0 0 13 * 5", "UTC", "2026-02-01T00:00", ["02-06 00:00", "02-13 00:00"]),
    ],
)
def test_times_are_those_of_debians_cron(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert times(cron, zone, after, len(expected)) == expected


def test_a_leap_day_comes_in_leap_years() -> None:
    years = [t.year for t in islice(following("0 0 29 2 *", "UTC", NOW), 3)]
    assert years == [2028, 2032, 2036]


CRONS = st.sampled_from(
    ["30 2 * * *", "0 * * * *", "*/7 1-3 * * *", "0 0 L * *", "15 2 * * 0", "@hourly", "5 4 1 * *"]
)
ZONES = st.sampled_from(["UTC", BERLIN, NEW_YORK, LORD_HOWE, "Asia/Kolkata"])


@given(CRONS, ZONES, st.integers(0, 365 * 24 * 60), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_times_grow_and_looking_back_finds_the_same(
    cron: str, zone: str, minutes: int, count: int
) -> None:
    start = NOW + timedelta(minutes=minutes)
    found = list(islice(following(cron, zone, start), count))
    assert found == sorted(set(found))
    assert found[0] > start
    assert latest(cron, zone, start + timedelta(seconds=1), found[-1], count) == tuple(found)
    assert latest(cron, zone, start + timedelta(seconds=1), found[-1], 1) == (found[-1],)


@pytest.mark.parametrize(
    ("cron", "zone", "field", "detail"),
    [
        ("* * * *", "UTC", "cron", "five fields"),
        ("* * * * * *", "UTC", "cron", "five fields"),
        ("60 * * * *", "UTC", "cron", "bad minute"),
        ("0 0 30 2 *", "UTC", "cron", "bad day-of-month"),
        ("@reboot", "UTC", "cron", "there are only @hourly"),
        ("*/0 * * * *", "UTC", "cron", "bad minute"),
        ("@daily", "Nowhere/Land", "time_zone", "no time zone"),
        ("@daily", "../../etc/passwd", "time_zone", "no time zone"),
        ("@daily", "/etc/passwd", "time_zone", "no time zone"),
    ],
)
def test_what_cannot_be_used_is_named(cron: str, zone: str, field: str, detail: str) -> None:
    with pytest.raises(CronError, match=detail) as caught:
        check(cron, zone, NOW)
    assert caught.value.field == field


@given(st.text(alphabet="0123456789*/,-#LW@ MONFRIdaily", max_size=40))
@settings(max_examples=300, deadline=1000)
def test_whatever_is_written_is_answered_quickly(cron: str) -> None:
    try:
        check(cron, BERLIN, NOW)
    except CronError:
        return
    assert next(following(cron, BERLIN, NOW)) > NOW

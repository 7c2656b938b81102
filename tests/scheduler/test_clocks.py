"""Nights on which clocks do what they seldom do: no time and no quota is lost or doubled.

Ticks come each minute, while the scheduler's clock jumps by ten minutes and back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from contracts.quota import QuotaReachedV1
from contracts.runs import RunRejectedV1, RunRequestedV1
from contracts.schedules import MisfirePolicy
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.quota import quota
from tests.scheduler.platforms import CONFIG, TENANT, Platform, submit
from tests.scheduler.test_schedules import scheduled

PATIENT = Rules(lease_seconds=100_000)
TEN = timedelta(minutes=10)
BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


@dataclass(frozen=True, slots=True)
class Night:
    """Six hours in UTC, and a moment in them."""

    begins: str
    jumps_at: str
    zone: str

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(self.begins).replace(tzinfo=UTC)

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.jumps_at).replace(tzinfo=UTC)


MIDNIGHT = Night("2026-05-12T21:00", "2026-05-13T00:00", "UTC")
MONTH_END = Night("2026-02-28T21:00", "2026-03-01T00:00", "UTC")
LEAP_DAY = Night("2028-02-28T21:00", "2028-02-29T00:00", "UTC")
AFTER_LEAP_DAY = Night("2028-02-29T21:00", "2028-03-01T00:00", "UTC")
NEW_YEAR = Night("2026-12-31T21:00", "2027-01-01T00:00", "UTC")
FORWARD = Night("2026-03-28T22:00", "2026-03-29T01:00", BERLIN)
BACK = Night("2026-10-24T22:00", "2026-10-25T01:00", BERLIN)
BACK_IN_AMERICA = Night("2026-11-01T03:00", "2026-11-01T06:00", NEW_YORK)
HALF_AN_HOUR = Night("2026-10-03T13:00", "2026-10-03T15:30", LORD_HOWE)

NIGHTS = {
    "midnight": (MIDNIGHT, "5 0 * * *", ["00:05"]),
    "month end": (MONTH_END, "5 0 1 * *", ["00:05"]),
    "last day of a month": (MONTH_END, "50 23 L * *", ["23:50"]),
    "leap day": (LEAP_DAY, "5 0 29 2 *", ["00:05"]),
    "leap day's end": (AFTER_LEAP_DAY, "50 23 L * *", ["23:50"]),
    "new year": (NEW_YEAR, "@yearly", ["00:00"]),
    "forward, skipped": (FORWARD, "30 2 * * *", ["01:00"]),
    "forward, some hours": (FORWARD, "5 1-4 * * *", ["00:05", "01:00", "01:05", "02:05"]),
    "forward, hourly": (FORWARD, "5 * * * *", [f"{hour % 24:02}:05" for hour in range(22, 28)]),
    "back, twice": (BACK, "30 2 * * *", ["00:30"]),
    "back, hourly": (BACK, "5 * * * *", [f"{hour % 24:02}:05" for hour in range(22, 28)]),
    "back in New York": (BACK_IN_AMERICA, "30 1 * * *", ["05:30"]),
    "half an hour": (HALF_AN_HOUR, "15 2 * * *", ["15:30"]),
}


@pytest.mark.parametrize("jump", [timedelta(0), TEN, -TEN], ids=["straight", "ahead", "behind"])
@pytest.mark.parametrize(("night", "cron", "expected"), NIGHTS.values(), ids=NIGHTS)
def test_each_time_of_a_strange_night_runs_once(
    night: Night, cron: str, expected: list[str], jump: timedelta
) -> None:
    platform = Platform(daily=100, monthly=300, concurrent=50, rules=PATIENT)
    platform.now = night.start
    scheduled(cron, platform, time_zone=night.zone, misfire=MisfirePolicy.RUN_ALL)
    began: list[tuple[datetime, RunRequestedV1]] = []
    for minute in range(6 * 60):
        at = night.start + timedelta(minutes=minute)
        off = jump if night.moment <= at < night.moment + TEN else timedelta(0)
        platform.now = at + off
        began += [(at + off, said) for said in platform.look() if isinstance(said, RunRequestedV1)]
    assert len({said.run_id for _, said in began}) == len(began) == len(expected)
    for (at, _), due in zip(began, expected, strict=True):
        hour, minute = map(int, due.split(":"))
        late = (at - at.replace(hour=hour, minute=minute)) % timedelta(days=1)
        assert late <= abs(jump), f"due at {due}, began at {at}"


@pytest.mark.parametrize(
    ("night", "day", "resets", "month_resets"),
    [
        (MIDNIGHT, "2026-05-13", "2026-05-14", "2026-06-01"),
        (MONTH_END, "2026-03-01", "2026-03-02", "2026-04-01"),
        (LEAP_DAY, "2028-02-29", "2028-03-01", "2028-03-01"),
        (AFTER_LEAP_DAY, "2028-03-01", "2028-03-02", "2028-04-01"),
        (NEW_YEAR, "2027-01-01", "2027-01-02", "2027-02-01"),
    ],
    ids=["midnight", "month end", "leap day", "after leap day", "new year"],
)
def test_a_quota_is_new_once_however_the_clock_jumps_over_midnight(
    night: Night, day: str, resets: str, month_resets: str
) -> None:
    platform = Platform(daily=4, monthly=100, concurrent=50, rules=PATIENT)
    said = []
    for number in range(40):  # one a minute, from twenty minutes before
        at = night.moment + timedelta(minutes=number - 20)
        platform.now = at + (TEN if number % 3 == 0 else -TEN if number % 3 == 1 else timedelta(0))
        said += platform.tell(submit(number))
    began = [one for one in said if isinstance(one, RunRequestedV1)]
    refused = [one for one in said if isinstance(one, RunRejectedV1)]
    assert (len(began), len(refused)) == (8, 32), "four of each day"
    full = [one.period for one in said if isinstance(one, QuotaReachedV1) and one.percent == 100]
    yesterday = (night.moment - timedelta(days=1)).date().isoformat()
    assert full == [yesterday, day]
    told = quota(platform.ledger, TENANT, platform.now, PATIENT)
    assert f"{told.day_resets_at:%Y-%m-%d}" == resets
    assert f"{told.month_resets_at:%Y-%m-%d}" == month_resets
    assert told.used_this_month == (8 if day[:7] == yesterday[:7] else 4)


@pytest.mark.parametrize("jump", [TEN, -TEN], ids=["ahead", "behind"])
def test_a_lease_outlives_a_jump_and_ends_all_the_same(jump: timedelta) -> None:
    """A clock that jumps costs an attempt at most; no slot is lost to it."""
    platform = Platform(concurrent=1)
    platform.tell(submit(0))
    platform.tell(submit(1))
    platform.now += jump
    platform.look()
    platform.now -= jump
    platform.look()
    (lease,) = platform.ledger.running
    assert lease.request.attempt == (2 if jump > timedelta(0) else 1)
    for _ in range(15):
        platform.pass_time(minutes=2)
    assert platform.ledger.runs == {}
    assert CONFIG in platform.ledger.configs

"""What a backfill leaves of the month to schedules that come seldom."""

from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.runs import RunRejectedV1, RunRequestedV1, TriggerType
from services.scheduler.domain.schedules import needed_until
from tests.scheduler.platforms import CONFIG, Platform
from tests.scheduler.test_schedules import PATIENT, backfill, finish, scheduled, under_way


@pytest.mark.parametrize(
    ("cron", "needed"),
    [("0 12 * * 2", 5), ("0 12 31 * *", 1), ("30 23 * * 1-5", 22), ("*/5 * 31 * *", 6)],
    ids=["weekly", "monthly", "weekdays", "often-on-one-day"],
)
def test_a_backfill_leaves_the_month_what_a_rare_schedule_needs(cron: str, needed: int) -> None:
    platform = Platform(daily=6, monthly=180, concurrent=3, rules=PATIENT)
    platform.now = datetime(2026, 3, 1, tzinfo=UTC)
    scheduled(cron, platform)
    platform.tell(backfill(date(2025, 1, 1), date(2025, 12, 31), max_active=10))
    live = 0
    while platform.now < datetime(2026, 3, 31, 23, 30, tzinfo=UTC):
        for request in under_way(platform):
            finish(platform, request)
        said = platform.pass_time(minutes=30)
        live += sum(
            isinstance(m, RunRequestedV1) and m.trigger.type is TriggerType.SCHEDULE for m in said
        )
    within = [m for m in platform.said if isinstance(m, RunRejectedV1) and m.limit == "monthly"]
    assert within == []
    assert live == needed
    assert platform.ledger.charged["2026-03"] == 180, "and backfills use all that is left"


def test_what_many_schedules_need_is_counted_in_no_time() -> None:
    platform = Platform(daily=100, monthly=3000, concurrent=3, rules=PATIENT)
    platform.now = datetime(2026, 3, 1, tzinfo=UTC)
    scheduled("* * * * *", platform)
    planned = platform.ledger.schedules[CONFIG]
    first, until = platform.now + timedelta(days=1), datetime(2026, 4, 1, tzinfo=UTC)
    assert needed_until([planned] * 10_000, first, until, platform.ledger.limits) == 3000
    assert needed_until([planned], until, until, platform.ledger.limits) == 0

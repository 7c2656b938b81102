"""Backfills come after schedules, wait for what is under way, and go on when room is made."""

from datetime import date, timedelta

import pytest

from contracts.backfills import BackfillOnly, BackfillPlannedV1
from contracts.identifiers import ConfigId
from contracts.message import Message
from contracts.pipelines import DeleteConfigV1, SaveConfigV1
from contracts.runs import RunRequestedV1, TriggerType
from contracts.schedules import DeleteScheduleV1, SaveScheduleV1, SchedulePart
from contracts.tenants import TenantResumedV1, TenantSuspendedV1
from services.scheduler.domain.deciding import KeepConfig
from tests.scheduler.platforms import CONFIG, DEFINITION, TENANT, Platform, submit
from tests.scheduler.test_schedules import PATIENT, backfill, finish, scheduled, under_way

FIRST, LAST = date(2026, 2, 1), date(2026, 2, 20)
OTHER = ConfigId("twos")


def triggers(said: list[Message]) -> list[TriggerType]:
    return [one.trigger.type for one in said if isinstance(one, RunRequestedV1)]


def test_what_is_due_starts_before_backfills_whoever_looks_first() -> None:
    platform = scheduled("0 * * * *", Platform(50, 500, 2, PATIENT))
    platform.tell(backfill(FIRST, LAST, max_active=10))
    (request,) = under_way(platform)
    platform.now += timedelta(hours=1, seconds=5)
    finish(platform, request)
    assert under_way(platform) == [], "its tick has not come yet"
    assert triggers(platform.look()) == [TriggerType.SCHEDULE]


def test_a_tenant_that_is_back_starts_what_is_due_first() -> None:
    platform = scheduled("0 * * * *", Platform(50, 500, 2, PATIENT))
    platform.tell(TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin"))
    platform.tell(backfill(FIRST, LAST, max_active=10))
    platform.now += timedelta(hours=1)
    said = platform.tell(TenantResumedV1(tenant_id=TENANT, requested_by="admin"))
    assert triggers(said) == [TriggerType.SCHEDULE]


@pytest.mark.parametrize("how", ["deleted", "paused", "with its pipeline"])
def test_a_backfill_goes_on_when_a_schedule_leaves_it_room(how: str) -> None:
    """All of the quota was kept for the schedule; nothing else will happen before midnight."""
    platform = Platform(daily=3, monthly=100, concurrent=3, rules=PATIENT)
    save = SaveConfigV1(tenant_id=TENANT, config_id=OTHER, source="…", requested_by="test")
    platform.tell(KeepConfig(command=save, definition=DEFINITION))
    scheduled("*/10 * * * *", platform, config_id=OTHER)
    platform.tell(backfill(FIRST, LAST, max_active=10))
    assert under_way(platform) == []
    paused = SchedulePart(config_id=OTHER, cron="*/10 * * * *", enabled=False)
    command: dict[str, Message] = {
        "deleted": DeleteScheduleV1(tenant_id=TENANT, config_id=OTHER, requested_by="test"),
        "paused": SaveScheduleV1(tenant_id=TENANT, schedule=paused, requested_by="test"),
        "with its pipeline": DeleteConfigV1(tenant_id=TENANT, config_id=OTHER, requested_by="test"),
    }
    assert triggers(platform.tell(command[how])) == [TriggerType.BACKFILL] * 3


def test_a_day_under_way_is_not_run_again_when_only_missing_ones_are_asked_for() -> None:
    platform = Platform(daily=50, monthly=100, concurrent=9, rules=PATIENT)
    platform.tell(submit(1).model_copy(update={"run_date": FIRST}))
    (live,) = under_way(platform)
    two_days = FIRST + timedelta(days=1)
    (plan,) = platform.tell(backfill(FIRST, two_days, dry_run=True))
    assert isinstance(plan, BackfillPlannedV1)
    assert plan.runs == 1
    platform.tell(backfill(FIRST, two_days))
    assert under_way(platform) == [live]
    finish(platform, live)
    (request,) = under_way(platform)
    assert request.run_date == two_days
    assert request.trigger.type is TriggerType.BACKFILL


def test_all_days_run_whatever_is_under_way() -> None:
    platform = Platform(daily=50, monthly=100, concurrent=9, rules=PATIENT)
    platform.tell(submit(1).model_copy(update={"run_date": FIRST}))
    platform.tell(backfill(FIRST, FIRST, only=BackfillOnly.ALL))
    assert [one.run_date for one in under_way(platform)] == [FIRST, FIRST]
    assert {one.config_id for one in under_way(platform)} == {CONFIG}

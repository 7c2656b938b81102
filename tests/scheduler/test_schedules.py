"""Schedules and backfills: once per due time, whatever the ticks do."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.backfills import (
    BackfillAction,
    BackfillOnly,
    BackfillPlannedV1,
    BackfillStatus,
    ChangeBackfillV1,
    StartBackfillV1,
)
from contracts.identifiers import BackfillId, ConfigId
from contracts.message import Message
from contracts.pipelines import DeleteConfigV1
from contracts.runs import (
    AttemptFinishedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    TriggerType,
)
from contracts.schedules import (
    MisfirePolicy,
    SaveScheduleV1,
    ScheduleMissedV1,
    SchedulePart,
    SchedulesAdvancedV1,
    ScheduleSavedV1,
)
from contracts.tenants import TenantResumedV1, TenantSuspendedV1
from services.scheduler.domain.deciding import Look, Rules
from tests.scheduler.platforms import CONFIG, START, TENANT, Platform, kinds, submit

PATIENT = Rules(lease_seconds=100_000)
BACKFILL = BackfillId("3b2c8d1e-6a70-4c1b-9f0e-5a9d2f7b8c34")


def scheduled(cron: str, platform: Platform | None = None, **more: object) -> Platform:
    platform = platform or Platform(daily=1000, monthly=5000, concurrent=500)
    schedule = SchedulePart.model_validate({"config_id": CONFIG, "cron": cron, **more})
    (saved,) = platform.tell(
        SaveScheduleV1(tenant_id=TENANT, schedule=schedule, requested_by="test")
    )
    assert isinstance(saved, ScheduleSavedV1)
    return platform


def started(said: list[Message]) -> int:
    return sum(isinstance(message, RunRequestedV1) for message in said)


def test_each_due_time_starts_one_run_however_often_it_ticks() -> None:
    platform = scheduled("*/10 * * * *")
    said: list[Message] = []
    for _ in range(60):
        said += platform.pass_time(minutes=1)
        said += platform.look()
        assert platform.ledger.first_due_at is not None
        assert platform.ledger.first_due_at > platform.now
    runs = [m for m in said if isinstance(m, RunRequestedV1) and m.attempt == 1]
    assert len(runs) == len({run.run_id for run in runs}) == 6
    assert {run.trigger.type for run in runs} == {TriggerType.SCHEDULE}


def test_how_far_schedules_have_come_is_told_once_for_all_that_moved() -> None:
    platform = scheduled("*/10 * * * *")
    for name, cron in (("other", "5-59/5 * * * *"), ("nightly", "0 3 * * *")):
        platform.save(ConfigId(name))
        scheduled(cron, platform, config_id=name)
    assert advanced(platform.pass_time(minutes=4)) == []
    (told,) = advanced(platform.pass_time(minutes=6))
    assert sorted(told) == [
        (CONFIG, START + timedelta(minutes=10), START + timedelta(minutes=20)),
        ("other", START + timedelta(minutes=10), START + timedelta(minutes=15)),
    ]


def test_a_schedule_whose_missed_times_are_skipped_is_told_to_have_gone_on() -> None:
    platform = scheduled("0 * * * *", misfire=MisfirePolicy.SKIP)
    ((moved,),) = advanced(platform.pass_time(hours=3, minutes=20))
    assert moved[2] == platform.ledger.schedules[CONFIG].due_at == START + timedelta(hours=4)


def advanced(said: list[Message]) -> list[list[tuple[str, datetime, datetime | None]]]:
    told = (message for message in said if isinstance(message, SchedulesAdvancedV1))
    return [
        [(one.config_id, one.last_due_at, one.next_due_at) for one in m.schedules] for m in told
    ]


@pytest.mark.parametrize("jump", [timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_clock_that_jumps_and_comes_back_starts_nothing_twice(jump: timedelta) -> None:
    platform = scheduled("*/5 * * * *")
    count = 0
    for minute in range(60):
        platform.now = START + timedelta(minutes=minute)
        count += _new(platform.look())
        if minute == 30:
            platform.now += jump
            count += _new(platform.look())
    platform.now = START + timedelta(minutes=60)
    count += _new(platform.look())
    assert count == 12


def _new(said: list[Message]) -> int:
    return sum(isinstance(m, RunRequestedV1) and m.attempt == 1 for m in said)


@pytest.mark.parametrize(
    ("policy", "limit", "expected"),
    [
        (MisfirePolicy.SKIP, 10, 1),
        (MisfirePolicy.RUN_ONCE, 10, 1),
        (MisfirePolicy.RUN_ALL, 3, 4),
        (MisfirePolicy.RUN_ALL, 100, 25),
    ],
)
def test_missed_times_are_up_to_the_policy(
    policy: MisfirePolicy, limit: int, expected: int
) -> None:
    platform = scheduled("0 * * * *", misfire=policy, misfire_limit=limit)
    said = platform.pass_time(hours=25)
    assert started(said) == expected
    (missed,) = (m for m in said if isinstance(m, ScheduleMissedV1))
    assert (missed.policy, missed.started) == (policy, expected - 1)
    assert _new(platform.pass_time(hours=1)) == 1


def test_one_run_makes_up_for_all_when_none_is_on_time() -> None:
    platform = scheduled("0 * * * *", misfire=MisfirePolicy.RUN_ONCE)
    assert started(platform.pass_time(hours=3, minutes=20)) == 1
    platform = scheduled("0 * * * *", misfire=MisfirePolicy.SKIP)
    assert started(platform.pass_time(hours=3, minutes=20)) == 0


def test_an_outage_of_a_year_of_minutes_is_made_up_in_no_time() -> None:
    platform = scheduled("* * * * *", misfire=MisfirePolicy.RUN_ALL, misfire_limit=100)
    assert started(platform.pass_time(days=365)) == 100 + 6


def test_a_paused_schedule_and_a_suspended_tenant_start_nothing() -> None:
    platform = scheduled("0 * * * *", enabled=False)
    assert platform.pass_time(days=1) == []
    platform = scheduled("0 * * * *", misfire=MisfirePolicy.SKIP)
    platform.tell(TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin"))
    assert platform.pass_time(hours=5, minutes=30) == []
    resumed = platform.tell(TenantResumedV1(tenant_id=TENANT, requested_by="admin"))
    assert kinds(resumed) == ["schedule.missed.v1", "schedule.advanced.v1"]


def test_a_run_over_the_limit_is_refused_and_the_schedule_goes_on() -> None:
    platform = scheduled(
        "*/10 * * * *", Platform(daily=2, monthly=50, concurrent=50, rules=PATIENT)
    )
    said = [m for _ in range(5) for m in platform.pass_time(minutes=10)]
    assert sum(isinstance(m, RunRejectedV1) for m in said) == 3
    assert _new(platform.pass_time(hours=1, minutes=10)) >= 1


def test_jitter_is_the_same_each_time_and_within_its_bound() -> None:
    platform = scheduled("0 * * * *", jitter_seconds=600)
    offset = platform.ledger.schedules[CONFIG].offset
    assert timedelta(0) <= offset <= timedelta(seconds=600)
    due = platform.ledger.first_due_at
    assert due is not None
    platform.now = due - timedelta(seconds=1)
    assert platform.look() == []
    platform.now = due
    assert started(platform.look()) == 1


def test_the_run_is_about_the_day_of_its_own_time_zone() -> None:
    platform = scheduled("30 0 * * *", time_zone="Asia/Tokyo")
    said = platform.pass_time(hours=18)
    (run,) = (m for m in said if isinstance(m, RunRequestedV1))
    assert run.run_date == date(2026, 3, 1)


def test_a_pipeline_takes_its_schedule_and_backfills_with_it() -> None:
    platform = scheduled("0 * * * *")
    platform.tell(backfill(date(2026, 1, 1), date(2026, 1, 31)))
    said = platform.tell(DeleteConfigV1(tenant_id=TENANT, config_id=CONFIG, requested_by="test"))
    assert kinds(said) == ["config.deleted.v1", "schedule.deleted.v1", "backfill.changed.v1"]
    assert _new(platform.pass_time(hours=5)) == 0


def backfill(first: date, last: date, **more: object) -> StartBackfillV1:
    return StartBackfillV1.model_validate(
        {
            "tenant_id": TENANT,
            "backfill_id": BACKFILL,
            "config_id": CONFIG,
            "from_date": first,
            "to_date": last,
            "requested_by": "test",
            **more,
        }
    )


def under_way(platform: Platform) -> list[RunRequestedV1]:
    return [lease.request for lease in platform.ledger.runs.values()]


def finish(platform: Platform, request: RunRequestedV1) -> None:
    platform.tell(
        AttemptFinishedV1(
            tenant_id=TENANT,
            run_id=request.run_id,
            attempt=request.attempt,
            status=RunStatus.COMPLETED,
            started_at=platform.now,
            finished_at=platform.now,
        )
    )


def test_a_backfill_keeps_to_its_share_and_waits_for_the_next_day() -> None:
    platform = Platform(daily=4, monthly=100, concurrent=3)
    platform.tell(backfill(date(2026, 2, 1), date(2026, 2, 6), max_active=2))
    days = []
    for _ in range(4):
        assert len(under_way(platform)) <= 2
        for request in under_way(platform):
            days.append(request.run_date)
            finish(platform, request)
        platform.look()
    assert len(days) == 4
    assert under_way(platform) == []
    platform.pass_time(hours=3)
    for request in under_way(platform):
        days.append(request.run_date)
        finish(platform, request)
    assert days == [date(2026, 2, day) for day in range(1, 7)]
    assert platform.ledger.backfills[BACKFILL].about.status is BackfillStatus.COMPLETED


@pytest.mark.parametrize(
    ("first", "last"), [(date(1, 1, 1), date(1, 1, 2)), (date(9999, 12, 30), date(9999, 12, 31))]
)
def test_a_backfill_may_be_of_the_first_and_the_last_days_there_are(
    first: date, last: date
) -> None:
    platform = Platform(daily=4, monthly=100, concurrent=3)
    platform.tell(backfill(first, last, max_active=2))
    assert [request.run_date for request in under_way(platform)] == [first, last]
    for request in under_way(platform):
        finish(platform, request)
    assert platform.ledger.backfills[BACKFILL].about.status is BackfillStatus.COMPLETED


def test_a_backfill_leaves_room_for_what_is_live() -> None:
    platform = scheduled("0 23 * * *", Platform(daily=3, monthly=100, concurrent=2))
    platform.tell(backfill(date(2026, 2, 1), date(2026, 2, 20), max_active=10))
    assert len(under_way(platform)) == 1, "one slot is kept for the schedule"
    finish(platform, under_way(platform)[0])
    finish(platform, under_way(platform)[0])
    assert under_way(platform) == [], "the last run of the day is the schedule's"
    assert _new(platform.pass_time(hours=1)) == 1


@given(
    every=st.sampled_from([4, 8, 24]),
    spare=st.integers(0, 4),
    concurrent=st.integers(1, 3),
)
@settings(max_examples=6, deadline=None)
def test_a_backfill_never_keeps_a_schedule_from_its_quota(
    every: int, spare: int, concurrent: int
) -> None:
    """Over more than a month, whose quota and slots are just what the schedule needs."""
    a_day = 24 // every
    platform = Platform(a_day + spare, a_day * 31 + 10 * spare, concurrent, PATIENT)
    platform.now = datetime(2026, 3, 1, tzinfo=UTC)
    scheduled(f"0 */{every} * * *", platform)
    platform.tell(backfill(date(2025, 1, 1), date(2025, 12, 31), max_active=10))
    for _ in range(40 * a_day):
        platform.pass_time(hours=every)
        for lease in platform.ledger.running:
            if platform.now >= lease.request.submitted_at + timedelta(hours=every * concurrent):
                finish(platform, lease.request)
    assert not any(isinstance(message, RunRejectedV1) for message in platform.said)
    done = platform.ledger.ended.values()
    live = sum(run.trigger is TriggerType.SCHEDULE for run in done)
    assert live >= 40 * a_day - concurrent - 2
    if spare:
        assert any(run.trigger is TriggerType.BACKFILL for run in done)


def test_only_missing_days_run_again_and_a_dry_run_says_how_many() -> None:
    platform = Platform(daily=50, monthly=100, concurrent=9)
    first = submit(1).model_copy(update={"run_date": date(2026, 2, 3)})
    platform.tell(first)
    finish(platform, under_way(platform)[0])
    (plan,) = platform.tell(backfill(date(2026, 2, 1), date(2026, 2, 5), dry_run=True))
    assert isinstance(plan, BackfillPlannedV1)
    assert (plan.days, plan.runs, plan.left_today) == (5, 4, 49)
    every = backfill(date(2026, 2, 1), date(2026, 2, 5), dry_run=True, only=BackfillOnly.ALL)
    (plan,) = platform.tell(every)
    assert isinstance(plan, BackfillPlannedV1)
    assert plan.runs == 5
    platform.tell(backfill(date(2026, 2, 1), date(2026, 2, 5), max_active=9))
    assert date(2026, 2, 3) not in {request.run_date for request in under_way(platform)}


def test_a_backfill_is_paused_resumed_and_cancelled() -> None:
    platform = Platform(daily=50, monthly=100, concurrent=9)
    platform.tell(backfill(date(2026, 2, 1), date(2026, 2, 20)))

    def change(action: BackfillAction) -> list[str]:
        command = ChangeBackfillV1(
            tenant_id=TENANT, backfill_id=BACKFILL, action=action, requested_by="test"
        )
        return kinds(platform.tell(command))

    assert change(BackfillAction.PAUSE) == ["backfill.changed.v1"]
    finish(platform, under_way(platform)[0])
    assert under_way(platform) == []
    assert change(BackfillAction.RESUME) == ["backfill.changed.v1", "run.requested.v1"]
    assert change(BackfillAction.CANCEL) == ["backfill.changed.v1"]
    assert change(BackfillAction.RESUME) == ["command.refused.v1"]
    finish(platform, under_way(platform)[0])
    assert under_way(platform) == []


def test_ended_runs_are_forgotten_after_ninety_days() -> None:
    platform = Platform()
    platform.tell(submit(1))
    finish(platform, under_way(platform)[0])
    platform.now += timedelta(days=89)
    platform.tell(Look(tenant_id=TENANT, forget=True))
    assert platform.ledger.ended
    platform.now = datetime(2026, 6, 1, tzinfo=UTC)
    platform.tell(Look(tenant_id=TENANT, forget=True))
    assert not platform.ledger.ended

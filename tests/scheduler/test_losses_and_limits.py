"""Hand-backs are no losses, changed limits strand nothing, and what is told of limits."""

from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.runs import (
    AttemptReturnedV1,
    AttemptStartedV1,
    ExplainRunV1,
    RunFinishedV1,
    RunRejectedV1,
    RunRequestedV1,
)
from contracts.tenants import LimitsPart, PlanChangedV1, TenantSuspendedV1
from services.scheduler.domain import ledger
from services.scheduler.domain.backfills import backfill_run_id
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.explaining import explain
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import Granted
from services.scheduler.domain.quota import quota
from services.scheduler.domain.status import share
from services.scheduler.store import LedgerDecider
from tests.scheduler.platforms import CONFIG, RULES, START, TENANT, Platform, kinds, run_id, submit
from tests.scheduler.test_schedules import BACKFILL, backfill, finish, under_way

PLACES = Rules(lease_seconds=60, max_running=2)


def give_back(platform: Platform, attempt: int) -> None:
    returned = AttemptReturnedV1(tenant_id=TENANT, run_id=run_id(0), attempt=attempt)
    assert kinds(platform.tell(returned)) == ["run.requested.v1"]


def test_attempts_that_were_given_back_do_not_count_as_losses() -> None:
    platform = Platform()
    platform.tell(submit(0))
    for attempt in range(1, 8):
        give_back(platform, attempt)
    for _ in range(RULES.max_attempts - 1):
        assert kinds(platform.pass_time(seconds=61)) == ["run.requested.v1"]
    (ended,) = platform.pass_time(seconds=121)
    assert isinstance(ended, RunFinishedV1)
    assert ended.error is not None
    assert "was lost 3 times by the platform" in ended.error.detail


def test_runs_that_wait_for_the_platform_begin_when_its_limit_is_gone() -> None:
    platform = Platform(rules=PLACES)
    for number in range(2):
        assert kinds(platform.tell(submit(number))) == ["run.queued.v1"]
    platform.decider = LedgerDecider(RULES)
    reminder = platform.ledger.reminder
    assert reminder is not None, "nothing else would ever look again"
    platform.now = reminder
    assert kinds(platform.look()) == ["run.requested.v1", "run.requested.v1"]


def test_without_a_queue_a_run_still_waits_for_the_platforms_place() -> None:
    platform = Platform(rules=PLACES.model_copy(update={"queue_limit": 0}))
    assert kinds(platform.tell(submit(0))) == ["run.queued.v1"]
    assert kinds(platform.tell(submit(1))) == ["run.queued.v1"]
    (refused,) = platform.tell(submit(2))
    assert isinstance(refused, RunRejectedV1)
    assert refused.reason.startswith("2 runs wait already")
    (begun,) = platform.tell(Granted(tenant_id=TENANT, number=1))
    assert isinstance(begun, RunRequestedV1)


def test_without_a_queue_a_run_that_finds_no_slot_is_told_so() -> None:
    platform = Platform(concurrent=1, rules=RULES.model_copy(update={"queue_limit": 0}))
    platform.tell(submit(0))
    (refused,) = platform.tell(submit(1))
    assert isinstance(refused, RunRejectedV1)
    assert refused.reason.startswith("1 runs are going on, as many as the plan allows, and none")


@pytest.mark.parametrize("full", [False, True], ids=["a short queue", "a full queue"])
def test_no_day_of_a_backfill_is_lost_to_the_queue(
    monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    """A day that is rejected all the same stays to be done."""
    if full:
        monkeypatch.setattr("services.scheduler.domain.admission._may_wait", lambda *_: 1)
    rules = PLACES.model_copy(update={"queue_limit": 1})
    platform = Platform(daily=50, monthly=100, concurrent=5, rules=rules)
    platform.tell(backfill(date(2026, 2, 1), date(2026, 2, 3), max_active=3))
    days = []
    for number in range(1, 4):
        waits = under_way(platform)[0]
        assert len(under_way(platform)) == (1 if full else 4 - number)
        days.append(waits.run_date)
        assert waits.run_id == backfill_run_id(BACKFILL, waits.run_date)
        platform.tell(Granted(tenant_id=TENANT, number=number))
        finish(platform, waits)
    assert days == [date(2026, 2, day) for day in (1, 2, 3)]
    assert not any(isinstance(message, RunRejectedV1) for message in platform.said)


def test_a_run_that_waits_is_told_its_place_and_the_limit() -> None:
    platform = Platform(concurrent=1)
    for number in range(3):
        platform.tell(submit(number))
    query = ExplainRunV1(tenant_id=TENANT, run_id=run_id(2))
    said = explain(platform.ledger, query, platform.now, RULES)
    assert said is not None
    assert (said.status, said.place, said.blocking_limit) == ("QUEUED", 2, "concurrent")
    assert (said.waiting, said.running) == (2, 1)
    assert said.detail == "1 of 1 concurrent runs go on; 1 before it"
    shown = share(platform.ledger, TENANT, 4, platform.now, RULES)
    assert (shown.share, shown.weight) == (0.25, 1)
    assert (shown.waiting, shown.running, shown.blocking_limit) == (2, 1, "concurrent")
    platform.tell(TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin"))
    said = explain(platform.ledger, query, platform.now, RULES)
    assert said is not None
    assert (said.place, said.blocking_limit, said.expected_start_at) == (2, "suspended", None)


def test_the_quota_says_what_is_used_held_left_and_when_it_is_new() -> None:
    platform = Platform(daily=6, monthly=20, concurrent=1)
    for number in range(3):
        platform.tell(submit(number))
    platform.finish(0)
    said = quota(platform.ledger, TENANT, platform.now, RULES)
    assert said.limits == LimitsPart(daily=6, monthly=20, concurrent=1)
    assert (said.used_today, said.reserved_today, said.left_today) == (3, 2, 3)
    assert (said.used_this_month, said.reserved_this_month, said.left_this_month) == (3, 2, 17)
    assert (said.running, said.queued, said.queue_limit) == (1, 1, RULES.queue_limit)
    assert said.day_resets_at == datetime(2026, 2, 28, tzinfo=UTC)
    assert said.month_resets_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert not said.suspended
    tomorrow = START + timedelta(days=1)
    said = quota(platform.ledger, TENANT, tomorrow, RULES)
    assert (said.used_today, said.reserved_today, said.left_today) == (0, 0, 6)
    assert (said.used_this_month, said.reserved_this_month, said.left_this_month) == (3, 2, 17)


def test_after_a_downgrade_the_expected_start_counts_what_must_end_first() -> None:
    platform = Platform(daily=50, monthly=100, concurrent=5)
    platform.tell(submit(9))
    platform.now += timedelta(seconds=100)
    platform.finish(9)  # begun now, for all that is known: no time at all
    platform.ledger = platform.ledger.model_copy(update={"usual_seconds": 100.0})
    began = platform.now
    for number in range(5):
        platform.now = began + timedelta(seconds=10 * number)
        platform.tell(submit(number))
        platform.tell(
            AttemptStartedV1(
                tenant_id=TENANT,
                run_id=run_id(number),
                config_id=CONFIG,
                attempt=1,
                steps=(),
                started_at=platform.now,
            )
        )
    fewer = LimitsPart(daily=50, monthly=100, concurrent=2)
    platform.tell(
        PlanChangedV1(tenant_id=TENANT, plan="STARTER", limits=fewer, requested_by="admin")
    )
    starts = []
    for number in (5, 6, 7):
        platform.tell(submit(number))
        query = ExplainRunV1(tenant_id=TENANT, run_id=run_id(number))
        said = explain(platform.ledger, query, platform.now, RULES)
        assert said is not None
        assert said.expected_start_at is not None
        starts.append((said.expected_start_at - began).total_seconds())
    assert starts == [130, 140, 230], "four of five end before there is one slot of two"


def test_runs_are_remembered_for_as_many_as_the_plan_allows_in_four_months() -> None:
    remembered = {
        monthly: Ledger(limits=LimitsPart(daily=9, monthly=monthly, concurrent=1)).remembered_runs
        for monthly in (180, 3_000, 1_000_000)
    }
    assert remembered == {180: 5_000, 3_000: 12_000, 1_000_000: 20_000}


def test_what_is_remembered_is_bounded_and_a_smaller_plan_forgets_nothing_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "REMEMBERED_RUNS", (2, 10))
    platform = Platform(daily=50, monthly=1, concurrent=9)
    limits = LimitsPart(daily=50, monthly=50, concurrent=9)
    platform.tell(PlanChangedV1(tenant_id=TENANT, plan="X", limits=limits, requested_by="admin"))
    for number in range(12):
        platform.tell(submit(number))
        platform.finish(number)
    assert list(platform.ledger.ended) == [run_id(number) for number in range(2, 12)]
    assert kinds(platform.tell(submit(11))) == ["command.refused.v1"], "it was submitted before"
    fewer = LimitsPart(daily=50, monthly=1, concurrent=1)
    platform.now += timedelta(days=3)
    platform.tell(PlanChangedV1(tenant_id=TENANT, plan="Y", limits=fewer, requested_by="admin"))
    platform.tell(submit(12))
    platform.finish(12)
    assert list(platform.ledger.ended) == [run_id(number) for number in range(3, 13)]

"""The ledger keeps its promises whatever is asked of it, in whatever order."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.quota import QuotaReachedV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    CancelRunV1,
    ErrorPart,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
)
from contracts.tenants import TenantResumedV1, TenantSuspendedV1
from services.scheduler.domain.deciding import Look, Rules, TenantUnknownError
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import next_reset
from services.scheduler.domain.quota import quota
from services.scheduler.store import LedgerDecider
from tests.scheduler.platforms import (
    CONFIG,
    RULES,
    START,
    TENANT,
    Platform,
    kinds,
    run_id,
    submit,
)


def test_runs_are_admitted_then_queued_then_refused() -> None:
    platform = Platform(daily=100)
    answers = [platform.tell(submit(number))[0] for number in range(7)]
    assert kinds(answers) == (
        ["run.requested.v1"] * 2 + ["run.queued.v1"] * 4 + ["run.rejected.v1"]
    )
    assert [a.position for a in answers if isinstance(a, RunQueuedV1)] == [1, 2, 3, 4]
    assert isinstance(answers[-1], RunRejectedV1)
    assert answers[-1].code == "queue_full"


def test_80_and_100_percent_of_a_limit_are_told_by_the_run_that_reaches_them() -> None:
    platform = Platform(daily=6, monthly=7)
    told = []
    for number in range(7):
        said = platform.tell(submit(number))
        told += [
            (number, e.limit, e.percent, e.used, e.period)
            for e in said
            if isinstance(e, QuotaReachedV1)
        ]
        platform.finish(number) if number < 6 else None
    day = START.date().isoformat()
    assert told == [
        (4, "daily", 80, 5, day),
        (5, "daily", 100, 6, day),
        (5, "monthly", 80, 6, day[:7]),
    ]


def test_a_free_slot_goes_to_the_highest_priority_at_once() -> None:
    platform = Platform()
    for number, priority in enumerate((0, 0, 0, 5, 0)):
        platform.tell(submit(number, priority))
    ended, requested = platform.finish(0)
    assert isinstance(ended, RunFinishedV1)
    assert isinstance(requested, RunRequestedV1)
    assert requested.run_id == run_id(3)
    assert requested.reason == "a slot is free, and it is its turn in the queue"


def test_the_daily_limit_names_itself_and_a_new_day_is_a_new_count() -> None:
    platform = Platform()
    for number in range(6):
        platform.tell(submit(number))
        platform.finish(number)
    (refused,) = platform.tell(submit(6))
    assert isinstance(refused, RunRejectedV1)
    assert (refused.code, refused.limit) == ("quota_exceeded", "daily")
    assert refused.resets_at == datetime(2026, 2, 28, tzinfo=UTC)
    platform.now += timedelta(hours=3)
    assert kinds(platform.tell(submit(7))) == ["run.requested.v1"]


def test_a_clock_that_goes_back_opens_no_new_day() -> None:
    platform = Platform()
    platform.now += timedelta(hours=3)
    for number in range(6):
        platform.tell(submit(number))
        platform.finish(number)
    platform.now -= timedelta(hours=4)
    assert kinds(platform.tell(submit(6))) == ["run.rejected.v1"]


def test_a_lost_attempt_is_requested_again_and_its_late_words_change_nothing() -> None:
    platform = Platform()
    platform.tell(submit(0))
    platform.now += timedelta(seconds=61)
    (again,) = platform.look()
    assert isinstance(again, RunRequestedV1)
    assert again.attempt == 2
    assert again.reason == "attempt 1 was silent for 60 s"
    assert platform.finish(0, attempt=1) == []
    (ended,) = platform.finish(0, attempt=2)
    assert isinstance(ended, RunFinishedV1)
    assert platform.finish(0, attempt=2) == []


PATIENT = Rules(lease_seconds=60, max_attempts=100)


def test_what_nobody_begins_may_wait_longer_each_time_until_somebody_says_a_word() -> None:
    platform = Platform(rules=PATIENT)
    platform.tell(submit(0))
    allowed = []
    for patience in (60, 60, 120, 240, 240):
        platform.now += timedelta(seconds=patience - 1)
        assert platform.look() == []
        platform.now += timedelta(seconds=2)
        (again,) = platform.look()
        assert isinstance(again, RunRequestedV1)
        assert again.reason == f"attempt {again.attempt - 1} was silent for {patience} s"
        allowed.append(again.begin_seconds)
    assert allowed == [60, 120, 240, 240, 240]
    alive = AttemptHeartbeatV1(tenant_id=TENANT, run_id=run_id(0), attempt=1 + len(allowed))
    platform.tell(alive)
    platform.now += timedelta(seconds=61)
    (anew,) = platform.look()
    assert isinstance(anew, RunRequestedV1)
    assert anew.begin_seconds == 60


def test_what_was_given_back_is_to_be_begun_within_a_lease() -> None:
    platform = Platform(rules=PATIENT)
    platform.tell(submit(0))
    for _ in range(2):
        platform.now += timedelta(seconds=61)
        platform.look()
    back = AttemptReturnedV1(tenant_id=TENANT, run_id=run_id(0), attempt=3)
    (again,) = platform.tell(back)
    assert isinstance(again, RunRequestedV1)
    assert again.begin_seconds == 60


def test_a_heartbeat_keeps_the_attempt() -> None:
    platform = Platform()
    platform.tell(submit(0))
    for _ in range(5):
        platform.now += timedelta(seconds=50)
        alive = AttemptHeartbeatV1(tenant_id=TENANT, run_id=run_id(0), attempt=1)
        platform.tell(alive)
        assert platform.look() == []


def test_a_heartbeat_of_an_attempt_that_was_given_up_keeps_none() -> None:
    platform = Platform()
    platform.tell(submit(0))
    platform.now += timedelta(seconds=61)
    assert kinds(platform.look()) == ["run.requested.v1"]
    platform.now += timedelta(seconds=50)
    late = AttemptHeartbeatV1(tenant_id=TENANT, run_id=run_id(0), attempt=1)
    assert platform.tell(late) == []
    platform.now += timedelta(seconds=11)
    (again,) = platform.look()
    assert isinstance(again, RunRequestedV1)
    assert again.reason == "attempt 2 was silent for 60 s"


def test_a_run_the_platform_keeps_losing_fails_and_is_refunded() -> None:
    platform = Platform()
    platform.tell(submit(0))
    for _ in range(2):
        platform.now += timedelta(seconds=61)
        assert kinds(platform.look()) == ["run.requested.v1"]
    platform.now += timedelta(seconds=121)
    (ended,) = platform.look()
    assert isinstance(ended, RunFinishedV1)
    assert (ended.status, ended.error and ended.error.code) == ("FAILED", "platform_lost_run")
    assert ended.refunded
    assert quota(platform.ledger, TENANT, platform.now, RULES).used_today == 0


def failed(number: int, code: str, status: str = "FAILED") -> AttemptFinishedV1:
    return AttemptFinishedV1(
        tenant_id=TENANT,
        run_id=run_id(number),
        attempt=1,
        status=RunStatus(status),
        started_at=START,
        finished_at=START,
        error=ErrorPart(code=code, detail="…"),
    )


@pytest.mark.parametrize(
    ("code", "status", "charged"),
    [
        ("internal_error", "FAILED", 0),
        ("bigquery_unavailable", "FAILED", 0),
        ("data_quality", "FAILED", 1),
        ("timeout", "FAILED", 1),
        ("internal_error", "COMPLETED", 1),  # of a step that its run went on without
    ],
)
def test_a_run_that_fails_for_a_fault_of_the_platform_is_refunded(
    code: str, status: str, charged: int
) -> None:
    platform = Platform()
    platform.tell(submit(0))
    (ended,) = platform.tell(failed(0, code, status))
    assert isinstance(ended, RunFinishedV1)
    assert ended.refunded is (charged == 0)
    said = quota(platform.ledger, TENANT, platform.now, RULES)
    assert (said.used_today, said.used_this_month) == (charged, charged)


def test_a_refund_goes_to_the_period_that_was_charged() -> None:
    platform = Platform()
    platform.tell(submit(0))
    platform.now += timedelta(hours=3)  # another day of the same month
    platform.tell(submit(1))
    platform.tell(failed(0, "internal_error"))
    said = quota(platform.ledger, TENANT, platform.now, RULES)
    assert (said.used_today, said.used_this_month) == (1, 1)
    platform.tell(failed(1, "internal_error"))
    platform.tell(submit(2))
    platform.now = datetime(2026, 3, 1, 1, tzinfo=UTC)
    platform.tell(submit(3))
    platform.tell(failed(2, "internal_error"))
    said = quota(platform.ledger, TENANT, platform.now, RULES)
    assert (said.used_today, said.used_this_month) == (1, 1), "nothing is given to a new month"


def test_a_queued_run_is_cancelled_at_once_and_an_ended_one_never() -> None:
    platform = Platform(concurrent=1)
    platform.tell(submit(0))
    platform.tell(submit(1))
    cancel = CancelRunV1(tenant_id=TENANT, run_id=run_id(1), requested_by="test")
    (ended,) = platform.tell(cancel)
    assert isinstance(ended, RunFinishedV1)
    assert (ended.status, ended.reason) == ("CANCELLED", "test cancelled it before it began")
    (refused,) = platform.tell(cancel)
    assert "CANCELLED already" in getattr(refused, "detail", "")


def test_a_cancelled_run_is_asked_to_stop_also_when_it_starts_late() -> None:
    platform = Platform()
    platform.tell(submit(0))
    cancel = CancelRunV1(tenant_id=TENANT, run_id=run_id(0), requested_by="test")
    assert kinds(platform.tell(cancel)) == ["run.cancel_requested.v1"]
    started = AttemptStartedV1(
        tenant_id=TENANT,
        run_id=run_id(0),
        config_id=CONFIG,
        attempt=1,
        steps=("make",),
        started_at=platform.now,
    )
    assert kinds(platform.tell(started)) == ["run.cancel_requested.v1"]
    alive = AttemptHeartbeatV1(tenant_id=TENANT, run_id=run_id(0), attempt=1)
    assert kinds(platform.tell(alive)) == ["run.cancel_requested.v1"]  # until it is heard


def test_a_suspended_tenant_starts_nothing() -> None:
    platform = Platform(concurrent=1)
    platform.tell(submit(0))
    platform.tell(submit(1))
    platform.tell(TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin"))
    assert kinds(platform.finish(0)) == ["run.finished.v1"]
    assert kinds(platform.tell(submit(2))) == ["run.rejected.v1"]
    resumed = platform.tell(TenantResumedV1(tenant_id=TENANT, requested_by="admin"))
    assert kinds(resumed) == ["run.requested.v1"]
    assert platform.look() == []


def test_a_tenant_that_is_not_known_yet_is_waited_for() -> None:
    with pytest.raises(TenantUnknownError):
        LedgerDecider(RULES).decide(Ledger(), submit(0), START)


@pytest.mark.parametrize(
    ("day", "limit", "expected"),
    [
        ("2026-02-28", "daily", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2028-02-28", "daily", datetime(2028, 2, 29, tzinfo=UTC)),
        ("2026-12-31", "monthly", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-01-31", "monthly", datetime(2026, 2, 1, tzinfo=UTC)),
    ],
)
def test_periods_end_when_the_calendar_says(day: str, limit: str, expected: datetime) -> None:
    assert next_reset(day, limit) == expected


def test_a_look_uses_its_reminder_up_and_an_older_one_decides_nothing() -> None:
    """So a reminder can be dropped after any look under it, whatever the clocks say."""
    platform = Platform()
    platform.tell(submit(0))
    first = platform.ledger.reminders
    platform.now -= timedelta(minutes=10)
    assert platform.tell(Look(tenant_id=TENANT, reminder=first)) == []
    assert platform.ledger.reminders == first + 1, "also when it was too early"
    platform.now += timedelta(minutes=12)
    assert platform.tell(Look(tenant_id=TENANT, reminder=first)) == []
    again = platform.tell(Look(tenant_id=TENANT, reminder=first + 1))
    assert kinds(again) == ["run.requested.v1"]

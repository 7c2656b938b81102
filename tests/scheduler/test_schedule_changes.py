"""Each time belongs to the schedule that stood when it came, and none is lost or counted twice."""

from datetime import timedelta

import pytest

from contracts.identifiers import ConfigId
from contracts.message import Message
from contracts.pipelines import SaveConfigV1
from contracts.runs import RunRejectedV1, RunRequestedV1
from contracts.schedules import (
    MisfirePolicy,
    SaveScheduleV1,
    ScheduleMissedV1,
    SchedulePart,
    ScheduleSavedV1,
)
from contracts.tenants import TenantResumedV1, TenantSuspendedV1
from services.scheduler.domain import schedules
from services.scheduler.domain.deciding import KeepConfig, Rules
from tests.scheduler.platforms import CONFIG, DEFINITION, START, TENANT, Platform
from tests.scheduler.test_schedules import PATIENT, scheduled


def resaved(platform: Platform, cron: str, **more: object) -> list[Message]:
    schedule = SchedulePart.model_validate({"config_id": CONFIG, "cron": cron, **more})
    return platform.tell(SaveScheduleV1(tenant_id=TENANT, schedule=schedule, requested_by="test"))


def begun(said: list[Message]) -> list[RunRequestedV1]:
    return [m for m in said if isinstance(m, RunRequestedV1) and m.attempt == 1]


def missed(said: list[Message]) -> list[ScheduleMissedV1]:
    return [m for m in said if isinstance(m, ScheduleMissedV1)]


@pytest.mark.parametrize("cron", ["0 * * * *", "5 * * * *"], ids=["same times", "other times"])
@pytest.mark.parametrize("jitter", [0, 600])
def test_a_time_that_has_come_is_not_lost_when_its_schedule_is_saved(
    cron: str, jitter: int
) -> None:
    """The tick of 23:00 comes at 23:00:40; meanwhile something else of the schedule changes."""
    platform = scheduled("0 * * * *", jitter_seconds=jitter, parameters={"by": "old"})
    platform.now = START + timedelta(hours=1, seconds=20)
    said = resaved(platform, cron, priority=3, jitter_seconds=jitter, parameters={"by": "new"})
    (run,) = begun(said)
    assert run.parameters == {"by": "old"}, "what was due is of the schedule that stood then"
    saved = said[-1]
    assert isinstance(saved, ScheduleSavedV1)
    assert saved.next_times[0] == START + timedelta(
        hours=1 if cron[0] == "5" else 2, minutes=int(cron[0])
    )
    assert begun(platform.pass_time(seconds=20)) == []
    platform.now = saved.next_times[0] + timedelta(seconds=jitter)
    (run,) = begun(platform.look())
    assert run.parameters == {"by": "new"}


def test_a_new_schedule_counts_from_the_moment_it_is_saved() -> None:
    platform = Platform(daily=1000, monthly=5000, concurrent=500)
    platform.now = START.replace(minute=0, second=20)
    scheduled("0 * * * *", platform)
    assert begun(platform.pass_time(seconds=20)) == []
    assert platform.ledger.schedules[CONFIG].due_at == START + timedelta(hours=1)
    exactly = Platform(daily=1000, monthly=5000, concurrent=500)
    scheduled("0 * * * *", exactly)
    assert exactly.ledger.schedules[CONFIG].due_at == START + timedelta(hours=1)


def test_another_revision_of_the_pipeline_leaves_the_time_that_is_pending() -> None:
    platform = scheduled("0 * * * *")
    platform.now = START + timedelta(hours=1, seconds=20)
    save = SaveConfigV1(tenant_id=TENANT, config_id=CONFIG, source="new", requested_by="test")
    assert begun(platform.tell(KeepConfig(command=save, definition=DEFINITION))) == []
    (run,) = begun(platform.pass_time(seconds=20))
    assert run.revision == 2
    assert begun(platform.pass_time(seconds=60)) == []


def test_a_pause_takes_effect_at_once_and_what_passed_meanwhile_does_not_count() -> None:
    platform = scheduled("0 * * * *")
    platform.now = START + timedelta(hours=1, seconds=20)
    assert begun(resaved(platform, "0 * * * *", enabled=False)) == []
    assert begun(platform.pass_time(hours=3)) == []
    assert begun(resaved(platform, "0 * * * *")) == []
    assert missed(platform.said) == []
    assert len(begun(platform.pass_time(hours=1))) == 1


def test_a_change_after_an_outage_applies_the_policy_that_stood() -> None:
    platform = scheduled("0 * * * *", misfire=MisfirePolicy.RUN_ALL)
    platform.now = START + timedelta(hours=5, minutes=30)
    said = resaved(platform, "0 * * * *", misfire=MisfirePolicy.SKIP)
    assert len(begun(said)) == 5
    assert [one.started for one in missed(said)] == [5]


@pytest.mark.parametrize("cron", ["0 * * * *", "5 * * * *"], ids=["same times", "other times"])
def test_what_a_suspended_tenant_changes_is_acted_on_when_it_is_back(cron: str) -> None:
    platform = scheduled("0 * * * *")
    platform.tell(TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin"))
    platform.now = START + timedelta(hours=3, minutes=30)
    told = missed(resaved(platform, cron))
    said = platform.tell(TenantResumedV1(tenant_id=TENANT, requested_by="admin"))
    if cron == "0 * * * *":
        assert (told, len(begun(said))) == ([], 1)
    else:
        assert ([one.started for one in told], begun(said)) == ([0], [])
    assert not any(isinstance(message, RunRejectedV1) for message in platform.said)


def test_missed_times_that_found_no_quota_were_not_made_up_for() -> None:
    limited = Platform(daily=3, monthly=50, concurrent=50, rules=PATIENT)
    platform = scheduled("0 * * * *", limited, misfire=MisfirePolicy.RUN_ALL)
    platform.now = START.replace(hour=0) + timedelta(days=1, hours=9, minutes=30)
    said = platform.look()
    assert len(begun(said)) == 3
    assert [one.started for one in missed(said)] == [3]
    assert sum(isinstance(one, RunRejectedV1) for one in said) == 7


def test_no_time_is_lost_when_more_are_on_time_than_run_at_once() -> None:
    rules = Rules(lease_seconds=100_000, misfire_seconds=7_200)
    platform = Platform(daily=1000, monthly=5000, concurrent=500, rules=rules)
    scheduled("* * * * *", platform, misfire=MisfirePolicy.RUN_ALL, misfire_limit=100)
    said = platform.pass_time(hours=2)
    assert len(begun(said)) == 120
    assert [one.started for one in missed(said)] == [60]
    platform = Platform(daily=1000, monthly=5000, concurrent=500, rules=rules)
    scheduled("* * * * *", platform, misfire=MisfirePolicy.SKIP)
    said = platform.pass_time(hours=2)
    assert len(begun(said)) == 60
    (told,) = missed(said)
    assert (told.first_due_at, told.until) == (
        START + timedelta(minutes=1),
        START + timedelta(minutes=61),
    )


def test_a_tick_starts_so_many_runs_of_one_tenant_and_the_next_one_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedules, "MOST_AT_ONCE", 2)
    platform = Platform(daily=1000, monthly=5000, concurrent=500)
    for number, minute in enumerate((4, 3, 2, 1, 0)):
        name = ConfigId(f"p{number}")
        save = SaveConfigV1(tenant_id=TENANT, config_id=name, source="…", requested_by="test")
        platform.tell(KeepConfig(command=save, definition=DEFINITION))
        scheduled(f"{minute} * * * *", platform, config_id=name)
    platform.now = START + timedelta(hours=1, minutes=4, seconds=30)
    names = []
    for _ in range(3):
        names.append([run.config_id for run in begun(platform.look())])
        reminder = platform.ledger.reminder
        assert reminder is not None
        platform.now = reminder
    assert names == [["p3", "p2"], ["p1", "p0"], ["p4"]]

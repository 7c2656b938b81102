"""What is remembered, for how long, and by whose clock."""

from datetime import timedelta

import pytest

from contracts.identifiers import ConfigId
from contracts.message import Message
from contracts.pipelines import ConfigSavedV1, DeleteConfigV1, SaveConfigV1
from contracts.platform import CommandRefusedV1
from contracts.runs import AttemptFinishedV1, RunFinishedV1, RunRejectedV1, RunStatus
from contracts.tenants import TenantSuspendedV1
from services.scheduler.domain import configs
from services.scheduler.domain.deciding import KeepConfig, Look
from tests.scheduler.platforms import (
    CONFIG,
    DEFINITION,
    START,
    TENANT,
    Platform,
    run_id,
    submit,
)
from tests.scheduler.test_schedule_changes import resaved
from tests.scheduler.test_schedules import scheduled

FORGET = Look(tenant_id=TENANT, forget=True)


def save(platform: Platform, name: str, source: str = "…") -> Message:
    command = SaveConfigV1(
        tenant_id=TENANT, config_id=ConfigId(name), source=source, requested_by="test"
    )
    (said,) = platform.tell(KeepConfig(command=command, definition=DEFINITION))
    return said


def delete(platform: Platform, name: str) -> None:
    platform.tell(DeleteConfigV1(tenant_id=TENANT, config_id=ConfigId(name), requested_by="test"))


def test_no_revision_number_is_used_again_however_many_definitions_came_and_went(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(configs, "MOST_NAMES", 4)
    platform = Platform()
    for name in ("one", "two", "three"):
        save(platform, name)
        delete(platform, name)
    refused = save(platform, "four")
    assert isinstance(refused, CommandRefusedV1)
    assert refused.code == "too_many_configs"
    assert "4 names of pipelines are in use" in refused.detail
    again = save(platform, "one")
    assert isinstance(again, ConfigSavedV1)
    assert again.revision == 2
    platform.now += timedelta(days=91)
    platform.tell(FORGET)
    assert isinstance(save(platform, "four"), ConfigSavedV1)


def test_the_bound_of_all_definitions_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "MOST_BYTES", 1_000)
    platform = Platform()
    assert isinstance(save(platform, "one", "x" * 900), ConfigSavedV1)
    delete(platform, "one")
    assert isinstance(save(platform, "one", "…" * 500), CommandRefusedV1)


@pytest.mark.parametrize("days", [-90, 90])
def test_an_executor_whose_clock_is_wrong_makes_no_run_forgotten_or_kept(days: int) -> None:
    platform = Platform()
    platform.tell(submit(1))
    off = platform.now + timedelta(days=days)
    said = platform.tell(
        AttemptFinishedV1(
            tenant_id=TENANT,
            run_id=run_id(1),
            attempt=1,
            status=RunStatus.COMPLETED,
            started_at=off - timedelta(seconds=30),
            finished_at=off,
        )
    )
    (ended,) = (one for one in said if isinstance(one, RunFinishedV1))
    assert ended.finished_at == off, "what was reported is what is said"
    assert platform.ledger.usual_seconds == 30
    platform.now += timedelta(days=89)
    platform.tell(FORGET)
    assert run_id(1) in platform.ledger.ended
    platform.now += timedelta(days=2)
    platform.tell(FORGET)
    assert run_id(1) not in platform.ledger.ended


def test_a_run_that_waited_for_ninety_days_is_given_up() -> None:
    platform = Platform(concurrent=1)
    platform.tell(submit(1))
    platform.tell(submit(2))
    platform.tell(TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin"))
    platform.finish(1)
    platform.now += timedelta(days=89)
    assert platform.tell(FORGET) == []
    platform.now += timedelta(days=2)
    (ended,) = platform.tell(FORGET)
    assert isinstance(ended, RunFinishedV1)
    assert (ended.run_id, ended.status) == (run_id(2), RunStatus.CANCELLED)
    assert ended.reason == "it waited for more than 90 days, and is given up"
    assert platform.ledger.runs == {}


def test_a_refused_time_is_not_decided_again_when_the_clock_goes_back() -> None:
    platform = scheduled("*/10 * * * *", Platform(daily=0, monthly=50, concurrent=5))
    refused = [one for one in platform.pass_time(minutes=10) if isinstance(one, RunRejectedV1)]
    assert len(refused) == 1
    platform.now = START + timedelta(minutes=5)
    resaved(platform, "*/10 * * * *")
    assert platform.ledger.schedules[CONFIG].due_at == START + timedelta(minutes=20)
    assert platform.pass_time(minutes=5) == []

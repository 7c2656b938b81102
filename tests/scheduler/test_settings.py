"""Each setting of the scheduler reaches what it governs."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.runs import RunFinishedV1, RunRequestedV1
from libs.settings import SchedulerSettings, ServiceSettings
from services.scheduler.app import rules_of
from services.scheduler.domain.deciding import Look, Rules
from tests.scheduler.platforms import TENANT, Platform, kinds, run_id, submit
from tests.scheduler.test_schedules import scheduled, started

OWN = set(SchedulerSettings.model_fields) - set(ServiceSettings.model_fields)
OTHER: dict[str, Any] = {
    "lease_seconds": 7.0,
    "max_attempts": 2,
    "queue_limit": 3,
    "max_running": 11,
    "max_bytes_billed": 12_345,
    "aging_seconds": 13.0,
    "misfire_seconds": 17.0,
    "keep_days": 19,
}


def test_every_setting_becomes_the_rule_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OWN == set(OTHER) == set(Rules.model_fields)
    for name, value in OTHER.items():
        monkeypatch.setenv(name.upper(), str(value))
    assert rules_of(SchedulerSettings()).model_dump() == OTHER
    assert not OTHER.items() & Rules().model_dump().items(), "no value may be the usual one"


def with_rule(name: str, **limits: int) -> Platform:
    return Platform(**{"daily": 50, "concurrent": 2, **limits}, rules=Rules(**{name: OTHER[name]}))


def test_lease_seconds() -> None:
    platform = with_rule("lease_seconds")
    (begun,) = platform.tell(submit(0))
    assert isinstance(begun, RunRequestedV1)
    assert begun.lease_seconds == 7
    assert platform.pass_time(seconds=6.9) == []
    assert kinds(platform.pass_time(seconds=0.1)) == ["run.requested.v1"]


def test_max_attempts() -> None:
    platform = with_rule("max_attempts")
    platform.tell(submit(0))
    assert kinds(platform.pass_time(seconds=61)) == ["run.requested.v1"]
    (ended,) = platform.pass_time(seconds=61)
    assert isinstance(ended, RunFinishedV1)


def test_queue_limit() -> None:
    platform = with_rule("queue_limit", concurrent=1)
    said = [platform.tell(submit(number))[0].wire_type for number in range(5)]
    assert said == ["run.requested.v1", *["run.queued.v1"] * 3, "run.rejected.v1"]


def test_max_running() -> None:
    assert kinds(with_rule("max_running").tell(submit(0))) == ["run.queued.v1"]
    assert kinds(Platform().tell(submit(0))) == ["run.requested.v1"]


def test_max_bytes_billed() -> None:
    (begun,) = with_rule("max_bytes_billed").tell(submit(0))
    assert isinstance(begun, RunRequestedV1)
    assert begun.max_bytes_billed == 12_345


@pytest.mark.parametrize(("waited", "first"), [(12, 2), (14, 1)])
def test_aging_seconds(waited: int, first: int) -> None:
    """Waiting for 13 s counts as much as one point of priority."""
    platform = with_rule("aging_seconds", concurrent=1)
    platform.tell(submit(0))
    platform.tell(submit(1))
    platform.now += timedelta(seconds=waited)
    platform.tell(submit(2, priority=1))
    _, begun = platform.finish(0)
    assert isinstance(begun, RunRequestedV1)
    assert begun.run_id == run_id(first)


@pytest.mark.parametrize(("late", "runs"), [(17, 1), (18, 0)])
def test_misfire_seconds(late: int, runs: int) -> None:
    platform = scheduled("0 * * * *", with_rule("misfire_seconds"), misfire="skip")
    assert started(platform.pass_time(hours=1, seconds=late)) == runs


@pytest.mark.parametrize(("days", "remembered"), [(19, True), (20, False)])
def test_keep_days(days: int, *, remembered: bool) -> None:
    platform = with_rule("keep_days")
    platform.tell(submit(0))
    platform.finish(0)
    platform.now += timedelta(days=days)
    platform.tell(Look(tenant_id=TENANT, forget=True))
    assert bool(platform.ledger.ended) is remembered

"""Which requested runs an executor begins: each attempt once, none that is too late."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from contracts.envelope import Envelope
from contracts.runs import AttemptStartedV1, RunCancelRequestedV1, RunRequestedV1, RunStatus
from libs.bus.errors import RetryableError
from libs.bus.message import Context
from libs.clock import system_clock
from services.executor.handlers import Runs
from tests.executor.acting import Acting, Stage, envelope_of
from tests.executor.stage import requested, step
from tests.executor.test_attempts import forever, until


class Claimed:
    def __init__(self) -> None:
        self.owners: dict[str, str] = {}

    async def claim(self, name: str, owner: str) -> bool:
        await asyncio.sleep(0)
        return self.owners.setdefault(name, owner) == owner


def runs_of(stage: Stage, claims: Claimed, owner: str = "one") -> Runs:
    def start(request: RunRequestedV1, _: Envelope) -> object:
        return stage.attempt(request)

    return Runs(claims, owner, start, system_clock, 4)  # type: ignore[arg-type]


async def hear(runs: Runs, request: RunRequestedV1, *, age: float = 0) -> None:
    envelope = envelope_of(request)
    sent_at = envelope.time - timedelta(seconds=age)
    await runs.on_run_requested(request, Context(replace(envelope, time=sent_at)))


async def test_a_duplicate_does_nothing() -> None:
    stage, claims, request = Stage(), Claimed(), requested(step("act"))
    one, two = runs_of(stage, claims), runs_of(stage, claims, "two")
    await asyncio.gather(*(hear(runs, request) for runs in (one, two, one, two)))
    for runs in (one, two):
        await runs.finish(5)
    assert stage.acting.ran == ["it"]
    assert len(stage.sent.all(AttemptStartedV1)) == 1


async def test_a_request_whose_lease_has_ended_does_nothing() -> None:
    stage, claims, request = Stage(), Claimed(), requested(step("act"))
    runs = runs_of(stage, claims)
    await hear(runs, request, age=61)
    await runs.finish(1)
    assert (stage.acting.ran, claims.owners) == ([], {})
    await hear(runs_of(stage, claims), request, age=59)
    assert claims.owners


async def test_a_newer_attempt_takes_over_from_an_older_one_here() -> None:
    stage, request = Stage(Acting(forever)), requested(step("act"))
    runs = runs_of(stage, Claimed())
    await hear(runs, request)
    await until(stage, 1)
    await hear(runs, request.model_copy(update={"attempt": 2}))
    await until(stage, 2)
    assert stage.acting.at_once == 1
    await runs.finish(0)


async def test_a_cancellation_is_for_its_attempt_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.executor.runner.STOP_SECONDS", 0.01)
    stage, request = Stage(Acting(forever)), requested(step("act"))
    runs = runs_of(stage, Claimed())
    await hear(runs, request)
    await until(stage, 1)
    for attempt in (2, 1):
        asked = RunCancelRequestedV1(
            tenant_id=request.tenant_id, run_id=request.run_id, attempt=attempt, requested_by="x"
        )
        await runs.on_run_cancel_requested(asked, Context(envelope_of(request)))
    await runs.finish(5)
    assert stage.sent.end.status is RunStatus.CANCELLED


async def test_a_stopping_executor_begins_nothing_and_hands_back_what_it_has() -> None:
    stage, claims, request = Stage(Acting(forever)), Claimed(), requested(step("act"))
    runs = runs_of(stage, claims)
    await hear(runs, request)
    await until(stage, 1)
    await runs.finish(0)
    assert [message.wire_type for message in stage.sent.messages][-1] == "attempt.returned.v1"
    with pytest.raises(RetryableError):
        await hear(runs, requested(step("act")))
    assert len(claims.owners) == 1

"""Which requested runs an executor begins: each attempt once, none that is too late."""

import asyncio
import gc
import sys
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from contracts.envelope import Envelope
from contracts.identifiers import RunId
from contracts.runs import (
    AttemptFinishedV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    RunCancelRequestedV1,
    RunRequestedV1,
    RunStatus,
)
from libs.bus.errors import RetryableError
from libs.bus.message import Context
from libs.clock import system_clock
from services.executor.handlers import WAITING_PER_RUN, Runs
from services.executor.steps.step import StepResult, StepRun
from tests.executor.acting import Act, Acting, Stage, envelope_of
from tests.executor.stage import requested, step
from tests.executor.test_attempts import forever, until

MOST = 4


class Claimed:
    def __init__(self) -> None:
        self.owners: dict[str, str] = {}

    async def claim(self, name: str, owner: str) -> bool:
        await asyncio.sleep(0)
        return self.owners.setdefault(name, owner) == owner


def runs_of(stage: Stage, claims: Claimed, owner: str = "one") -> Runs:
    def start(request: RunRequestedV1, _: Envelope) -> object:
        return stage.attempt(request)

    return Runs(claims, owner, start, system_clock, MOST)  # type: ignore[arg-type]


async def full(claims: Claimed, act: Act = forever) -> tuple[Stage, Runs]:
    """An executor that works on as much as it may."""
    stage = Stage(Acting(act))
    runs = runs_of(stage, claims)
    for _ in range(MOST):
        await hear(runs, requested(step("act")))
    await until(stage, MOST)
    return stage, runs


async def ended(stage: Stage, attempts: int) -> None:
    async with asyncio.timeout(60):
        while len(stage.sent.all(AttemptFinishedV1)) < attempts:  # noqa: ASYNC110  as above
            await asyncio.sleep(0)


async def hear(runs: Runs, request: RunRequestedV1, *, age: float = 0) -> None:
    envelope = envelope_of(request)
    sent_at = envelope.time - timedelta(seconds=age)
    await runs.on_run_requested(request, Context(replace(envelope, time=sent_at)))


async def test_a_duplicate_does_nothing() -> None:
    stage, claims, request = Stage(), Claimed(), requested(step("act"))
    one, two = runs_of(stage, claims), runs_of(stage, claims, "two")
    await asyncio.gather(*(hear(runs, request) for runs in (one, two, one, two)))
    for runs in (one, two):
        await runs.finish(60)
    assert stage.acting.ran == ["it"]
    assert len(stage.sent.all(AttemptStartedV1)) == 1


async def test_a_duplicate_that_comes_after_the_end_does_nothing() -> None:
    stage, request = Stage(), requested(step("act"))
    runs = runs_of(stage, Claimed())
    for _ in range(2):
        await hear(runs, request)
        await ended(stage, 1)
    await runs.finish(60)
    assert stage.acting.ran == ["it"]


@pytest.mark.parametrize(
    ("age", "begin_seconds", "ran"),
    [(59, None, ["it"]), (61, None, []), (119, 120.0, ["it"]), (121, 120.0, [])],
)
async def test_an_attempt_is_begun_while_it_may_be(
    age: float, begin_seconds: float | None, ran: list[str]
) -> None:
    stage, request = Stage(), requested(step("act"), lease_seconds=60, begin_seconds=begin_seconds)
    runs = runs_of(stage, Claimed())
    await hear(runs, request, age=age)
    await runs.finish(60)
    assert stage.acting.ran == ran


async def test_an_executor_without_room_gives_back_what_it_cannot_begin_in_time() -> None:
    stage, runs = await full(Claimed())
    late = requested(step("act", id="late"), lease_seconds=2)
    async with asyncio.timeout(60):
        await hear(runs, late)
        while not stage.sent.all(AttemptReturnedV1):  # noqa: ASYNC110  a fake has no events
            await asyncio.sleep(0)
    assert [said.run_id for said in stage.sent.all(AttemptReturnedV1)] == [late.run_id]
    assert "late" not in stage.acting.ran
    await runs.finish(0)


async def test_what_waits_for_room_begins_when_there_is_some_and_holds_up_no_message() -> None:
    gate = asyncio.Event()

    async def until_open(_: StepRun) -> StepResult | None:
        await gate.wait()
        return None

    stage, runs = await full(Claimed(), until_open)
    for _ in range(3):
        await hear(runs, requested(step("act", id="late")))
    gate.set()
    await ended(stage, MOST + 3)
    assert stage.acting.ran.count("late") == 3
    assert stage.sent.all(AttemptReturnedV1) == []


async def test_no_more_than_a_bound_may_wait() -> None:
    _, runs = await full(Claimed())
    for _ in range(MOST * WAITING_PER_RUN):
        await hear(runs, requested(step("act")))
    with pytest.raises(RetryableError, match="too much to do"):
        await hear(runs, requested(step("act")))
    await runs.finish(0)


async def test_what_waits_is_given_back_at_once_by_an_executor_that_stops() -> None:
    gate = asyncio.Event()

    async def until_open(_: StepRun) -> StepResult | None:
        await gate.wait()
        return None

    stage, runs = await full(Claimed(), until_open)
    waiting = requested(step("act", id="late"))
    await hear(runs, waiting)
    finishing = asyncio.create_task(runs.finish(60))
    async with asyncio.timeout(60):
        while not stage.sent.all(AttemptReturnedV1):  # noqa: ASYNC110  a fake has no events
            await asyncio.sleep(0)
        gate.set()
        await finishing
    assert [said.run_id for said in stage.sent.all(AttemptReturnedV1)] == [waiting.run_id]


async def test_an_executor_stops_in_time_though_the_bus_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.executor.handlers.SHORTEST_HAND_BACK", 0.01)
    stage, runs = await full(Claimed())
    stage.sent.cut_off = True
    async with asyncio.timeout(60):
        await runs.finish(0.01)


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
    await runs.finish(60)
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


async def test_memory_does_not_grow_over_a_thousand_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that an executor keeps between runs, but for what its clients keep.

    Ids come again when they are long forgotten: pydantic keeps the last 16,384 short texts.
    """
    monkeypatch.setattr("services.executor.handlers.REMEMBERED", 50)
    run_ids = [RunId(str(uuid4())) for _ in range(100)]
    stage, claims = Stage(), Claimed()
    runs = runs_of(stage, claims)
    steps = (step("act", id="a"), step("act", id="b", needs=("a",)))

    async def many(count: int) -> None:
        for number in range(count):
            await hear(runs, requested(*steps, run_id=run_ids[number % len(run_ids)]))
            await ended(stage, 1)
            assert stage.sent.end.status is RunStatus.COMPLETED
            for seen in (stage.sent.messages, stage.sent.ids, stage.acting.ran):
                seen.clear()
            stage.acting.tries.clear()
            stage.objects.kept.clear()
            claims.owners.clear()

    await many(200)
    gc.collect()
    before = sys.getallocatedblocks()
    await many(1000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 500  # not one object for two runs
    await runs.finish(0)

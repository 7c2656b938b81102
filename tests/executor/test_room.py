"""What all runs of one executor may do at once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.runs import AttemptHeartbeatV1, AttemptStartedV1, RunStatus
from contracts.steps import StepStartedV1
from services.executor.room import Room
from services.executor.steps.step import StepResult, StepRun
from tests.executor.acting import Acting, Loading, Stage
from tests.executor.stage import requested, step


async def forever(_: StepRun) -> StepResult | None:
    await asyncio.Event().wait()
    return None


async def until_said(stage: Stage, kind: type) -> None:
    async with asyncio.timeout(60):
        while not stage.sent.all(kind):  # noqa: ASYNC110  a fake has no events
            await asyncio.sleep(0)


@contextmanager
def room_taken(room: Room) -> Iterator[asyncio.Task[None]]:
    """By a step of another run, which goes on until the block ends."""
    task = asyncio.create_task(
        Stage(Acting(forever), room=room).attempt(requested(step("act"))).run()
    )
    yield task
    task.cancel()


async def test_runs_share_the_room_of_their_executor() -> None:
    stage = Stage(room=Room(3, 1))
    requests = [requested(*(step("act", id=f"s{n}") for n in range(5))) for _ in range(4)]
    await asyncio.gather(*(stage.attempt(one).run() for one in requests))
    assert len(stage.acting.ran) == 20
    assert stage.acting.most_at_once == 3


async def test_loads_wait_for_one_another_and_hold_up_nothing_else() -> None:
    queries_ended = asyncio.Event()

    async def load(_: StepRun) -> StepResult | None:
        await queries_ended.wait()
        return None

    async def query(_: StepRun) -> StepResult | None:
        if len(stage.acting.ran) == 4:
            queries_ended.set()
        return None

    stage = Stage(Acting(query), loading=Loading(load), room=Room(2, 1))
    steps = [step("load", id=f"l{n}") for n in range(3)]
    steps += [step("act", id=f"q{n}") for n in range(4)]
    async with asyncio.timeout(60):
        assert (await stage.run(requested(*steps))).status is RunStatus.COMPLETED
    assert stage.loading.most_at_once == 1
    assert len(stage.loading.ran) == 3


async def test_a_step_that_waits_for_room_lives_but_has_not_begun() -> None:
    stage = Stage(room=Room(1, 1))
    with room_taken(stage.room) as other:
        await asyncio.sleep(0)
        run = asyncio.create_task(stage.attempt(requested(step("act"), lease_seconds=1.5)).run())
        await until_said(stage, AttemptHeartbeatV1)
        assert stage.sent.all(StepStartedV1) == []
        other.cancel()
        await run
    assert stage.sent.end.status is RunStatus.COMPLETED


async def test_a_step_that_waits_for_room_is_cancelled_at_once() -> None:
    stage = Stage(room=Room(1, 1))
    with room_taken(stage.room):
        await asyncio.sleep(0)
        attempt = stage.attempt(requested(step("act")))
        run = asyncio.create_task(attempt.run())
        await until_said(stage, AttemptStartedV1)
        async with asyncio.timeout(60):
            await attempt.cancel()
            await run
    assert stage.sent.end.status is RunStatus.CANCELLED
    assert stage.acting.ran == []

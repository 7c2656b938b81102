"""Every promise holds in every history; and histories on sabotaged ground are caught."""

import asyncio
from typing import Any

import pytest

from contracts.tenants import LimitsPart
from libs.slotlog.log import Record, Written
from libs.slotlog.writer import Writer
from tests.scheduler.judge import Judge
from tests.scheduler.simulation import GROUND, STARTS, FaultyLog, Ground, Plan, World

PLANS = (
    Plan(),
    Plan(instances=3, tenants=3, max_running=3),
    Plan(limits=LimitsPart(daily=50, monthly=60, concurrent=1), queue_limit=4),
    Plan(tenants=1, limits=LimitsPart(daily=5, monthly=100, concurrent=3), scheduled=False),
)
QUICK, LONG = 200, 2_000
BLOCK = 25


def play(seed: int, ground: Ground = GROUND) -> Judge:
    world = World(seed, PLANS[seed // len(STARTS) % len(PLANS)], ground)
    asyncio.run(world.history())
    judge = Judge(world)
    judge.judge()
    return judge


@pytest.mark.parametrize("first", range(0, QUICK, BLOCK))
def test_promises_hold_in_every_history(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, LONG, 200))
def test_promises_hold_in_many_more_histories(first: int) -> None:
    for seed in range(first, first + 200):
        play(seed)


def test_histories_reach_every_limit() -> None:
    """What is never refused proves nothing about refusals."""
    judges = [play(seed) for seed in range(24)]
    refused = {code for judge in judges for code in judge.refused}
    assert refused == {"quota_exceeded", "queue_full"}
    assert any(judge.places.time for judge in judges)
    assert any(count for judge in judges for count in judge.ended.values())


class NoDedupe(Writer[Any]):
    async def _answer_known(self, _key: str, _lane: object, batch: object) -> object:  # type: ignore[override] # sabotage
        return [w for w in batch if not w.answer.done()]  # type: ignore[attr-defined] # sabotage


class AnswersFirst(Writer[Any]):
    async def _made_durable(self, key: str, lane: object, record: Record, state: Any) -> bool:
        task = asyncio.ensure_future(super()._made_durable(key, lane, record, state))  # type: ignore[arg-type] # sabotage
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)
        return True


class Overwriting(FaultyLog):
    async def append(self, stream: str, slot: int, record: Record) -> Written:
        await self.pause()
        self._slots.setdefault(stream, {})[slot] = record.encode()
        self.written.append((stream, record))
        return Written()


SABOTAGED = {
    "no dedupe": Ground(writer=NoDedupe),
    "acknowledges first": Ground(writer=AnswersFirst),
    "overwrites slots": Ground(log=Overwriting),
}


@pytest.mark.parametrize("ground", SABOTAGED.values(), ids=SABOTAGED)
def test_a_sabotaged_scheduler_is_caught(ground: Ground) -> None:
    for seed in range(60):
        try:
            play(seed, ground)
        except Exception:  # noqa: BLE001  broken promises, and states that no rule can be applied to
            return
    pytest.fail("60 histories on sabotaged ground broke no promise")

"""Two instances, lost replies, duplicates, kills: each input is decided exactly once."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.envelope import Envelope, Wire
from contracts.message import Kind, Message, Service
from libs.slotlog.decider import Decision
from libs.slotlog.log import Record, SlotLog, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Bounds, Writer
from tests.libs.slotlog.toy import LIMIT, Counter, FaultyLog, ask

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Answers = dict[int, list[tuple[Wire, ...]]]


def writer(log: SlotLog, kind: type[Writer[int]] = Writer, **bounds: int) -> Writer[int]:
    return kind(
        log, Counter(), service=Service.SCHEDULER, clock=lambda: NOW, bounds=Bounds(**bounds)
    )


def envelope(number: int) -> Envelope:
    return Envelope(str(number), "run.cancel.v1", Kind.COMMAND, "gateway", NOW, "acme")


async def deliver(one: Writer[int], number: int) -> tuple[Wire, ...]:
    return tuple(await one.submit("acme", ask(number), envelope(number)))


async def simulate(seed: int, kind: type[Writer[int]] = Writer) -> tuple[Answers, FaultyLog]:
    """Deliver ten inputs, each up to three times, to two instances that get killed."""
    log, chance, answers = FaultyLog(seed), random.Random(seed), Answers()
    instances = [writer(log, kind, snapshot_every=3) for _ in range(2)]
    deliveries = [number for number in range(10) for _ in range(chance.randint(1, 3))]
    chance.shuffle(deliveries)

    async def handle(number: int) -> None:
        for _ in range(50):
            which = chance.randrange(len(instances))
            task = asyncio.create_task(deliver(instances[which], number))
            if chance.random() < 0.2:
                for _ in range(chance.randrange(12)):
                    await asyncio.sleep(0)
                task.cancel()  # the process is gone; Pub/Sub delivers again to another
                instances[which] = writer(log, kind, snapshot_every=3)
            try:
                answers.setdefault(number, []).append(await task)
            except asyncio.CancelledError:
                continue
            return

    await asyncio.gather(*(handle(number) for number in deliveries))
    log.trouble = 0
    for number in range(10):
        answers.setdefault(number, []).append(await deliver(writer(log, kind), number))
    return answers, log


async def check(answers: Answers, log: FaultyLog) -> None:
    places = []
    for given_out in answers.values():
        assert len(set(map(key, given_out))) == 1, "a repeat was answered differently"
        places += [wire.data for wires in given_out[:1] for wire in wires]
    assert len(places) == len(set(places)) == LIMIT
    assert await writer(log).state("acme") == LIMIT
    slots = await log.read("scheduler/acme", 0)
    causes = [entry.cause for _, record in slots for entry in record.entries]
    assert len(causes) == len(set(causes)) == LIMIT


def key(wires: Sequence[Wire]) -> tuple[tuple[str, bytes], ...]:
    return tuple((wire.attributes["ce-id"], wire.data) for wire in wires)


@given(st.integers(0, 10**9))
@settings(max_examples=150, deadline=None)
def test_every_input_is_decided_once_whatever_goes_wrong(seed: int) -> None:
    answers, log = asyncio.run(simulate(seed))
    asyncio.run(check(answers, log))


class NoDedupe(Writer[int]):
    async def _answer_known(self, _key: str, _lane: object, batch: object) -> object:  # type: ignore[override] # sabotage
        return [w for w in batch if not w.answer.done()]  # type: ignore[attr-defined] # sabotage


class AnswersFirst(Writer[int]):
    async def _made_durable(self, key: str, lane: object, record: Record) -> bool:
        task = asyncio.ensure_future(super()._made_durable(key, lane, record))  # type: ignore[arg-type] # sabotage
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)
        return True


class Overwriting(FaultyLog):
    async def append(self, stream: str, slot: int, record: Record) -> Written:
        await self._pause()
        self._slots.setdefault(stream, {})[slot] = record.encode()
        return Written()


@pytest.mark.parametrize("sabotage", [NoDedupe, AnswersFirst])
def test_a_sabotaged_writer_is_caught(sabotage: type[Writer[int]]) -> None:
    async def all_seeds() -> None:
        for seed in range(60):
            await check(*await simulate(seed, sabotage))

    with pytest.raises(AssertionError):
        asyncio.run(all_seeds())


def test_a_log_that_overwrites_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.libs.slotlog.test_writer.FaultyLog", Overwriting)

    async def all_seeds() -> None:
        for seed in range(60):
            await check(*await simulate(seed))

    with pytest.raises(AssertionError):
        asyncio.run(all_seeds())


async def test_concurrent_inputs_share_a_record() -> None:
    log = MemorySlotLog()
    one = writer(log)
    await asyncio.gather(*(deliver(one, number) for number in range(LIMIT)))
    records = await log.read("scheduler/acme", 0)
    assert len(records) == 1
    assert len(records[0][1].entries) == LIMIT


async def test_a_snapshot_spares_the_log() -> None:
    log = MemorySlotLog()
    one = writer(log, snapshot_every=2)
    for number in range(4):
        await deliver(one, number)
    await one.close()
    snapshot = await log.latest_snapshot("scheduler/acme")
    assert snapshot is not None
    assert snapshot[0] == 4
    another = writer(log)
    assert await another.state("acme") == 4
    assert key(await deliver(another, 2)) == key(await deliver(one, 2))


async def test_idle_streams_are_forgotten() -> None:
    one = writer(MemorySlotLog(), streams=3)
    for number in range(20):
        await one.submit(f"tenant_{number}", ask(number), envelope(number))
    assert len(one._lanes) <= 3


async def test_what_the_rules_raise_fails_its_own_input_alone() -> None:
    class Picky(Counter):
        def decide(self, state: int, message: object, now: datetime) -> object:  # type: ignore[override] # a test's own
            if message == ask(1):
                raise LookupError(message)
            return super().decide(state, message, now)  # type: ignore[arg-type] # as above

    picky: Any = Picky()
    one: Writer[int] = Writer(MemorySlotLog(), picky, service=Service.SCHEDULER)
    found = await asyncio.gather(*(deliver(one, n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in found] == [tuple, LookupError, tuple]


class OpenedBy(Counter):
    """Refuses until its opener has come."""

    def decide(self, state: int, message: Message, now: datetime) -> Decision:
        if state == 0 and message != ask(0):
            return Decision()
        return super().decide(state, message, now)


async def test_an_instance_that_lags_does_not_refuse_what_the_newest_state_allows() -> None:
    log = MemorySlotLog()
    lagging, other = (
        Writer(log, OpenedBy(), service=Service.SCHEDULER, clock=lambda: NOW) for _ in range(2)
    )
    assert await deliver(lagging, 1) == ()
    assert await deliver(other, 0)
    assert await deliver(lagging, 2)

"""What one writer does well; that many do no harm is for the state machine to show."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.envelope import Envelope, Wire
from contracts.message import Kind, Message, Service
from contracts.platform import CommandRefusedV1
from libs.slotlog.decider import Decision
from libs.slotlog.lanes import Bounds
from libs.slotlog.log import Record, SlotLog, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import LARGE, Writer
from tests.libs.slotlog.toy import LIMIT, TENANT, Counter, ask

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def writer(log: SlotLog, **bounds: int) -> Writer[int]:
    return Writer(
        log, Counter(), service=Service.SCHEDULER, clock=lambda: NOW, bounds=Bounds(**bounds)
    )


def envelope(number: int) -> Envelope:
    return Envelope(str(number), "run.cancel.v1", Kind.COMMAND, "gateway", NOW, "acme")


async def deliver(one: Writer[int], number: int) -> tuple[Wire, ...]:
    return tuple(await one.submit("acme", ask(number), envelope(number)))


def key(wires: Sequence[Wire]) -> tuple[tuple[str, bytes], ...]:
    return tuple((wire.attributes["ce-id"], wire.data) for wire in wires)


async def test_concurrent_inputs_share_a_record() -> None:
    log = MemorySlotLog()
    one = writer(log)
    await asyncio.gather(*(deliver(one, number) for number in range(LIMIT)))
    records = await log.read("scheduler/acme", 0)
    assert len(records) == 1
    assert len(records[0][1].entries) == LIMIT


class Refusing(Counter):
    """Takes a place, and refuses all the same: a refusal that is on record."""

    def decide(self, state: int, message: Message, now: datetime) -> Decision:
        taken = super().decide(state, message, now)
        refusal = CommandRefusedV1(tenant_id=TENANT, code="run_ended", detail="it has ended")
        return Decision(taken.facts, (refusal, *taken.emits))


async def test_a_refusal_on_record_goes_to_the_instance_that_asks_again() -> None:
    log = MemorySlotLog()
    writers = [Writer(log, Refusing(), service=Service.SCHEDULER) for _ in range(2)]
    asked = replace(envelope(1), reply_to="one")
    first = await writers[0].submit("acme", ask(1), asked)
    for one in writers:
        again = await one.submit("acme", ask(1), replace(asked, reply_to="two"))
        assert key(again) == key(first)
        assert [wire.attributes.get("ce-replyto") for wire in again] == ["two", None]
    assert await writers[0].state("acme") == 1


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


class Bulky(Counter):
    """Its state is of so many bytes when it is written."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def dump_state(self, state: int) -> bytes:
        return super().dump_state(state).ljust(self._size)


@pytest.mark.parametrize(
    ("size", "kept"),
    [(0, [1, 2, 3, 4, 5]), (LARGE // 2, [1, 2, 3, 4, 5]), (LARGE, [1, 3, 5]), (9 * LARGE, [1, 5])],
)
async def test_snapshots_of_large_states_are_further_apart(size: int, kept: list[int]) -> None:
    """Once it is known how large they are; what is replayed stays bounded."""
    log, slots = MemorySlotLog(), set()
    bounds = Bounds(snapshot_every=1)
    one = Writer(log, Bulky(size), service=Service.SCHEDULER, bounds=bounds)
    for number in range(LIMIT):
        await deliver(one, number)
        await asyncio.gather(*one._snapshots)
        slots.add((await log.latest_snapshot("scheduler/acme") or (0, b""))[0])
    assert sorted(slots) == kept
    await one.close()


async def test_idle_streams_are_forgotten() -> None:
    one = writer(MemorySlotLog(), streams=3)
    for number in range(20):
        await one.submit(f"tenant_{number}", ask(number), envelope(number))
    assert len(one._lanes) <= 3


async def test_what_is_kept_of_idle_streams_is_bounded_in_bytes() -> None:
    log, most = MemorySlotLog(), 500
    one = writer(log, bytes=most, snapshot_every=5)
    for number in range(60):
        await one.submit(f"tenant_{number % 12}", ask(number), envelope(number))
        assert one._bytes == sum(lane.stream.size for lane in one._lanes.values())
    largest = max(lane.stream.size for lane in one._lanes.values())
    assert 1 < len(one._lanes) < 12
    assert one._bytes <= most + largest
    await one.close()
    crowd = writer(log, bytes=most)  # all of them at once, before the weight of any is known
    await asyncio.gather(*(crowd.state(f"tenant_{number}") for number in range(12)))
    await crowd.state("tenant_0")
    assert crowd._bytes <= most + largest
    assert crowd._bytes == sum(lane.stream.size for lane in crowd._lanes.values())
    another = writer(log, bytes=most)
    for number in range(60):  # what was forgotten is read again, and known for what it is
        wires = await another.submit(f"tenant_{number % 12}", ask(number), envelope(number))
        assert key(wires) == key(
            await one.submit(f"tenant_{number % 12}", ask(number), envelope(number))
        )


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


class Unwritable(MemorySlotLog):
    """Can be read, and for a while not be written."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True
        self.asked = 0

    def make_room(self) -> None:
        self.is_full = False

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        self.asked += 1
        if self.is_full:
            raise UnknownOutcomeError(stream, slot, "no room")
        return await super().append(stream, slot, record)


async def test_a_log_that_cannot_be_written_is_asked_less_and_less() -> None:
    log = Unwritable()
    asyncio.get_running_loop().call_later(0.5, log.make_room)
    wires = await deliver(writer(log), 1)
    assert wires
    assert log.asked < 8
    assert len(await log.read("scheduler/acme", 0)) == 1

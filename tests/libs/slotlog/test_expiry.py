"""Old records go, and nothing else does: not what they led to, nor the order of slots."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from contracts.envelope import Envelope, Wire
from contracts.message import Kind, Service
from libs.slotlog.log import ExpiredError
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from tests.libs.slotlog.toy import Counter, ask

STREAM = "scheduler/acme"
KEPT = timedelta(days=90)


@dataclass(slots=True)
class Clock:
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class NewRules(Counter):
    version = 2


def writer(log: MemorySlotLog, clock: Clock, rules: Counter | None = None) -> Writer[int]:
    return Writer(log, rules or Counter(), service=Service.SCHEDULER, clock=clock)


async def deliver(one: Writer[int], number: int, clock: Clock) -> tuple[Wire, ...]:
    envelope = Envelope(str(number), "run.cancel.v1", Kind.COMMAND, "gateway", clock.now, "acme")
    return tuple(await one.submit("acme", ask(number), envelope))


async def three_old_and_one_new() -> tuple[MemorySlotLog, Clock, Writer[int]]:
    log, clock = MemorySlotLog(), Clock()
    one = writer(log, clock)
    for number in range(3):
        await deliver(one, number, clock)
    clock.now += timedelta(days=100)
    await deliver(one, 3, clock)
    assert await one.expire("acme", clock.now - KEPT) == 3
    return log, clock, one


async def test_who_comes_later_goes_on_where_the_log_ends() -> None:
    log, clock, _ = await three_old_and_one_new()
    another = writer(log, clock)
    assert await another.state("acme") == 4
    assert [key async for key in another.each_key()] == ["acme"]
    await deliver(another, 4, clock)
    assert [slot for slot, _ in await log.read(STREAM, 3)] == [4, 5]


async def test_a_repeat_of_what_has_expired_is_not_decided_again() -> None:
    log, clock, one = await three_old_and_one_new()
    assert await deliver(one, 1, clock) == ()
    assert await writer(log, clock).state("acme") == 4


async def test_an_instance_that_slept_does_not_write_a_slot_that_has_expired() -> None:
    log, clock = MemorySlotLog(), Clock()
    sleeper, busy = writer(log, clock), writer(log, clock)
    await deliver(sleeper, 0, clock)
    for number in (1, 2):
        await deliver(busy, number, clock)
    clock.now += timedelta(days=100)
    await deliver(busy, 3, clock)
    assert await busy.expire("acme", clock.now - KEPT) == 3
    await deliver(sleeper, 4, clock)
    assert await busy.state("acme") == await sleeper.state("acme") == 5


async def test_what_is_young_and_the_last_record_stay() -> None:
    log, clock = MemorySlotLog(), Clock()
    one = writer(log, clock)
    assert await one.expire("acme", clock.now) == 0
    await deliver(one, 0, clock)
    assert await one.expire("acme", clock.now + KEPT) == 0
    await deliver(one, 1, clock)
    assert await one.expire("acme", clock.now - KEPT) == 0
    assert await log.latest_snapshot(STREAM) is None


async def test_a_snapshot_that_cannot_be_read_is_not_taken_for_a_new_stream() -> None:
    log, clock, _ = await three_old_and_one_new()
    stranger = writer(log, clock, NewRules())
    with pytest.raises(ExpiredError, match="scheduler/acme at slot 4"):
        await stranger.state("acme")
    with pytest.raises(ExpiredError):
        await deliver(stranger, 9, clock)
    assert (await log.oldest(STREAM) or (0, None))[0] == 4


async def test_while_the_log_is_whole_other_rules_replay_it() -> None:
    log, clock = MemorySlotLog(), Clock()
    await deliver(writer(log, clock), 0, clock)
    await log.save_snapshot(STREAM, 1, b'{"version":1,"state":1,"inbox":[]}')
    assert await writer(log, clock, NewRules()).state("acme") == 1

"""A batch fails together only when it may go well later; what never will is found and left out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from libs.bus.errors import PermanentError
from libs.bus.router import Delivery
from libs.bus.sink import BatchBounds, Sink
from tests.audit_log.recorder import delivery
from tests.libs.slotlog.toy import ask


@dataclass(slots=True)
class Keeper:
    """Refuses a batch that has a bad one in it; keeps every other."""

    bad: set[int]
    error: Exception
    kept: list[int] = field(default_factory=list)
    calls: int = 0

    async def __call__(self, batch: Sequence[Delivery]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        numbers = [one.envelope.sequence for one in batch]
        if self.bad & set(numbers):
            raise self.error
        self.kept += numbers


async def put_all(keeper: Keeper, count: int) -> list[int]:
    """Return the numbers of those that failed."""
    sink = Sink(keeper, BatchBounds(max_messages=count), lambda one: len(one.received.data))
    deliveries = [delivery(ask(number), sequence=number) for number in range(count)]
    ended = await asyncio.gather(*(sink.put(one) for one in deliveries), return_exceptions=True)
    assert all(end is None or end is keeper.error for end in ended)
    return [number for number, end in enumerate(ended) if end is not None]


@pytest.mark.parametrize("bad", [set(), {0}, {99}, {3, 4, 70}], ids=str)
async def test_what_can_never_be_handled_fails_alone(bad: set[int]) -> None:
    keeper = Keeper(bad, PermanentError("never"))
    assert await put_all(keeper, 100) == sorted(bad)
    assert keeper.kept == [number for number in range(100) if number not in bad]
    assert keeper.calls <= 1 + 2 * 7 * len(bad)


async def test_what_may_go_well_later_fails_together() -> None:
    keeper = Keeper({5}, RuntimeError("later"))
    assert await put_all(keeper, 20) == list(range(20))
    assert (keeper.kept, keeper.calls) == ([], 1)

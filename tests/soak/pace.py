"""When things happen: unevenly, and all of them within the time there is."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")


async def paced(things: Sequence[T], seconds: float, chance: random.Random) -> AsyncIterator[T]:
    """Each when its time comes; what is late by then does not make the others late."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for thing, moment in zip(things, moments(len(things), seconds, chance), strict=True):
        await asyncio.sleep(max(0.0, began + moment - loop.time()))
        yield thing
    await asyncio.sleep(max(0.0, began + seconds - loop.time()))


def moments(count: int, seconds: float, chance: random.Random) -> Iterable[float]:
    pauses = [chance.uniform(0.5, 1.5) for _ in range(count + 1)]
    whole = sum(pauses)
    return [seconds * passed / whole for passed in accumulate(pauses[:-1])]

"""How much of its work one executor does at once, over all runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.executor.steps.step import StepType


class Room:
    """Whoever waited longest is let in first."""

    def __init__(self, steps: int, loads: int) -> None:
        self._steps = asyncio.Semaphore(steps)
        self._loads = asyncio.Semaphore(loads)

    @asynccontextmanager
    async def of(self, type_: StepType | None) -> AsyncIterator[None]:
        """A load waits for its turn before it takes the room of a step."""
        if type_ is None or not type_.carries_rows:
            async with self._steps:
                yield
        else:
            async with self._loads, self._steps:
                yield

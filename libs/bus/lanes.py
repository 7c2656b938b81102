"""Handing messages over: one key after another's end, different keys side by side."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine

from libs.bus.message import Received
from libs.bus.transport import Receiver, Verdict

Settle = Callable[[Received, Verdict], Awaitable[None]]


class Lanes:
    """Runs a receiver over messages, in order within a key. For one event loop."""

    def __init__(self, receiver: Receiver, settle: Settle) -> None:
        self._receiver = receiver
        self._settle = settle
        self._keys: dict[str, deque[Received]] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    def put(self, received: Received) -> None:
        key = received.ordering_key
        if not key:
            self._start(self._one(received))
        elif key in self._keys:
            self._keys[key].append(received)
        else:
            self._keys[key] = deque([received])
            self._start(self._lane(key))

    async def drain(self, grace: float) -> None:
        """Wait for what is being handled; cancel what is not done in time."""
        for waiting in self._keys.values():
            await self._give_back(waiting, keep_first=True)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, work: Coroutine[object, None, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, key: str) -> None:
        waiting = self._keys[key]
        try:
            while waiting:
                if await self._one(waiting[0]) is Verdict.NACK:
                    # The broker sends this one again and, to keep order, all after it.
                    waiting.popleft()
                    await self._give_back(waiting, keep_first=False)
                else:
                    waiting.popleft()
        finally:
            del self._keys[key]

    async def _one(self, received: Received) -> Verdict:
        verdict = await self._receiver(received)
        await self._settle(received, verdict)
        return verdict

    async def _give_back(self, waiting: deque[Received], *, keep_first: bool) -> None:
        first = [waiting.popleft()] if keep_first and waiting else []
        while waiting:
            await self._settle(waiting.popleft(), Verdict.NACK)
        waiting.extend(first)

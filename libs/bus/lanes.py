"""Handing messages over: one key after another's end, different keys side by side."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine

from libs.bus.message import Received
from libs.bus.transport import Receiver, Verdict

LOG = logging.getLogger(__name__)
Settle = Callable[[Received, Verdict], Coroutine[object, None, None]]


class Lanes:
    """Runs a receiver over messages, in order within a key. For one event loop."""

    def __init__(self, receiver: Receiver, settle: Settle) -> None:
        self._receiver = receiver
        self._settle = settle
        self._keys: dict[str, deque[Received]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False

    def put(self, received: Received) -> None:
        key = received.ordering_key
        if self._closed:
            self._start(self._settle(received, Verdict.NACK))
        elif not key:
            self._start(self._one(received))
        elif key in self._keys:
            self._keys[key].append(received)
        else:
            self._keys[key] = deque([received])
            self._start(self._lane(key))

    async def drain(self, grace: float) -> None:
        """Begin nothing more, wait for what is being handled, cancel what is late."""
        self.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def close(self) -> None:
        """From now on, what has not begun is given back."""
        self._closed = True

    def _start(self, work: Coroutine[object, None, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, key: str) -> None:
        waiting = self._keys[key]
        try:
            while waiting:
                verdict = await self._one(waiting[0])
                waiting.popleft()
                if verdict is Verdict.NACK or self._closed:
                    # The broker sends again what is given back and, in order, all after it.
                    await self._give_back(waiting)
        finally:
            del self._keys[key]

    async def _one(self, received: Received) -> Verdict:
        verdict = await self._asked(received)
        await self._settle(received, verdict)
        return verdict

    async def _asked(self, received: Received) -> Verdict:
        """What the receiver decides; what it fails on is given back, and costs nobody the lane."""
        try:
            return await self._receiver(received)
        except Exception as error:
            LOG.exception(
                "a receiver of %s failed: %s; message %s is given back",
                received.subscription,
                type(error).__name__,
                received.message_id,
            )
            return Verdict.NACK

    async def _give_back(self, waiting: deque[Received]) -> None:
        while waiting:
            await self._settle(waiting.popleft(), Verdict.NACK)

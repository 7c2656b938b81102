"""Whose turn it is to write.

DuckDB lets writers run side by side and refuses the one that commits second.
BigQuery queues them instead, so everything that writes takes its turn here.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)


class Gate:
    """Lets one in at a time, first come, first served.

    Threads and tasks of the event loop may queue together; a task waits
    without blocking its loop. Who is inside may enter again.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self._taken = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """For worker threads: blocks until it is their turn."""
        if _INSIDE.get():
            yield
            return
        self._queue_up().result()
        with self._inside():
            yield

    @asynccontextmanager
    async def hold_in_loop(self) -> AsyncIterator[None]:
        """For tasks of the event loop."""
        if _INSIDE.get():
            yield
            return
        await self._wait(self._queue_up())
        with self._inside():
            yield

    async def _wait(self, turn: Future[None]) -> None:
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came at the same moment: hand it on
                self._leave()
            raise

    @contextmanager
    def _inside(self) -> Iterator[None]:
        token = _INSIDE.set(True)
        try:
            yield
        finally:
            _INSIDE.reset(token)
            self._leave()

    def _queue_up(self) -> Future[None]:
        turn: Future[None] = Future()
        with self._mutex:
            if self._taken:
                self._waiting.append(turn)
                return turn
            self._taken = True
        turn.set_result(None)
        return turn

    def _leave(self) -> None:
        with self._mutex:
            while self._waiting:
                following = self._waiting.popleft()
                if following.set_running_or_notify_cancel():
                    break
            else:
                self._taken = False
                return
        following.set_result(None)


GATE = Gate()
"""The one gate of this process, as there is one DuckDB file."""

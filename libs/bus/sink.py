"""Collects deliveries into batches for a handler that wants many at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from libs.bus.errors import PermanentError
from libs.bus.router import BatchHandler, Delivery

Waiting = tuple[Delivery, "asyncio.Future[None]"]


@dataclass(frozen=True, slots=True)
class BatchBounds:
    max_messages: int = 500
    max_bytes: int = 4 << 20
    linger: float = 0.02


class Sink:
    """What `put` returns is done when the batch that holds its delivery has been handled.

    A batch that can never be handled is halved until what is at fault is alone:
    only its own future raises `PermanentError`.
    """

    def __init__(self, handler: BatchHandler, bounds: BatchBounds) -> None:
        self._handler = handler
        self._bounds = bounds
        self._waiting: list[Waiting] = []
        self._bytes = 0
        self._full = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def put(self, delivery: Delivery) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_seen)
        self._waiting.append((delivery, done))
        self._bytes += len(delivery.received.data)
        if len(self._waiting) >= self._bounds.max_messages or self._bytes >= self._bounds.max_bytes:
            self._full.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return done

    async def _work(self) -> None:
        try:
            while self._waiting:
                if not self._full.is_set():
                    await self._linger()
                await self._flush()
        finally:
            self._worker = None

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(self._bounds.linger):
                await self._full.wait()
        except TimeoutError:
            return  # enough waiting: what there is makes the batch

    async def _flush(self) -> None:
        await self._settle(self._take())

    async def _settle(self, batch: Sequence[Waiting]) -> None:
        try:
            await self._handler([delivery for delivery, _ in batch])
        except PermanentError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            half = len(batch) // 2
            await self._settle(batch[:half])
            await self._settle(batch[half:])
        except Exception as error:  # noqa: BLE001  each delivery of the batch has failed by it
            _fail(batch, error)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    def _take(self) -> list[Waiting]:
        count = size = 0
        for delivery, _ in self._waiting[: self._bounds.max_messages]:
            size += len(delivery.received.data)
            if count and size > self._bounds.max_bytes:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes = sum(len(delivery.received.data) for delivery, _ in self._waiting)
        if len(self._waiting) < self._bounds.max_messages and self._bytes < self._bounds.max_bytes:
            self._full.clear()
        return batch


def _fail(batch: Sequence[Waiting], error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)


def _seen(done: "asyncio.Future[None]") -> None:
    """Whoever put it may have failed otherwise and not look any more."""
    if not done.cancelled():
        done.exception()

"""Collects what comes one by one into batches for a handler that wants many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.bus.errors import PermanentError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchBounds:
    max_messages: int = 500
    max_bytes: int = 4 << 20
    linger: float = 0.02


class Sink(Generic[T]):
    """What `put` returns is done when the batch that holds the item has been handled.

    A batch that can never be handled is halved until what is at fault is alone:
    only its own future raises `PermanentError`.
    """

    def __init__(
        self,
        handler: Callable[[Sequence[T]], Awaitable[None]],
        bounds: BatchBounds,
        size: Callable[[T], int],
    ) -> None:
        """`size` says how many bytes an item has."""
        self._handler = handler
        self._bounds = bounds
        self._size = size
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._bytes = 0
        self._full = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> "Iterator[T]":
        """What was put and is in no batch yet."""
        return (item for item, _ in self._waiting)

    def put(self, item: T) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_seen)
        self._waiting.append((item, done))
        self._bytes += self._size(item)
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

    async def _settle(self, batch: "Sequence[tuple[T, asyncio.Future[None]]]") -> None:
        try:
            await self._handler([item for item, _ in batch])
        except PermanentError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            half = len(batch) // 2
            await self._settle(batch[:half])
            await self._settle(batch[half:])
        except Exception as error:  # noqa: BLE001  each item of the batch has failed by it
            _fail(batch, error)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    def _take(self) -> "list[tuple[T, asyncio.Future[None]]]":
        count = taken = 0
        for item, _ in self._waiting[: self._bounds.max_messages]:
            size = self._size(item)
            if count and taken + size > self._bounds.max_bytes:
                break
            count, taken = count + 1, taken + size
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes -= taken
        if len(self._waiting) < self._bounds.max_messages and self._bytes < self._bounds.max_bytes:
            self._full.clear()
        return batch


def _fail(batch: "Sequence[tuple[T, asyncio.Future[None]]]", error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)


def _seen(done: "asyncio.Future[None]") -> None:
    """Whoever put it may have failed otherwise and not look any more."""
    if not done.cancelled():
        done.exception()

"""A process that dies at a chosen point: between any two calls to what lies outside it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contracts.envelope import Wire
from libs.slotlog.cloud_storage import Claims
from libs.slotlog.memory import MemorySlotLog
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import Warehouse
from tests.tenant.desk import Desk


class Crash(Exception):  # noqa: N818  it stands for no error
    """The process is gone: nothing after this point happens."""


@dataclass(slots=True)
class Fuse:
    """Burns down by one before each call; after one call is before the next."""

    left: int = 0
    """It never goes out when it has burnt down already."""

    def guard(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Crash
            return await call(*given, **named)

        return guarded


class Crashing:
    """Passes every call on to what it stands for."""

    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target, self._fuse = target, fuse

    def __getattr__(self, name: str) -> Any:
        return self._fuse.guard(getattr(self._target, name))


class CrashingWarehouse(Warehouse):
    """Makes one object at a time, and knows no call that could not be the last."""

    def __init__(self, target: Warehouse, fuse: Fuse) -> None:
        self._target, self._fuse = target, fuse

    async def ensure(self, *objects: Any) -> Any:
        one = self._fuse.guard(self._target.ensure)
        return [done for wanted in objects for done in await one(wanted)]

    async def drop_dataset(self, unwanted: Dataset, *, only_if_empty: bool = False) -> None:
        await self._fuse.guard(self._target.drop_dataset)(unwanted, only_if_empty=only_if_empty)


class NoWarehouse(Warehouse):
    """For tenants whose datasets nobody will look at."""

    def __init__(self) -> None:
        """It has no client."""

    async def ensure(self, *_: Any) -> Any:
        return []


class Unheard:
    """What it says before it dies, the one after it says again."""

    async def send(self, *_: Wire) -> None:
        """Nobody listens."""


def dying(whole: Desk, log: MemorySlotLog, point: int) -> Desk:
    """An instance that dies at the point, on the state of a log that outlives it."""
    fuse = Fuse(point)
    return Desk(
        CrashingWarehouse(whole.warehouse, fuse),
        whole.bucket,
        Crashing(log, fuse),
        Crashing(Claims(whole.bucket), fuse),
        Crashing(whole.bucket, fuse),
        Crashing(Unheard(), fuse),
    )

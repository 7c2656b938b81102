"""What a history runs on: storage that fails now and then, and worse that tests put there."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.slotlog.bucket import StorageUnavailableError
from libs.slotlog.log import Record, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from services.scheduler.store import LedgerDecider
from tests.scheduler.memory import MemoryObjects


class FaultyLog(MemorySlotLog):
    """Loses replies before and after a write, and now and then cannot be read.

    It keeps the order of all that was written.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.trouble = 0.2
        self.failed = 0
        """How often it could not be used."""
        self.written: list[tuple[str, int, Record]] = []

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        await self.pause()
        if self.chance.random() < self.trouble / 2:
            raise UnknownOutcomeError(stream, slot, "lost before it was written")
        outcome = self._write(stream, slot, record)
        await self.pause()
        if self.chance.random() < self.trouble:
            raise UnknownOutcomeError(stream, slot, "its reply is lost")
        return outcome

    def _write(self, stream: str, slot: int, record: Record) -> Written | Taken:
        slots = self._slots.setdefault(stream, {})
        if slot in slots:
            return Taken(Record.decode(slots[slot]))
        slots[slot] = record.encode()
        self.written.append((stream, slot, record))
        return Written()

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        await self.stumble()
        return await super().read(stream, after, limit)

    async def oldest(self, stream: str) -> tuple[int, Record] | None:
        await self.stumble()
        return await super().oldest(stream)

    async def save_snapshot(self, stream: str, slot: int, state: bytes) -> None:
        await self.stumble()
        await super().save_snapshot(stream, slot, state)

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None:
        await self.stumble()
        return await super().latest_snapshot(stream)

    async def streams(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        await self.stumble()
        return await super().streams(prefix, after, limit)

    async def stumble(self) -> None:
        """Where nobody can tell whether storage will answer, or has done what it was asked."""
        await self.pause()
        if self.chance.random() < self.trouble / 10:
            self.failed += 1
            raise StorageUnavailableError("bucket", "TimeoutError")

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)


class FaultyObjects(MemoryObjects):
    """Fails whenever the log of the same storage might."""

    def __init__(self, log: FaultyLog) -> None:
        super().__init__()
        self._stumble = log.stumble

    async def fetch(self, name: str) -> bytes | None:
        await self._stumble()
        return await super().fetch(name)

    async def replace(self, name: str, body: bytes) -> None:
        await self._stumble()
        await super().replace(name, body)
        await self._stumble()

    async def delete(self, name: str) -> None:
        await self._stumble()
        await super().delete(name)
        await self._stumble()

    async def names(self, prefix: str, start: str = "", limit: int = 1000) -> list[str]:
        await self._stumble()
        return await super().names(prefix, start, limit)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a history runs on."""

    writer: type[Writer[Any]] = Writer
    log: type[FaultyLog] = FaultyLog
    decider: type[LedgerDecider] = LedgerDecider


GROUND = Ground()

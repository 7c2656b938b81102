"""What a history runs on: a log that loses replies, and worse that tests put in its place."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.slotlog.log import Record, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from services.scheduler.store import LedgerDecider


class FaultyLog(MemorySlotLog):
    """Loses replies before and after the write; keeps the order of all that was written."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.trouble = 0.2
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
        await self.pause()
        return await super().read(stream, after, limit)

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a history runs on."""

    writer: type[Writer[Any]] = Writer
    log: type[FaultyLog] = FaultyLog
    decider: type[LedgerDecider] = LedgerDecider


GROUND = Ground()

"""A slot log in memory, for tests: the same rules, and awaits where races happen."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from libs.slotlog.log import Record, Taken, Written


class MemorySlotLog:
    """Keeps encoded bytes, so that what cannot be stored cannot be tested either."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[int, bytes]] = {}
        self._snapshots: dict[str, tuple[int, bytes]] = {}

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        await asyncio.sleep(0)
        slots = self._slots.setdefault(stream, {})
        if (existing := slots.get(slot)) is not None:
            result: Written | Taken = Taken(Record.decode(existing))
        else:
            slots[slot] = record.encode()
            result = Written()
        await asyncio.sleep(0)
        return result

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        await asyncio.sleep(0)
        slots = self._slots.get(stream, {})
        found = []
        for slot in range(after + 1, after + 1 + limit):
            if slot not in slots:
                break
            found.append((slot, Record.decode(slots[slot])))
        return found

    async def oldest(self, stream: str) -> tuple[int, Record] | None:
        await asyncio.sleep(0)
        slots = self._slots.get(stream)
        return (min(slots), Record.decode(slots[min(slots)])) if slots else None

    async def expire(self, stream: str, below: int, before: datetime) -> int:
        gone = 0
        while (found := await self.oldest(stream)) and found[0] < below and found[1].at < before:
            self._slots[stream].pop(found[0], None)
            gone += 1
        return gone

    async def save_snapshot(self, stream: str, slot: int, state: bytes) -> None:
        await asyncio.sleep(0)
        known = self._snapshots.get(stream)
        if known is None or known[0] < slot:
            self._snapshots[stream] = (slot, state)

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None:
        await asyncio.sleep(0)
        return self._snapshots.get(stream)

    async def streams(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        await asyncio.sleep(0)
        names = sorted(n for n in self._slots if n.startswith(f"{prefix}/") and n > after)
        return names[:limit]

    async def check(self) -> None:
        await asyncio.sleep(0)

"""The slot log and the claims in Cloud Storage: create-once objects by precondition."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from libs.slotlog.bucket import Bucket, StorageUnavailableError
from libs.slotlog.log import Record, Taken, UnknownOutcomeError, Written

LOG = logging.getLogger(__name__)

NAME_DIGITS = 12
KEPT_SNAPSHOTS = 2
AT_ONCE = 100


class CloudStorageSlotLog:
    """`ledger/<stream>/<slot>.json`, one object a slot."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        try:
            created = await self._bucket.create(_slot_name(stream, slot), record.encode())
        except StorageUnavailableError as error:
            raise UnknownOutcomeError(stream, slot, str(error)) from error
        if created:
            return Written()
        existing = await self._bucket.fetch(_slot_name(stream, slot))
        if existing is None:
            raise UnknownOutcomeError(stream, slot, "it is taken and cannot be read")
        return Taken(Record.decode(existing))

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        # Almost always nothing or one slot follows: ask for it before listing.
        first = await self._bucket.fetch(_slot_name(stream, after + 1))
        if first is None:
            return ()
        found = [(after + 1, Record.decode(first))]
        if limit > 1:
            found += await self._read_listed(stream, after + 1, limit - 1)
        return found

    async def _read_listed(self, stream: str, after: int, limit: int) -> list[tuple[int, Record]]:
        names = await self._bucket.names(f"ledger/{stream}/", _slot_name(stream, after + 1), limit)
        expected = [_slot_name(stream, after + 1 + i) for i in range(len(names))]
        contiguous = [n for n, e in zip(names, expected, strict=True) if n == e]
        bodies = await asyncio.gather(*(self._bucket.fetch(name) for name in contiguous))
        return [
            (after + 1 + index, Record.decode(body))
            for index, body in enumerate(bodies)
            if body is not None
        ]

    async def oldest(self, stream: str) -> tuple[int, Record] | None:
        for name in await self._bucket.names(f"ledger/{stream}/", limit=1):
            if (body := await self._bucket.fetch(name)) is not None:
                return _slot_of(name), Record.decode(body)
        return None

    async def expire(self, stream: str, below: int, before: datetime) -> int:
        gone = 0
        end = _slot_name(stream, below)
        while names := await self._bucket.names(f"ledger/{stream}/", limit=AT_ONCE):
            old = [name for name in names if name < end]
            bodies = await asyncio.gather(*map(self._bucket.fetch, old))
            expired = [
                name
                for name, body in zip(old, bodies, strict=True)
                if body is not None and Record.decode(body).at < before
            ]
            for name in expired:  # one after another: a crash must leave no gap
                await self._bucket.delete(name)
            gone += len(expired)
            if len(expired) < AT_ONCE:
                break
        return gone

    async def save_snapshot(self, stream: str, slot: int, state: bytes) -> None:
        await self._bucket.replace(_snapshot_name(stream, slot), state)
        names = await self._bucket.names(f"snapshots/{stream}/")
        for name in names[:-KEPT_SNAPSHOTS]:
            await self._bucket.delete(name)

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None:
        while names := await self._bucket.names(f"snapshots/{stream}/"):
            for name in reversed(names):
                if (body := await self._bucket.fetch(name)) is not None:
                    return _slot_of(name), body
            # Newer ones have taken the place of all that were listed: look again.
        return None

    async def streams(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        start = f"ledger/{after}0" if after else ""
        folders = await self._bucket.folders(f"ledger/{prefix}/", start, limit)
        return [folder.removeprefix("ledger/").rstrip("/") for folder in folders]

    async def check(self) -> None:
        await self._bucket.check()


class Claims:
    """Create-once claims: whoever claims a name first has it, until it gives it back."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def claim(self, name: str, owner: str) -> bool:
        """Whether `owner` has the name now; asking again gives the same answer.

        Raises `StorageUnavailableError` when nobody can tell yet.
        """
        path = f"claims/{name}"
        try:
            if await self._bucket.create(path, owner.encode()):
                return True
        except StorageUnavailableError as error:
            LOG.warning("claiming %s: %s; reading who has it", name, error)
        holder = await self._bucket.fetch(path)
        if holder is None:
            raise StorageUnavailableError(path, "the claim may or may not have been made")
        return holder == owner.encode()

    async def holds(self, name: str, owner: str) -> bool:
        return await self._bucket.fetch(f"claims/{name}") == owner.encode()

    async def release(self, name: str, owner: str) -> None:
        """Give a name back; one that `owner` has not is left with whom it belongs to."""
        if await self.holds(name, owner):
            await self._bucket.delete(f"claims/{name}")


def _slot_name(stream: str, slot: int) -> str:
    return f"ledger/{stream}/{slot:0{NAME_DIGITS}d}.json"


def _slot_of(name: str) -> int:
    return int(name.rpartition("/")[2].removesuffix(".json"))


def _snapshot_name(stream: str, slot: int) -> str:
    return f"snapshots/{stream}/{slot:0{NAME_DIGITS}d}.json"

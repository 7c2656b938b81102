"""What objects contain, kept in pieces so that no body needs to be in memory."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5

import google_crc32c

from libs.local_cloud.storage_database import Database

PIECE_BYTES = 1 << 20
# A piece's row id is its content's number and its own, so that one small
# B-tree that only grows at its end holds all bodies.
_PIECE_BITS = 20
_LAST = """
select max((select coalesce(max(id), 0) >> ? from piece),
 (select coalesce(max(content), 0) from object),
 (select coalesce(max(content), 0) from upload))
"""
"""The highest number in use: what is empty has a number and no piece."""


@dataclass(frozen=True, slots=True)
class Digest:
    """The checksums of a content, as Cloud Storage writes them."""

    size: int
    crc32c: str
    md5: str


class Digesting:
    """Makes a digest of bytes that come in pieces."""

    def __init__(self) -> None:
        self._size = 0
        self._crc32c = 0
        self._md5 = md5(usedforsecurity=False)

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        self._md5.update(piece)

    def digest(self) -> Digest:
        crc32c = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        return Digest(self._size, crc32c, base64.b64encode(self._md5.digest()).decode())


def digest_of(body: bytes) -> Digest:
    digesting = Digesting()
    digesting.add(body)
    return digesting.digest()


class Contents:
    """Numbered contents. Several objects may share one; the last to go frees it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        (self._last,) = database.read(_LAST, _PIECE_BITS).fetchone()
        self._pins: Counter[int] = Counter()

    def begin(self) -> int:
        self._last += 1
        return int(self._last)

    def begin_draft(self) -> int:
        """A content that is gone after a crash unless it was adopted."""
        content = self.begin()
        self._database.write("insert into unheld values (?)", content)
        return content

    def adopt(self, content: int) -> None:
        self._database.write("delete from unheld where content = ?", content)

    def drop(self, content: int) -> None:
        """Give up a draft."""
        self._delete(content)

    def drop_drafts(self) -> None:
        """Delete what a crash left: half-received bodies, and those deleted while read."""
        for (content,) in self._database.read("select content from unheld").fetchall():
            self._delete(content)

    def add(self, body: bytes) -> int:
        content = self.begin()
        for number, start in enumerate(range(0, len(body), PIECE_BYTES)):
            self._write(content, number, body[start : start + PIECE_BYTES])
        return content

    async def receive(self, content: int, chunks: AsyncIterable[bytes]) -> AsyncIterator[int]:
        """Append what arrives, piece by piece; gives each piece's length once it is written."""
        buffer = bytearray()
        number = self._pieces(content)
        async for chunk in chunks:
            buffer += chunk
            while len(buffer) >= PIECE_BYTES:
                self._write(content, number, bytes(buffer[:PIECE_BYTES]))
                del buffer[:PIECE_BYTES]
                number += 1
                yield PIECE_BYTES
        if buffer:
            self._write(content, number, bytes(buffer))
            yield len(buffer)

    def pieces(self, content: int) -> Iterator[bytes]:
        for number in range(self._pieces(content)):
            row = self._database.read(
                "select body from piece where id = ?", (content << _PIECE_BITS) + number
            ).fetchone()
            yield row[0]

    def whole(self, content: int) -> bytes:
        """Everything at once: only for what is known to be small."""
        return b"".join(self.pieces(content))

    async def span(self, content: int, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes from `start` to `end` (exclusive) of a content that is pinned."""
        at = 0
        for piece in self.pieces(content):
            if at < end and at + len(piece) > start:
                yield piece[max(0, start - at) : end - at]
            at += len(piece)
            await asyncio.sleep(0)  # others have their turn between pieces

    async def digest(self, content: int) -> Digest:
        digesting = Digesting()
        for piece in self.pieces(content):
            digesting.add(piece)
            await asyncio.sleep(0)
        return digesting.digest()

    def share(self, content: int) -> int:
        self._database.write(
            "insert into sharing values (?, 2)"
            " on conflict (content) do update set objects = objects + 1",
            content,
        )
        return content

    def free(self, content: int) -> None:
        """Give up one object's hold on a content."""
        row = self._database.read(
            "select objects from sharing where content = ?", content
        ).fetchone()
        if row is None:
            self._delete(content)
        elif row[0] == 2:  # noqa: PLR2004  one holder is left, so nothing is shared
            self._database.write("delete from sharing where content = ?", content)
        else:
            self._database.write(
                "update sharing set objects = objects - 1 where content = ?", content
            )

    @contextmanager
    def pinned(self, content: int) -> Iterator[None]:
        """Keep a content readable until the block ends, whatever becomes of its objects."""
        self._pins[content] += 1
        try:
            yield
        finally:
            self._pins[content] -= 1
            if not self._pins[content]:
                del self._pins[content]
                if self._is_unheld(content):
                    self._delete(content)

    def _is_unheld(self, content: int) -> bool:
        found = self._database.read("select 1 from unheld where content = ?", content)
        return found.fetchone() is not None

    def _delete(self, content: int) -> None:
        if content in self._pins:
            self._database.write("insert or ignore into unheld values (?)", content)
            return
        first = content << _PIECE_BITS
        self._database.write(
            "delete from piece where id >= ? and id < ?", first, first + (1 << _PIECE_BITS)
        )
        self.adopt(content)

    def _pieces(self, content: int) -> int:
        first = content << _PIECE_BITS
        (count,) = self._database.read(
            "select count(*) from piece where id >= ? and id < ?",
            first,
            first + (1 << _PIECE_BITS),
        ).fetchone()
        return int(count)

    def _write(self, content: int, number: int, piece: bytes) -> None:
        self._database.write(
            "insert into piece values (?, ?)", (content << _PIECE_BITS) + number, piece
        )

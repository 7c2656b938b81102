"""Files of a tenant's own buckets, by HTTP, through the one guarded way out."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TypeVar

from libs.outgoing.client import Answered, Call, Outgoing, Streamed
from libs.outgoing.errors import OutgoingError, UnreachableError
from services.executor.ingest.asking import (
    PassingError,
    Patience,
    SourceRefusedError,
    passes,
    patiently,
    retry_after,
)
from services.executor.ingest.authorize import Authorizer
from services.executor.ingest.errors import (
    ChangedError,
    NothingDeliveredError,
    RefusedFileError,
)
from services.executor.ingest.places import FoundFile
from services.executor.ingest.stores import Store, WebFile

ATTEMPTS = 5
MOST_READ = 16 << 10
"""So much of a refusal is looked through for secrets; little of it is quoted."""
LISTING_BYTES = 16 << 20
LARGEST_FILE = 64 << 30
LISTING_SECONDS, FILE_SECONDS = 60.0, 3600.0
UNAUTHORIZED, NOT_FOUND, CHANGED = 401, 404, 412
OK = range(200, 300)
GZIP = "gzip"
_PACKING = frozenset({GZIP, "compress", "deflate", "br", "zstd"})
_NO_HEAD = frozenset({403, 405, 501})
"""Answers to HEAD that say nothing of GET: a signed URL is good for one method."""
T = TypeVar("T")


class Reached:
    """Asks one host, again where that may help. For one step; not safe to share."""

    def __init__(self, outgoing: Outgoing, authorizer: Authorizer, seconds: float = inf) -> None:
        """Gives up after so many seconds."""
        self._outgoing, self._authorizer = outgoing, authorizer
        self._patience = Patience.of(ATTEMPTS, seconds)

    async def answer(self, call: Call) -> Answered:
        """Raises `IngestError`."""

        async def read(answer: Streamed) -> Answered:
            return Answered(answer.status, answer.headers, await answer.read())

        limited = replace(call, max_bytes=LISTING_BYTES, total_seconds=LISTING_SECONDS)
        return await self._ask(limited, read)

    async def save(self, call: Call, file: FoundFile, path: Path) -> None:
        """The body of the answer as a file, packed as it comes. Raises `IngestError`."""

        async def read(answer: Streamed) -> None:
            _check_packing(answer, file)
            got = 0
            with path.open("wb") as target:
                async for chunk in answer.chunks():
                    got += len(chunk)
                    target.write(chunk)
            if file.size >= 0 and got != file.size:
                raise PassingError(f"{file.name} has {file.size} bytes but {got} came")

        limited = replace(call, raw=True, max_bytes=LARGEST_FILE, total_seconds=FILE_SECONDS)
        await self._ask(limited, read, file.name)

    async def _ask(self, call: Call, read: Callable[[Streamed], Awaitable[T]], file: str = "") -> T:
        async def once() -> T:
            try:
                let_in = await self._authorizer.authorized(call)
                async with self._outgoing.stream(let_in) as answer:
                    await self._judge(call.host, answer, file)
                    return await read(answer)
            except UnreachableError as error:
                raise PassingError(str(error)) from None
            except OutgoingError as error:
                raise SourceRefusedError(call.host, 0, str(error)) from None

        return await patiently(call.host, self._patience, once)

    async def _judge(self, host: str, answer: Streamed, file: str) -> None:
        status = answer.status
        if status in OK:
            return
        if status == UNAUTHORIZED and self._authorizer.renew():
            raise PassingError("the token is not taken any more", 0.0)
        if passes(status):
            raise PassingError(f"it answered {status}", retry_after(answer.headers))
        if file and status in {NOT_FOUND, CHANGED}:
            raise ChangedError(file)
        body = await answer.read()
        if file and _packing(answer) == {GZIP}:
            body = _begin(body)
        said = body[:MOST_READ].decode(errors="replace")
        raise SourceRefusedError(host, status, " ".join(said.split()))


class RemotePlace:
    """A bucket of the tenant's own."""

    def __init__(self, store: Store, reached: Reached) -> None:
        self._store, self._reached = store, reached
        self.name = self.address = store.name

    async def below(self, prefix: str) -> AsyncIterator[FoundFile]:
        after = ""
        while True:
            answer = await self._reached.answer(self._store.listing(prefix, after))
            files, following = await asyncio.to_thread(self._store.listed, answer.body)
            for file in files:
                yield file
            if not following or following == after:
                return
            after = following

    async def fetch(self, file: FoundFile, spool: Path) -> Path:
        await self._reached.save(self._store.content(file), file, spool)
        return spool


class WebPlace:
    """One file by its URL."""

    def __init__(self, file: WebFile, reached: Reached, unknown: str) -> None:
        """`unknown` stands for the checksum of a file whose server tells none."""
        self._file, self._reached, self._unknown = file, reached, unknown
        self.name, self.address = file.name, file.url
        self._exact = file.url.isascii()

    async def below(self, prefix: str) -> AsyncIterator[FoundFile]:
        if not self._file.file.startswith(prefix):
            return
        try:
            call = Call("HEAD", self._file.url, exact=self._exact, raw=True)
            answer = await self._reached.answer(call)
        except SourceRefusedError as error:
            if error.status == NOT_FOUND:
                raise NothingDeliveredError(self._file.file, self.name) from None
            if error.status not in _NO_HEAD:
                raise
            yield FoundFile(self._file.file, -1, self._unknown)
            return
        told = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        # What is packed on its way need not be as long every time.
        is_plain = "Content-Encoding" not in answer.headers
        length = int(answer.headers.get("Content-Length", -1)) if is_plain else -1
        yield FoundFile(self._file.file, length, told or self._unknown)

    async def fetch(self, file: FoundFile, spool: Path) -> Path:
        await self._reached.save(Call("GET", self._file.url, exact=self._exact), file, spool)
        return spool


def _check_packing(answer: Streamed, file: FoundFile) -> None:
    """Raises `RefusedFileError` for what is packed, and not known by its first bytes."""
    if unknown := _packing(answer) - {GZIP}:
        problem = f"it comes packed with {min(unknown)}, where only gzip is unpacked"
        raise RefusedFileError(file.name, f"{problem}: have it sent as it is")


def _packing(answer: Streamed) -> set[str]:
    """How a body is packed; other words of this header, of which there are many, say nothing."""
    said = ",".join(answer.headers.getall("Content-Encoding", ())).lower().split(",")
    return {word.strip().removeprefix("x-") for word in said} & _PACKING


def _begin(body: bytes) -> bytes:
    """Of what is said in gzip; nothing where it is none."""
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body, MOST_READ)
    except zlib.error:
        return b""

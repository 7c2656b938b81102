"""Where a tenant's files lie: its own folder of the landing bucket, of a local disk, or a bucket.

A pattern never leaves the tenant's folder, whatever dots and slashes it has.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Protocol

from libs.objects import Objects
from services.executor.ingest.errors import ChangedError, IngestError, NothingDeliveredError

MOST_FILES = 10_000
MOST_LISTED = 200_000
_WILD = re.compile(r"[*?\[]")


class BadPatternError(IngestError):
    code = "bad_pattern"

    def __init__(self, pattern: str, problem: str) -> None:
        super().__init__(f"files {pattern!r}: {problem}")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a delivery; `checksum` changes when its content does."""

    name: str
    size: int
    checksum: str
    modified: str = field(default="", compare=False)
    """When, as its place writes times; empty where that is not known."""
    generation: int = field(default=0, compare=False)
    """Which of an object's contents was listed; 0 for what is no object of the landing bucket."""


class Place(Protocol):
    """Where files are found, and brought from to this machine's disk."""

    name: str
    """What a tenant calls it."""

    @property
    def address(self) -> str:
        """Tells it from all others; may hold what lets us in, so that nobody is shown it."""

    def below(self, prefix: str) -> AsyncIterator[FoundFile]:
        """All files whose names begin like this, by name. Raises `IngestError`."""

    async def fetch(self, file: FoundFile, spool: Path) -> Path:
        """The file as it was listed: itself, or a copy at `spool`. Raises `ChangedError`."""


class LandingBucket:
    """`landing/<tenant>/` of the platform's data bucket."""

    def __init__(self, objects: Objects, tenant: str) -> None:
        self._objects, self._root = objects, f"landing/{tenant}/"
        self.name = self.address = f"gs://{objects.bucket}/{self._root}"

    async def below(self, prefix: str) -> AsyncIterator[FoundFile]:
        for found in await self._objects.list(self._root + prefix, MOST_LISTED):
            name = found.name.removeprefix(self._root)
            at = written(found.updated)
            yield FoundFile(name, found.size, found.checksum, at, found.generation)

    async def fetch(self, file: FoundFile, spool: Path) -> Path:
        try:
            await self._objects.download(self._root + file.name, spool, file.generation)
        except FileNotFoundError:
            raise ChangedError(file.name) from None
        return spool

    def uri(self, file: FoundFile) -> str:
        """Whatever it is called, it is below the tenant's folder."""
        return self._objects.uri(self._root + file.name)

    async def tail(self, file: FoundFile, length: int) -> bytes:
        """Its last bytes. Raises `ChangedError`."""
        try:
            return await self._objects.tail(self._root + file.name, length)
        except FileNotFoundError:
            raise ChangedError(file.name) from None


class LocalFolder:
    """`<root>/<tenant>/` of this machine; for development."""

    def __init__(self, root: Path, tenant: str) -> None:
        self._folder = root.resolve() / tenant
        self.name = f"your folder of {root.name}"
        self.address = str(self._folder)

    async def below(self, prefix: str) -> AsyncIterator[FoundFile]:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            inside = path.resolve().is_relative_to(self._folder)
            if path.is_file() and inside and name.startswith(prefix):
                known = path.stat()
                modified = written(datetime.fromtimestamp(known.st_mtime, UTC))
                yield FoundFile(name, known.st_size, _digest(path), modified)

    async def fetch(self, file: FoundFile, spool: Path) -> Path:  # noqa: ARG002
        if not (self._folder / file.name).exists():
            raise ChangedError(file.name)
        return self._folder / file.name


class Either:
    """A folder and the bucket as one place; a file that both have is the folder's."""

    def __init__(self, first: LocalFolder, second: LandingBucket) -> None:
        self._first, self._second = first, second
        self.name = self.address = f"{first.name} and in {second.name}"

    async def below(self, prefix: str) -> AsyncIterator[FoundFile]:
        found = {file.name: file async for file in self._second.below(prefix)}
        found |= {file.name: file async for file in self._first.below(prefix)}
        for name in sorted(found):
            yield found[name]

    async def fetch(self, file: FoundFile, spool: Path) -> Path:
        place: Place = self._second if file.generation else self._first
        return await place.fetch(file, spool)


async def find(place: Place, pattern: str) -> list[FoundFile]:
    """The files that match; raises `NothingDeliveredError` if none does."""
    parts = checked(pattern)
    found = []
    listed = 0
    async for file in place.below(_WILD.split(pattern)[0]):
        listed += 1
        if matches(file.name, parts):
            found.append(file)
        if listed >= MOST_LISTED:
            raise BadPatternError(pattern, f"more than {MOST_LISTED} files begin like it")
        if len(found) > MOST_FILES:
            raise BadPatternError(pattern, f"it matches more than {MOST_FILES} files")
    if not found:
        raise NothingDeliveredError(pattern, place.name)
    return found


def checked(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern; raises `BadPatternError` for one that would lead elsewhere."""
    parts = PurePosixPath(pattern).parts
    if not parts or pattern.startswith("/") or ".." in parts or "\0" in pattern or "\\" in pattern:
        problem = "give a path below your folder such as aws/cur/2026-11/*.csv.gz"
        raise BadPatternError(pattern, problem)
    if "**" in pattern:
        problem = "wild cards stay within a folder: write * for each folder, aws/*/*/bill.csv"
        raise BadPatternError(pattern, problem)
    return parts


def matches(name: str, parts: Sequence[str]) -> bool:
    """Each part of the pattern matches one of the name's; wild cards never cross a slash."""
    names = PurePosixPath(name).parts
    return len(names) == len(parts) and all(
        PurePosixPath(n).match(p) for n, p in zip(names, parts, strict=True)
    )


def written(at: datetime | None) -> str:
    """So that texts come in the order of their times."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if at is not None else ""


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

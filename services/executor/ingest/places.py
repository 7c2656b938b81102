"""Where a tenant's files lie: its own folder of the landing bucket, or of a local disk.

A pattern never leaves the tenant's folder, whatever dots and slashes it has.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from libs.objects import Objects
from services.executor.ingest.errors import IngestError, NothingDeliveredError

MOST_FILES = 10_000
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


class Place(Protocol):
    """Where files are found, and brought from to this machine's disk."""

    async def find(self, tenant: str, pattern: str) -> list[FoundFile]:
        """Those that match, by name; raises `NothingDeliveredError` if none does."""

    async def fetch(self, tenant: str, file: FoundFile, spool: Path) -> Path:
        """The file on disk: itself, or a copy at `spool`."""


class LandingBucket:
    """`landing/<tenant>/` of the platform's data bucket."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def find(self, tenant: str, pattern: str) -> list[FoundFile]:
        parts = checked(pattern)
        root = f"landing/{tenant}/"
        literal = _WILD.split(pattern)[0]
        listed = await self._objects.list(root + literal, MOST_FILES + 1)
        found = [
            FoundFile(o.name.removeprefix(root), o.size, o.checksum)
            for o in listed
            if matches(o.name.removeprefix(root), parts)
        ]
        return _some(found, pattern, f"gs://{self._objects.bucket}/{root}")

    async def fetch(self, tenant: str, file: FoundFile, spool: Path) -> Path:
        try:
            await self._objects.download(f"landing/{tenant}/{file.name}", spool)
        except FileNotFoundError:
            raise NothingDeliveredError(file.name, "the landing bucket", "it has gone") from None
        return spool


class LocalFolder:
    """`<root>/<tenant>/` of this machine; for development."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def find(self, tenant: str, pattern: str) -> list[FoundFile]:
        parts = checked(pattern)
        folder = self._root / tenant
        found = []
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            inside = path.resolve().is_relative_to(folder)
            if path.is_file() and inside and matches(name, parts):
                digest = hashlib.sha256()
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
                found.append(FoundFile(name, path.stat().st_size, digest.hexdigest()))
        return _some(found, pattern, f"your folder of {self._root.name}")

    async def fetch(self, tenant: str, file: FoundFile, spool: Path) -> Path:  # noqa: ARG002
        return self._root / tenant / file.name


class Anywhere:
    """Asks one place after the other; the first that has something answers."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places

    async def find(self, tenant: str, pattern: str) -> list[FoundFile]:
        missing: NothingDeliveredError | None = None
        for place in self._places:
            try:
                return await place.find(tenant, pattern)
            except NothingDeliveredError as error:
                missing = error
        assert missing is not None  # noqa: S101  there is at least one place
        raise missing

    async def fetch(self, tenant: str, file: FoundFile, spool: Path) -> Path:
        for place in self._places[:-1]:
            found = await place.fetch(tenant, file, spool)
            if found.exists():
                return found
        return await self._places[-1].fetch(tenant, file, spool)


def checked(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern; raises `BadPatternError` for one that would lead elsewhere."""
    parts = PurePosixPath(pattern).parts
    if not parts or pattern.startswith("/") or ".." in parts or "\0" in pattern or "\\" in pattern:
        problem = "give a path below your folder such as aws/cur/2026-11/*.csv.gz"
        raise BadPatternError(pattern, problem)
    return parts


def matches(name: str, parts: Sequence[str]) -> bool:
    """Each part of the pattern matches one of the name's; wild cards never cross a slash."""
    names = PurePosixPath(name).parts
    return len(names) == len(parts) and all(
        PurePosixPath(n).match(p) for n, p in zip(names, parts, strict=True)
    )


def _some(found: list[FoundFile], pattern: str, where: str) -> list[FoundFile]:
    if not found:
        raise NothingDeliveredError(pattern, where)
    if len(found) > MOST_FILES:
        raise BadPatternError(pattern, f"it matches more than {MOST_FILES} files")
    return found

"""Providers' lists of what belongs to one delivery: only a whole delivery is read.

AWS writes a manifest per report and month (`reportKeys`), or per export and month
(`dataFiles`); Azure one per run, and every run is the whole month again. OpenAI's
saved pages list nothing, but each says whether another one follows, and of which times it is.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import orjson

from services.executor.ingest.errors import IngestError, RefusedFileError
from services.executor.ingest.openai_pages import Span, read_span
from services.executor.ingest.packed import content
from services.executor.ingest.places import FoundFile, Place

Month = tuple[date, date]
"""Its first day, and that of the month after it."""
Kind = Literal["", "aws", "azure", "openai"]
KINDS: tuple[Kind, ...] = ("", "aws", "azure", "openai")
LARGEST = 16 << 20
MOST = 1000
_AS_OF = "as_of "
_TIME = re.compile(r"\d{4}-")
"""Begins texts that come in the order of their times."""


class IncompleteDeliveryError(IngestError):
    code = "delivery_incomplete"

    def __init__(self, manifest: str, missing: str) -> None:
        super().__init__(f"{manifest}: {missing} is not there, or not whole; deliver it again")


class EmptyManifestError(RefusedFileError):
    def __init__(self, manifest: str) -> None:
        super().__init__(manifest, "it lists no file")


class OlderDeliveryError(IngestError):
    code = "delivery_older"

    def __init__(self, pattern: str, at: str, known: str) -> None:
        super().__init__(
            f"{pattern}: the newest delivery that is whole is of {at}, and the table holds that of"
            f" {known}: deliver the newer one again, or name the older one's own folder in `files`"
        )


class UnknownManifestError(IngestError):
    code = "invalid_config"

    def __init__(self, written: str) -> None:
        super().__init__(f"manifest {written[:40]!r}: there are aws, azure and openai")


def kind_of(written: str) -> Kind:
    """Raises `UnknownManifestError`."""
    for kind in KINDS:
        if kind == written:
            return kind
    raise UnknownManifestError(written)


@dataclass(frozen=True, slots=True)
class Listed:
    """What one manifest says: which files, and how large where it tells."""

    manifest: FoundFile
    at: str
    files: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Whole:
    """A delivery of which every file is there."""

    files: list[FoundFile]
    at: str = ""
    """Its time, if that is known."""


def facts_of(times: Mapping[str, str]) -> dict[str, str]:
    """To be kept with a delivery: of what time it is, by each pattern of manifests."""
    return {f"{_AS_OF}{pattern}": at for pattern, at in times.items() if _TIME.match(at)}


def check_not_older(as_of: Mapping[str, str], facts: Mapping[str, str]) -> None:
    """What is of these times than the delivery with these facts. Raises `OlderDeliveryError`."""
    for name, at in as_of.items():
        if at < (known := facts.get(name, "")):
            raise OlderDeliveryError(name.removeprefix(_AS_OF), at, known)


async def delivered(
    place: Place,
    kind: Kind,
    manifests: Sequence[FoundFile],
    spool: Path,
    month: Month | None = None,
) -> Whole:
    """The newest that there is; of a month, if it is one's.

    Raises `RefusedFileError` for what is no manifest, `IncompleteDeliveryError`.
    """
    if len(manifests) > MOST:
        problem = f"more than {MOST} manifests match; name the folder of one month"
        raise RefusedFileError(manifests[0].name, problem)
    if kind == "openai":
        return Whole(await _pages(place, manifests, spool, month))
    read = [await _read(place, kind, file, spool) for file in manifests]
    lacking: list[IngestError] = []
    for listed in sorted(read, key=lambda one: (one.at, one.manifest.name), reverse=True):
        try:
            return Whole(await _resolve(place, listed), listed.at)
        except (EmptyManifestError, IncompleteDeliveryError) as error:
            lacking.append(error)
    raise lacking[0]


async def _pages(
    place: Place, files: Sequence[FoundFile], spool: Path, month: Month | None
) -> list[FoundFile]:
    """All of them, in the order of their times, if each is there once, first and last too."""
    pages = [
        (await asyncio.to_thread(read_span, await place.fetch(file, spool), file.name), file)
        for file in files
    ]
    pages.sort(key=lambda one: (one[0].begins or 0, one[1].name))
    following = {page.next for page, _ in pages}
    if files and (None not in following or len(following) != len(pages)):
        what = "the last page" if None not in following else "one page for each that follows"
        raise IncompleteDeliveryError(pages[-1][1].name, what)
    _check_times([one for one in pages if one[0].begins is not None], month)
    return [file for _, file in pages]


def _check_times(pages: Sequence[tuple[Span, FoundFile]], month: Month | None) -> None:
    """Where one ends the next begins; the first begins with its month, or is of another time."""
    if pages and month is not None:
        begins, (first, end) = pages[0][0].begins or 0, month
        if _seconds(first) < begins < _seconds(end):
            what = f"the page before it, which begins on {first}"
            raise IncompleteDeliveryError(pages[0][1].name, what)
    for (before, _), (page, file) in pairwise(pages):
        if page.begins != before.ends:
            what = f"what lies between end_time {before.ends} and start_time {page.begins}"
            raise IncompleteDeliveryError(file.name, what)


async def _read(place: Place, kind: Kind, file: FoundFile, spool: Path) -> Listed:
    if file.size > LARGEST:
        raise RefusedFileError(file.name, f"it is larger than {LARGEST} bytes: no manifest")
    path = await place.fetch(file, spool)
    try:
        said: Any = orjson.loads(content(path, file.name, LARGEST))
        return _azure(file, said) if kind == "azure" else _aws(file, said)
    except orjson.JSONDecodeError as error:
        raise RefusedFileError(file.name, f"this is not JSON: {error}") from None
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        problem = f"it is not a manifest of {kind}: {type(error).__name__} {str(error)[:100]}"
        raise RefusedFileError(file.name, problem) from None


def _aws(file: FoundFile, said: Any) -> Listed:
    keys = said["reportKeys"] if "reportKeys" in said else said["dataFiles"]
    return Listed(file, file.modified, {_key(str(key)): -1 for key in keys})


def _azure(file: FoundFile, said: Any) -> Listed:
    files = {str(blob["blobName"]): int(blob["byteCount"]) for blob in said["blobs"]}
    return Listed(file, str(said["runInfo"]["submittedTime"]), files)


def _key(written: str) -> str:
    """`s3://bucket/key` as the key."""
    return written.split("/", 3)[3] if written.startswith("s3://") else written


async def _resolve(place: Place, listed: Listed) -> list[FoundFile]:
    """Each another one. A copied folder keeps the tails of names.

    Raises `EmptyManifestError`, `IncompleteDeliveryError`.
    """
    if not listed.files:
        raise EmptyManifestError(listed.manifest.name)
    folder = PurePosixPath(listed.manifest.name).parent
    found: dict[str, FoundFile] = {}
    for name, size in listed.files.items():
        if ".." in PurePosixPath(name).parts:
            raise RefusedFileError(listed.manifest.name, f"it names {name[:100]!r}")
        tail = PurePosixPath(name)
        near = [folder / tail.parent.name / tail.name, folder / tail.name]
        file = await _first(place, [name, *map(str, near)])
        if file is None or file.name in found or (size >= 0 and file.size != size):
            raise IncompleteDeliveryError(listed.manifest.name, name)
        found[file.name] = file
    return list(found.values())


async def _first(place: Place, names: Sequence[str]) -> FoundFile | None:
    for name in dict.fromkeys(names):
        async for file in place.below(name):
            if file.name == name:
                return file
            break
    return None


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())

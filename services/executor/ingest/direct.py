"""Files of the landing folder that BigQuery loads itself, and what it may make of them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.loading import WAY_OUT
from libs.warehouse.schema import Column, Found, Type
from services.executor.ingest.errors import ChangedError, RefusedColumnError, RefusedFileError
from services.executor.ingest.places import FoundFile, LandingBucket
from services.executor.ingest.readers import NO_PARQUET, Format, format_of

FIRST_LOOK = 64 << 10
LARGEST_FOOTER = 32 << 20
AT_ONCE = 4
_END = b"PAR1"
_TYPES: Mapping[str, Type] = {type_: type_ for type_ in get_args(Type)}


def uris_of(
    landing: LandingBucket, files: Iterable[FoundFile], format_: Format | None
) -> tuple[str, ...]:
    """What a load job is to read. Raises `RefusedFileError`."""
    return tuple(landing.uri(_fit(file, format_)) for file in files)


def _fit(file: FoundFile, format_: Format | None) -> FoundFile:
    """To BigQuery `*` stands for anything, and two slashes are one."""
    if "*" in file.name or {"", ".", ".."} & set(file.name.split("/")):
        problem = "BigQuery would take its name for that of other files (`*`, `//`, `..`); rename"
        raise RefusedFileError(file.name, f"{problem} it, or {WAY_OUT}")
    if (found := format_ or format_of(file.name)) != "parquet":
        problem = f"it is {found}, where BigQuery loads Parquet alone: say so by `format: parquet`"
        raise RefusedFileError(file.name, f"{problem} if it is that, or {WAY_OUT}")
    return file


def check_same(before: Collection[FoundFile], now: Collection[FoundFile]) -> None:
    """Raises `ChangedError` unless the files are those that were listed before."""
    for file in sorted(set(before) ^ set(now), key=lambda file: file.name):
        if file.name in {known.name for known in before}:
            raise ChangedError(file.name)
        raise ChangedError(file.name, "added after the others were listed")


async def check_columns(landing: LandingBucket, files: Sequence[FoundFile]) -> None:
    """Raises `RefusedFileError` unless all have the same: BigQuery asks only the last of them."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def columns(file: FoundFile) -> dict[str, str]:
        async with gate:
            return {name.lower(): name for name in await _columns(landing, file)}

    found = await asyncio.gather(*map(columns, files), return_exceptions=True)
    first: dict[str, str] | None = None
    for file, names in zip(files, found, strict=True):
        if isinstance(names, BaseException):
            raise names
        first = first or names
        _check_alike(file.name, names, files[0].name, first)
        _check_alike(files[0].name, first, file.name, names)


def _check_alike(
    file: str, columns: Mapping[str, str], other: str, others: Mapping[str, str]
) -> None:
    if more := [name for lower, name in columns.items() if lower not in others]:
        problem = f"{other} has no such column, and BigQuery takes the columns of one file for all"
        raise RefusedFileError(file, f"{problem}; {WAY_OUT}", column=more[0])


async def _columns(landing: LandingBucket, file: FoundFile) -> list[str]:
    """As the footer says, which is all that is fetched."""
    end = await landing.tail(file, FIRST_LOOK)
    length = int.from_bytes(end[-8:-4], "little") + 8
    if end[-4:] != _END:
        raise RefusedFileError(file.name, "it is not a whole Parquet file: its end is missing")
    if length > LARGEST_FOOTER:
        problem = f"its footer has {length:,} bytes, of {LARGEST_FOOTER:,} at most"
        raise RefusedFileError(file.name, f"{problem}; {WAY_OUT}")
    if length > len(end):
        end = await landing.tail(file, length)
    try:
        return list(await asyncio.to_thread(lambda: pq.read_schema(pa.BufferReader(end)).names))
    except NO_PARQUET as error:
        problem = f"it is not a whole Parquet file: {str(error)[:200]}"
        raise RefusedFileError(file.name, problem) from None


def columns_of(staged: Iterable[Found], taken: Collection[str]) -> tuple[Column, ...]:
    """Of rows that BigQuery staged, as a table can have them. Raises `RefusedColumnError`."""
    columns = []
    for found in staged:
        type_ = _TYPES.get(found.type)
        if found.name.lower() in taken:
            raise RefusedColumnError(found.name, "this name is the platform's own")
        if type_ is None or found.mode == "REPEATED":
            shown = f"{found.mode} {found.type}" if found.mode == "REPEATED" else found.type
            known = ", ".join(_TYPES)
            raise RefusedColumnError(found.name, f"it is {shown}; expected one of {known}")
        columns.append(Column(found.name, type_))
    return tuple(columns)

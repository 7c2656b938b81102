"""Which line of its file a row stands on, told from the rows as they were delivered.

A file may be gone, or far away, when something is found wrong with one of its rows.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from libs.objects import ObjectsError
from services.executor.ingest.deliveries import Delivery
from services.executor.ingest.parts import each
from services.executor.ingest.readers import Lines, ParquetFile

LINES = "lines"
"""Kept with a delivery whose rows tell their lines: how they do."""
_BREAK = r"\r\n?|\n"


class Kept(Protocol):
    """Where parts are."""

    async def download(self, name: str, path: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Of a row: the part that it was found in, its file, and its number there."""

    part: str
    file: str
    row: int


def said_of(ways: Collection[Lines | None]) -> dict[str, str]:
    """What is to be kept with a delivery of such files, once all have been read."""
    (way,) = ways if len(ways) == 1 else (None,)
    return {LINES: way} if way else {}


async def line_of(objects: Kept, delivery: Delivery, place: Place, spool: Path) -> int | None:
    """None where it cannot be told for certain. Writes to `spool`."""
    match delivery.facts.get(LINES):
        case "csv":
            until = delivery.parts[: delivery.parts.index(place.part) + 1]
            breaks = await _breaks_before(objects, until, place, spool)
            return None if breaks is None else 2 + place.row + breaks
        case "ndjson":
            return 1 + place.row
        case _:
            return None


async def _breaks_before(
    objects: Kept, parts: Sequence[str], place: Place, spool: Path
) -> int | None:
    """Line breaks within values of the file's rows before; None if these are gone."""
    found = 0
    for name in reversed(parts):
        try:
            await objects.download(name, spool)
        except (FileNotFoundError, ObjectsError):
            return None
        breaks, begins = await _in_part(ParquetFile(spool, name), place)
        found += breaks
        if begins:
            return found
    return None


async def _in_part(part: ParquetFile, place: Place) -> tuple[int, bool]:
    """The breaks before a row, and whether the file begins in this part."""
    breaks, begins = 0, False
    async with aclosing(each(part.batches())) as batches:
        async for batch in batches:
            of_file = batch.filter(pl.col("x_file") == place.file)
            begins |= bool((of_file["x_row"] == 0).any())
            breaks += await asyncio.to_thread(_breaks, of_file.filter(pl.col("x_row") < place.row))
            if (of_file["x_row"] >= place.row).any():
                break
    return breaks, begins


def _breaks(rows: pl.DataFrame) -> int:
    texts = rows.select(pl.col(pl.String).exclude("x_file"))
    if not texts.width:
        return 0
    counted = texts.select(pl.sum_horizontal(pl.all().str.count_matches(_BREAK).sum()))
    return int(counted.item() or 0)

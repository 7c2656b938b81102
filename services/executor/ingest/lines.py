"""Which line of its file a row stands on, told from the rows as they were delivered.

A file may be gone, or far away, when something is found wrong with one of its rows.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from libs.objects import Objects
from services.executor.ingest.deliveries import Delivery
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.parts import each
from services.executor.ingest.readers import ParquetFile, format_of

FORMAT = "format"
"""Kept with a delivery of files whose names do not say what they are."""


async def line_of(
    objects: Objects, delivery: Delivery, file: str, row: int, spool: Path
) -> int | None:
    """None for what has no lines. Empty lines, which are no rows, are not counted."""
    match delivery.facts.get(FORMAT) or _said_by(file):
        case "csv":
            breaks = await _breaks_before(objects, delivery.parts, file, row, spool)
            return 2 + row + breaks
        case "ndjson":
            return 1 + row
        case _:
            return None


def _said_by(file: str) -> str | None:
    try:
        return format_of(file)
    except RefusedFileError:
        return None


async def _breaks_before(
    objects: Objects, parts: Sequence[str], file: str, row: int, spool: Path
) -> int:
    """Line breaks within values of the rows before."""
    found = 0
    for name in parts:
        await objects.download(name, spool)
        async for batch in each(ParquetFile(spool, name).batches()):
            before = batch.filter((pl.col("x_file") == file) & (pl.col("x_row") < row))
            found += await asyncio.to_thread(_breaks, before)
    return found


def _breaks(rows: pl.DataFrame) -> int:
    texts = rows.select(pl.col(pl.String).exclude("x_file"))
    if not texts.width:
        return 0
    return int(texts.select(pl.sum_horizontal(pl.all().str.count_matches("\n").sum())).item() or 0)

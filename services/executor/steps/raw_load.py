"""Rows as they were delivered become a slice of a table of the tenant, all at once.

They are kept twice: as a flat table can hold them, in BigQuery; and as they came,
nested values and all, in the data bucket, for the steps that make something of them.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from contracts.runs import RunRequestedV1
from libs.warehouse.schema import Column, Table
from services.executor.ingest.deliveries import Deliveries, Delivery, folder_of
from services.executor.ingest.parts import PartWriter, tabular
from services.executor.ingest.slices import SliceLoad, SliceLoader
from services.executor.steps.step import StepError, StepResult, StepRun
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name

_SLICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
OWN = (
    Column("x_slice", "STRING"),
    Column("x_load_id", "STRING"),
    Column("x_file", "STRING"),
    Column("x_row", "INT64"),
)
DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Target:
    """Which slice of which table is replaced, and by which delivery."""

    table: str
    slice: str
    load_id: str
    files: tuple[str, ...] = ()


class RawLoader:
    """Safe to share between runs."""

    def __init__(self, tools: Tools) -> None:
        self._data = tools.data
        self._warehouse = tools.warehouse
        self.deliveries = Deliveries(tools.data)
        self._slices = SliceLoader(tools.warehouse)

    async def unchanged(self, given: StepRun, target: Target) -> StepResult | None:
        """What the table holds, if that is this delivery already."""
        tenant = str(given.request.tenant_id)
        current = await self.deliveries.current(tenant, target.table, target.slice)
        if current is None or current.load_id != target.load_id:
            return None
        given.tell.progress(rows=current.rows, note="the same files are loaded already")
        return StepResult(current.rows)

    async def replace(
        self, given: StepRun, target: Target, frames: AsyncIterator[pl.DataFrame]
    ) -> StepResult:
        tenant = str(given.request.tenant_id)
        folder = folder_of(tenant, target.table, target.slice, target.load_id)
        with TemporaryDirectory(prefix="load-") as spool:
            (Path(spool) / "flat").mkdir()
            raw = PartWriter(self._data, f"{folder}/raw", Path(spool))
            flat = PartWriter(self._data, f"{folder}/flat", Path(spool) / "flat")
            async for frame in frames:
                await raw.add(frame)
                await flat.add(tabular(frame))
                given.tell.progress(rows=raw.rows)
            await raw.finish()
            await flat.finish()
        jobs = await self._slices.replace(_slice_load(given, target, flat))
        await self._data.delete(*flat.names)
        done = Delivery(
            load_id=target.load_id, files=target.files, parts=tuple(raw.names), rows=raw.rows
        )
        await self.deliveries.commit(tenant, target.table, target.slice, done)
        return StepResult(raw.rows, 0, jobs)

    async def cancel(self, given: StepRun) -> None:
        for part in ("stage", "swap"):
            await self._warehouse.cancel_job(given.job_id_of(part))


def with_own(frame: pl.DataFrame, target: Target, file: str, row: int) -> pl.DataFrame:
    """The frame, and in every row where it comes from; `row` is the number of its first."""
    return frame.with_columns(
        pl.lit(target.slice).alias("x_slice"),
        pl.lit(target.load_id).alias("x_load_id"),
        pl.lit(file).alias("x_file"),
        pl.int_range(row, row + pl.len(), dtype=pl.Int64).alias("x_row"),
    )


def slice_of(written: str, request: RunRequestedV1) -> str:
    """A name such as `2026-11`; `current` and `previous` are months before the run's date.

    Raises `StepError` for what cannot be the name of a slice.
    """
    text = fill_name(written, request)
    if text in {"current", "previous"}:
        year, month = request.run_date.year, request.run_date.month
        months = year * DECEMBER + month - 1 - (text == "previous")
        return f"{months // DECEMBER:04d}-{months % DECEMBER + 1:02d}"
    if not _SLICE.fullmatch(text):
        detail = f"slice {text[:100]!r}: use letters, digits, dots and dashes, e.g. 2026-11"
        raise StepError("invalid_config", detail)
    return text


def _slice_load(given: StepRun, target: Target, parts: PartWriter) -> SliceLoad:
    dataset, _, name = target.table.partition(".")
    columns = tuple(parts.columns.values()) or OWN
    return SliceLoad(
        stage_job=given.job_id_of("stage"),
        swap_job=given.job_id_of("swap"),
        staged=given.staging_table,
        target=Table(dataset, name, columns, cluster_by=("x_slice",)),
        uris=parts.uris,
        rows=parts.rows,
        where="x_slice = @slice",
        parameters={"slice": target.slice},
        labels=given.labels,
    )

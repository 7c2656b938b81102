"""`ingest.replay`: rows in quarantine are tried again, by the contract as it is now.

What fits takes its place in the slice, in one swap with the slice itself; what
still does not fit stays in quarantine.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ConfigDict, Field

from services.executor.ingest.contract import OWN, Aside, Contract, Contracted, Rows
from services.executor.ingest.deliveries import ORIGIN, Delivery
from services.executor.ingest.errors import ColumnConflictError, TooManyColumnsError
from services.executor.ingest.json_columns import MixedError, TooManyFieldsError
from services.executor.ingest.json_rows import Decoder
from services.executor.ingest.parts import ROLE, each
from services.executor.ingest.quarantine import quarantine_of
from services.executor.ingest.readers import JSON_BLOCK, ParquetFile
from services.executor.ingest.spool import spooled
from services.executor.ingest.values import STYLE, Style
from services.executor.steps.phrasing import phrased
from services.executor.steps.raw_load import RawLoader, Target, slice_of, with_own
from services.executor.steps.step import StepError, StepResult, StepRun, StepType
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools

KEY = ("x_file", "x_row")
_OWN = [*(column.name for column in OWN), ROLE]


class Config(Contracted):
    model_config = ConfigDict(frozen=True, extra="forbid")

    target_table: str = Field(min_length=3, max_length=1400)
    """The table that an ingest step fills."""
    slice: str = Field(min_length=1, max_length=300)


class IngestReplay(StepType):
    carries_rows = True

    def __init__(self, tools: Tools) -> None:
        self._data, self._warehouse = tools.data, tools.warehouse
        self._loader = RawLoader(tools)

    async def run(self, given: StepRun) -> StepResult:
        request, config = given.request, given.config(Config)
        table = target_of(config.target_table, request)
        slice_ = slice_of(config.slice, request)
        with phrased(), spooled("replay") as spool:
            current = await self._loader.deliveries.delivered(str(request.tenant_id), table, slice_)
            if not current.aside:
                given.tell.progress(rows=current.rows, note="nothing is in quarantine")
                return StepResult(current.rows)
            _check_names(current)
            aside = await self._aside(table, slice_)
            said = f"{current.load_id} {config.model_dump_json()}".encode()
            load_id = hashlib.sha256(said).hexdigest()[:32]
            target = Target(table, slice_, load_id, current.files, current.roles)
            style = _style(config, current)
            contract = replace(await self._loader.contract(given, table, config), style=style)
            rows = self._rows(current, aside, _Trial(target, contract), spool / "part")
            facts = {**current.facts, ORIGIN: current.origin}
            return await self._loader.replace(given, target, contract, rows, facts=lambda: facts)

    async def cancel(self, given: StepRun) -> None:
        await self._loader.cancel(given)

    async def _aside(self, table: str, slice_: str) -> list[dict[str, Any]]:
        """Raises `TooManyAsideError`: older releases kept any number of bytes."""
        quarantine = f"`{self._warehouse.project}.{quarantine_of(table).path}`"
        there, slices = f"FROM {quarantine} WHERE x_slice = @slice", {"slice": slice_}
        counting = f"SELECT COUNT(*) AS n, IFNULL(SUM(BYTE_LENGTH(row_values)), 0) AS size {there}"
        (found,) = await self._warehouse.query(counting, slices)
        Aside().add(found["n"], found["size"])
        listing = f"SELECT x_file, x_row, row_values {there} ORDER BY x_file, x_row"
        return await self._warehouse.query(listing, slices)

    async def _rows(
        self, current: Delivery, aside: list[dict[str, Any]], trial: "_Trial", spool: Path
    ) -> AsyncIterator[Rows]:
        """The slice as it is, without those rows of it that are tried again; then these."""
        again = pl.DataFrame(
            [(row["x_file"], row["x_row"]) for row in aside],
            schema={"x_file": pl.String, "x_row": pl.Int64},
            orient="row",
        )
        for name in current.parts:
            await self._data.download(name, spool)
            async for batch in each(ParquetFile(spool, name).batches()):
                left = batch.join(again, on=list(KEY), how="anti", maintain_order="left")
                for (file,), rows in left.group_by("x_file", maintain_order=True):
                    yield trial.of(rows.drop(_OWN, strict=False), str(file), rows["x_row"])
        for file, group in groupby(aside, key=lambda row: row["x_file"]):
            for listed in _blocks(group):
                for tried in trial.again(listed, file):
                    yield tried


def _check_names(current: Delivery) -> None:
    """Rows of files that an earlier release gave one name are not told apart: `StepError`."""
    if len(set(current.files)) < len(current.files):
        detail = "several files of this slice have one name: run its `ingest.file` step again first"
        raise StepError("files_alike", detail)


def _style(config: Config, current: Delivery) -> Style:
    """What is kept of the files is read as they were. Raises `StepError`."""
    style = Style.of(current.facts)
    for field in STYLE:
        if field in config.model_fields_set and getattr(config, field) != getattr(style, field):
            was, said = (str(getattr(each, field)).lower() for each in (style, config))
            detail = f"{field} is {said}, but the files were loaded with {field}: {was}"
            advice = (
                f"leave it out; if it is right, run the `ingest.file` step with {field}: {said}"
            )
            raise StepError("invalid_config", f"{detail}; {advice}")
    return style


@dataclass(frozen=True, slots=True)
class _Trial:
    target: Target
    contract: Contract

    def of(self, frame: pl.DataFrame, file: str, which: pl.Series) -> Rows:
        return with_own(self.contract.sort(frame, file, which, _no_line), self.target, file)

    def again(self, listed: list[dict[str, Any]], file: str) -> Iterator[Rows]:
        """Rows that were put aside. Raises `RefusedFileError`."""
        decoder = Decoder()
        values = [decoder.loads(row["row_values"].encode()) for row in listed]
        which = pl.Series([row["x_row"] for row in listed], dtype=pl.Int64)
        done = 0
        try:
            for frame in decoder.frames(values, self.contract.point):
                rows = self.of(frame, file, which.slice(done, frame.height))
                yield replace(rows, written=True)
                done += frame.height
        except TooManyFieldsError:
            raise TooManyColumnsError(file) from None
        except MixedError as error:
            row = int(which[error.row])
            raise ColumnConflictError(file, row, error.column, error.problem) from None


def _blocks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """No more than is made of a file of JSON at once."""
    block, size = list[dict[str, Any]](), 0
    for row in rows:
        block.append(row)
        size += len(row["row_values"])
        if size >= JSON_BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _no_line(_: int) -> None:
    """The file may be gone."""

"""Rows as they were delivered become a slice of a table of the tenant, all at once.

They are kept twice: as a flat table can hold them, in BigQuery; and as they came,
nested values and all, in the data bucket, for the steps that make something of them.
"""

import json
import re
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from contracts.quality import CheckPart
from contracts.runs import RunRequestedV1
from libs.warehouse.errors import ROWS_GONE, JobFailedError
from libs.warehouse.schema import Column, Table
from services.executor.focus.counted import none_of
from services.executor.ingest.contract import (
    OWN,
    PLATFORMS,
    WHOLE,
    Aside,
    Contract,
    Contracted,
    Contracts,
    FrozenError,
    Rows,
)
from services.executor.ingest.deliveries import (
    AT,
    ROUNDED,
    Deliveries,
    Delivery,
    folder_of,
    rounded_in,
)
from services.executor.ingest.direct import columns_of
from services.executor.ingest.flat_parts import FlatParts
from services.executor.ingest.names import Names
from services.executor.ingest.parts import ROLE, PartWriter, tabular
from services.executor.ingest.quarantine import (
    KEPT,
    STAGED,
    SUFFIX,
    emptying,
    parameters,
    putting,
    quarantine_of,
)
from services.executor.ingest.slices import LOAD, SliceLoad, SliceLoader
from services.executor.ingest.spool import spooled
from services.executor.steps.drift import say_drift, tell_drift
from services.executor.steps.quality import quality
from services.executor.steps.step import STAGING_HOURS, StepError, StepResult, StepRun
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name

_SLICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_STAGED = frozenset(column.name for column in STAGED)
_FILLED = {
    "x_slice": "@slice",
    "x_load_id": "@load_id",
    "x_file": "CAST(NULL AS STRING)",
    "x_row": "CAST(NULL AS INT64)",
}
"""What rows have of their own that BigQuery loads itself: it knows no file, and no order."""
DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Target:
    """Which slice of which table is replaced, and by which delivery."""

    table: str
    slice: str
    load_id: str
    files: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    """What each of the files is in the delivery, if anything is said."""
    sparse: bool = False
    """Its records leave out what they have no value for."""


class RawLoader:
    """Safe to share between runs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._data, self._warehouse, self._clock = tools.data, tools.warehouse, tools.clock
        self.deliveries = Deliveries(tools.data)
        self._contracts = Contracts(tools.data)
        self._slices = SliceLoader(tools.warehouse)

    async def unchanged(self, given: StepRun, target: Target) -> StepResult | None:
        """What the table holds, if that is this delivery already."""
        tenant = str(given.request.tenant_id)
        current = await self.deliveries.current(tenant, target.table, target.slice)
        if current is None or current.origin != target.load_id:
            return None
        given.tell.progress(rows=current.rows, note="the same files are loaded already")
        return StepResult(current.rows)

    async def contract(self, given: StepRun, table: str, said: Contracted) -> Contract:
        known = await self._contracts.known(str(given.request.tenant_id), table)
        there = await self._warehouse.columns(table) or ()
        names = Names((column.name for column in there), known.names)
        return Contract(said.contract, said.columns, known, said.style, names)

    async def replace(
        self,
        given: StepRun,
        target: Target,
        contract: Contract,
        sorted_: AsyncIterator[Rows],
        *,
        facts: Callable[[], Mapping[str, str]] = dict,
    ) -> StepResult:
        """Raises what `phrased` knows. The rows have their own columns already.

        `facts`, asked when all rows have been seen, are kept with the delivery.
        """
        tenant, at = str(given.request.tenant_id), self._clock().isoformat()
        with spooled("load") as spool:
            try:
                raw, flat, seen = await self._write(given, target, contract, spool, sorted_)
            except FrozenError as error:
                say_drift(given, self._tools, target.table, added=error.unknown, refused=True)
                raise
        await self._contracts.learn_names(tenant, target.table, contract.names.remembered)
        columns = [c for name, c in flat.columns.items() if name not in _STAGED]
        load = _slice_load(given, target, columns or OWN, flat.uris, flat.rows)
        load = await self._ready(given, target, load, flat.rows, flat.empty)
        if seen.aside:
            load = self._putting_aside(load, target, contract)
        given.spent.add(*await self._slices.replace(load))
        await self._data.delete(*flat.names)
        done = Delivery(
            load_id=target.load_id,
            files=target.files,
            roles=dict(target.roles),
            parts=tuple(raw.names),
            rows=raw.rows,
            aside=seen.aside,
            facts=seen.in_facts({AT: at, **contract.style.said(), **facts()}),
        )
        await self._commit(given, target, load, done)
        self._tell(given, target, contract, done)
        return StepResult(done.rows)

    async def replace_by_bigquery(
        self,
        given: StepRun,
        target: Target,
        uris: tuple[str, ...],
        check: Callable[[], Awaitable[None]],
    ) -> StepResult:
        """BigQuery loads the files itself. Raises what `phrased` knows.

        `check`, asked when they are staged, raises for files that have changed.
        """
        load = _slice_load(given, target, (), uris, None)
        staged = await self._slices.stage(load)
        given.spent.add(staged)
        given.tell.progress(rows=staged.rows)
        await self._warehouse.expire(load.staged, hours=STAGING_HOURS)
        await check()
        found = await self._warehouse.columns(load.staged)
        if found is None:
            raise JobFailedError(load.stage_job, ROWS_GONE, "what it staged is not kept any more")
        load = replace(
            load,
            target=replace(load.target, columns=(*columns_of(found, PLATFORMS), *OWN)),
            filled=_FILLED,
            parameters={**load.parameters, "load_id": target.load_id},
        )
        load = await self._ready(given, target, load, staged.rows)
        given.spent.add(await self._slices.swap(load))
        done = Delivery(
            load_id=target.load_id, files=target.files, rows=staged.rows, loaded_by="bigquery"
        )
        await self._commit(given, target, load, done)
        return StepResult(done.rows)

    async def _ready(
        self,
        given: StepRun,
        target: Target,
        load: SliceLoad,
        rows: int,
        empty: Collection[str] = (),
    ) -> SliceLoad:
        """Tells of columns that come or go; what the slice had in quarantine goes with it."""
        if rows:
            names = [column.name for column in load.target.columns]
            lacking = None if target.sparse else empty
            await tell_drift(given, self._tools, target.table, names, lacking)
        tenant = str(given.request.tenant_id)
        before = await self.deliveries.current(tenant, target.table, target.slice)
        if before is None or not before.aside:
            return load
        return self._emptying_quarantine(load, target)

    async def _commit(
        self, given: StepRun, target: Target, load: SliceLoad, done: Delivery
    ) -> None:
        tenant = str(given.request.tenant_id)
        await self.deliveries.commit(tenant, target.table, target.slice, done)
        await self._contracts.learn(tenant, target.table, _names(load.target.columns))

    async def cancel(self, given: StepRun) -> None:
        for part in ("stage", "swap"):
            await self._warehouse.cancel_job(given.job_id_of(part))

    async def _write(
        self,
        given: StepRun,
        target: Target,
        contract: Contract,
        spool: Path,
        sorted_: AsyncIterator[Rows],
    ) -> tuple[PartWriter, FlatParts, "_Seen"]:
        (spool / "flat").mkdir()
        tenant = str(given.request.tenant_id)
        folder = folder_of(tenant, target.table, target.slice, target.load_id)
        there = await self._warehouse.columns(target.table) or ()
        types = {column.name: column.type for column in there}
        comma = contract.style.decimal_comma
        aside, counted, rounded = list[pl.DataFrame](), Aside(), Counter[str]()
        async with (
            PartWriter(self._data, f"{folder}/raw", spool) as raw,
            FlatParts(
                self._data, f"{folder}/flat", spool / "flat", table=types, decimal_comma=comma
            ) as flat,
        ):
            async for rows in sorted_:
                await raw.add(rows.kept)
                names = contract.names.of(rows.kept.columns, target.table)
                await flat.add(tabular(rows.kept, names, written=rows.written))
                rounded.update(rows.rounded)
                if rows.aside.height:
                    size = int(rows.aside[WHOLE].str.len_bytes().sum())
                    counted.add(rows.aside.height, size)
                    aside.append(rows.aside)
                given.tell.progress(rows=raw.rows)
            for frame in aside:
                await flat.add(frame)
            await raw.finish()
            await flat.finish()
        return raw, flat, _Seen(counted.rows, rounded)

    def _putting_aside(self, load: SliceLoad, target: Target, contract: Contract) -> SliceLoad:
        more = parameters(contract, self._clock())
        load = self._emptying_quarantine(load, target)
        return replace(
            load,
            staged_only=STAGED,
            only=KEPT,
            before=(*load.before, putting(self._warehouse.project, target.table)),
            parameters={**load.parameters, **more},
        )

    def _emptying_quarantine(self, load: SliceLoad, target: Target) -> SliceLoad:
        before = (emptying(self._warehouse.project, target.table),)
        return replace(load, before=before, beside=(quarantine_of(target.table),))

    def _tell(self, given: StepRun, target: Target, contract: Contract, done: Delivery) -> None:
        checks = tuple(_checks(target, contract, done))
        if checks:
            given.tell.say("quality", quality(given, target.table, self._clock(), checks))


@dataclass(frozen=True, slots=True)
class _Seen:
    """Of rows on their way."""

    aside: int
    rounded: Counter[str]

    def in_facts(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Beside what was rounded before, of rows that are tried again."""
        rounded = rounded_in(facts) + self.rounded
        return {**facts, ROUNDED: json.dumps(rounded)} if rounded else {**facts}


def _checks(target: Target, contract: Contract, done: Delivery) -> Iterator[CheckPart]:
    if contract.puts_aside:
        where = f"they are in {target.table}{SUFFIX}" if done.aside else ""
        yield none_of("rows_fit_the_contract", contract.mode, done.aside, done.rows, detail=where)
    if "decimal" in contract.types.values():
        kind, found = "digits_beyond_the_eighteenth_decimal", done.rounded
        where = f"in {', '.join(found)}; declare them as text to keep every digit" if found else ""
        yield none_of("decimals_are_kept", kind, found.total(), done.rows, detail=where)


def with_own(rows: Rows, target: Target, file: str) -> Rows:
    """The rows, and in each of them where it comes from."""
    own = [
        pl.lit(target.slice).alias("x_slice"),
        pl.lit(target.load_id).alias("x_load_id"),
        pl.lit(file).alias("x_file"),
    ]
    if file in target.roles:
        own.append(pl.lit(target.roles[file]).alias(ROLE))
    kept, aside = rows.kept.with_columns(own), rows.aside.with_columns(own)
    return replace(rows, kept=kept, aside=aside)


def numbers(first: int, height: int) -> pl.Series:
    """Of rows that follow each other in a file."""
    return pl.int_range(first, first + height, dtype=pl.Int64, eager=True)


def _names(columns: Iterable[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.name not in PLATFORMS)


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


def _slice_load(
    given: StepRun,
    target: Target,
    columns: Iterable[Column],
    uris: tuple[str, ...],
    rows: int | None,
) -> SliceLoad:
    dataset, _, name = target.table.partition(".")
    return SliceLoad(
        stage_job=given.job_id_of("stage"),
        swap_job=given.job_id_of("swap"),
        staged=given.staging_table,
        target=Table(dataset, name, tuple(columns), cluster_by=("x_slice",)),
        uris=uris,
        rows=rows,
        where="x_slice = @slice",
        parameters={"slice": target.slice},
        labels={**given.labels, LOAD: target.load_id},
    )

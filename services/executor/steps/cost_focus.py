"""`cost.focus`: a delivery becomes FOCUS 1.4 rows, which replace those of the one before it.

Correction style *Replacement*: what was made of a slice of a raw table gives way to what is made
of it now, and so does the same bill from another raw table. Nothing takes its place before it is
checked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from contracts.quality import CheckPart, CheckStatus, Severity
from contracts.runs import RunRequestedV1
from libs.warehouse.data_tables import COSTS, costs_table, loads_table
from libs.warehouse.errors import JobFailedError
from libs.warehouse.jobs import JobResult
from services.executor.focus.beside import NAME as BESIDE
from services.executor.focus.beside import guarded
from services.executor.focus.bills import Bills
from services.executor.focus.checks import BUDGET, checks_of
from services.executor.focus.engine import Converter
from services.executor.focus.errors import BadValueError
from services.executor.focus.mapping import Mapping, load_mapping
from services.executor.focus.natives import EVERY, PREFIX, is_native
from services.executor.focus.source import Source as ExportSource
from services.executor.focus.specification import QUANTITIES
from services.executor.focus.tables import VARIABLES, Replacement, Source
from services.executor.focus.tally import Tally
from services.executor.focus.twice import Twice
from services.executor.ingest.deliveries import Deliveries, Delivery, folder_of, load_id_of
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.lines import Place, line_of
from services.executor.ingest.parts import PartWriter, each
from services.executor.ingest.readers import ParquetFile
from services.executor.ingest.slices import LOAD, SliceLoad, SliceLoader
from services.executor.ingest.spool import spooled
from services.executor.ingest.values import Style
from services.executor.steps.cost_report import CostReport
from services.executor.steps.phrasing import phrased
from services.executor.steps.quality import quality
from services.executor.steps.raw_load import slice_of
from services.executor.steps.step import StepError, StepResult, StepRun, StepType
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name

ENGINE_VERSION = 4
ALL = "all"
AMOUNTS = frozenset(QUANTITIES)
Kept = Annotated[str, Field(max_length=2000)]
PLACE = frozenset({"x_file", "x_row"})
"""Where a row comes from: told when it cannot be read."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    mapping: str = Field(pattern=r"^[a-z0-9_]{1,60}$")
    source_table: str = Field(min_length=3, max_length=1400)
    """The table that an ingest step filled, and `slice` what it filled."""
    provider: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,40})?$")
    """Whose bill it is, where the mapping fits several."""
    slice: str = Field(min_length=1, max_length=300)
    target_table: str = Field(default=f"${{tenant_id}}.{COSTS}", min_length=3, max_length=1400)
    keep: Kept | Annotated[tuple[Kept, ...], Field(max_length=500)] = ""
    """Columns of the bill that are kept as `x_…` beside the mapping's own: `all`, or names,
    with commas between them in one text; with `*` at the end, all that begin so."""
    unmapped_budget: Decimal = Field(default=BUDGET, ge=0, le=1)
    """The share of the costs whose service, region, unit or type of line we may not know."""


class CostFocus(StepType):
    carries_rows = True

    def __init__(self, tools: Tools) -> None:
        self._data = tools.data
        self._warehouse = tools.warehouse
        self._clock = tools.clock
        self._deliveries = Deliveries(tools.data)
        self._slices = SliceLoader(tools.warehouse)
        self._report = CostReport(tools.warehouse)

    async def run(self, given: StepRun) -> StepResult:
        request, config = given.request, given.config(Config)
        source = Source(target_of(config.source_table, request), slice_of(config.slice, request))
        target = target_of(config.target_table, request)
        tenant, made_of = str(request.tenant_id), str(source)
        with phrased():
            mapping = load_mapping(config.mapping)
            if config.provider:
                mapping = mapping.model_copy(update={"provider": config.provider})
            mapping = mapping.model_copy(update={"kept": _kept(config, request)})
            delivery = await self._deliveries.delivered(tenant, source.table, source.slice)
            _check_roles(delivery, mapping)
            load_id = load_id_of((), {**_identity(delivery, mapping), "source": made_of})
            current = await self._deliveries.current(tenant, target, made_of)
            work = _Work(given, mapping, target, source, load_id, self._clock())
            if (
                current is not None
                and current.load_id == load_id
                and await self._report.holds(self._replacement(work), current)
            ):
                given.tell.progress(rows=current.rows, note="nothing new was delivered")
                return StepResult(current.rows)
            folder = folder_of(tenant, target, made_of, load_id)
            with spooled("focus") as spool:
                async with PartWriter(self._data, folder, spool, amounts=AMOUNTS) as parts:
                    tally = await self._convert(work, delivery, parts)
            given.spent.add(*await self._replace(work, parts, tally))
            await self._data.delete(*parts.names)
            done = Delivery(load_id=load_id, rows=parts.rows)
            await self._deliveries.commit(tenant, target, made_of, done)
        return StepResult(parts.rows)

    async def _replace(
        self, work: "_Work", parts: PartWriter, tally: Tally
    ) -> tuple[JobResult, ...]:
        native = [c.removeprefix(PREFIX) for c in parts.columns if is_native(c)]
        replacement = self._replacement(work, native)
        replaced = replacement.parameters(work.mapping.provider, tally.billed)
        own = checks_of(tally, work.given.config(Config).unmapped_budget)
        compared = await self._report.compared(replacement, replaced, tally, work.now)
        self._check(work, "quality", own + compared)
        replaced["loads_seen"] = await self._report.loads_seen(replacement, replaced)
        load = self._load(work, parts, replacement, replaced)

        async def inspect(staged: str) -> Sequence[JobResult]:
            given = work.given
            done, beside = await self._report.beside(given, replacement, replaced, staged)
            self._check(work, "beside", [beside])
            return [done, *await self._report.conforms(given, work.target, staged, work.now)]

        try:
            return await self._slices.replace(load, inspect)
        except StepError:
            await self._warehouse.drop(load.staged)
            raise
        except JobFailedError as error:
            if BESIDE not in error.message:
                raise
            await self._warehouse.drop(load.staged)
            detail = f"{work.target} was left as it was: another slice was loaded meanwhile"
            raise StepError(BESIDE, f"{detail} that has the same charges") from error

    async def cancel(self, given: StepRun) -> None:
        for part in ("stage", "beside", "conforms", "swap"):
            await self._warehouse.cancel_job(given.job_id_of(part))

    async def _convert(self, work: "_Work", delivery: Delivery, parts: PartWriter) -> Tally:
        tally, converter, schema, headers = Tally(), None, pl.Schema(), set[str]()
        if (once := work.mapping.once) is not None:
            otherwise = once.of_a_role if delivery.roles else once.otherwise
            tally.twice = Twice(len(delivery.files) > 1, otherwise)
        style = Style.of(delivery.facts)
        bills = await self._bills(work, delivery, parts.folder / "told")
        own = {"x_provider": work.mapping.provider, "x_load_id": work.load_id}
        for name in delivery.parts:
            path = parts.folder / "delivered"
            await self._data.download(name, path)
            file = ParquetFile(path, name)
            if converter is None or file.schema != schema:
                schema = file.schema
                converter = Converter(work.mapping, schema, tally, style, bills)
                headers |= converter.reads
            reads = converter.reads | PLACE & set(schema)
            async for batch in each(file.batches(reads)):
                try:
                    rows = await asyncio.to_thread(converter.convert, batch)
                except BadValueError as error:
                    raise await self._refusal(error, batch, delivery, name, parts.folder) from None
                await parts.add(rows.with_columns(pl.lit(v).alias(k) for k, v in own.items()))
                work.given.tell.progress(rows=parts.rows)
        await parts.finish()
        before = delivery.rounded
        tally.rounded += sum(before[header] for header in headers & before.keys())
        return tally

    async def _bills(self, work: "_Work", delivery: Delivery, path: Path) -> Bills:
        """Before any row is converted: what tells how may stand in the last part."""
        bills = Bills()
        for name in delivery.parts if work.mapping.in_some_bills else ():
            await self._data.download(name, path)
            file = ParquetFile(path, name)
            source = ExportSource(work.mapping, file.schema.names())
            if source.tells:
                async for batch in each(file.batches(source.tells)):
                    bills.add(await asyncio.to_thread(source.bills, batch))
            await asyncio.to_thread(path.unlink)
        return bills

    async def _refusal(
        self, error: BadValueError, batch: pl.DataFrame, delivery: Delivery, part: str, folder: Path
    ) -> RefusedFileError:
        file, row = batch.select("x_file", "x_row").row(error.row)
        # Not where the part is that may still be read ahead.
        spool = folder / "before"
        line = await line_of(self._data, delivery, Place(part, file, row), spool)
        problem = error.problem if line is not None else f"row {row + 1}: {error.problem}"
        return RefusedFileError(file, problem, line=line, column=error.column)

    def _check(self, work: "_Work", what: str, checks: list[CheckPart]) -> None:
        """Tell every check; raises `StepError` for one that must not fail."""
        work.given.tell.say(what, quality(work.given, work.target, work.now, tuple(checks)))
        bad = [check for check in checks if _stops(check)]
        if bad:
            found = f"{bad[0].observed} instead of {bad[0].expected}; {bad[0].detail}"
            raise StepError(bad[0].name, f"{work.target} was left as it was: {found}")

    def _replacement(self, work: "_Work", native: Sequence[str] = ()) -> Replacement:
        dataset, _, name = work.target.partition(".")
        table = costs_table(dataset, name, native)
        return Replacement(self._warehouse.project, table, work.source)

    def _load(
        self,
        work: "_Work",
        parts: PartWriter,
        replacement: Replacement,
        replaced: dict[str, object],
    ) -> SliceLoad:
        given, mapping, table = work.given, work.mapping, replacement.target
        return SliceLoad(
            stage_job=given.job_id_of("stage"),
            swap_job=given.job_id_of("swap"),
            staged=given.staging_table,
            target=table,
            beside=(loads_table(table.dataset),),
            uris=parts.uris,
            rows=parts.rows,
            where=replacement.where,
            parameters={
                **replaced,
                "load_id": work.load_id,
                "mapping": f"{mapping.name}@{mapping.version}",
                "loaded_at": work.now,
            },
            declared=VARIABLES,
            before=(
                *[guarded(replacement)] * bool(parts.uris),
                *replacement.before(staged=bool(parts.uris)),
            ),
            labels={**given.labels, LOAD: work.load_id},
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """One load of a table: by which mapping, of what."""

    given: StepRun
    mapping: Mapping
    target: str
    source: Source
    load_id: str
    now: datetime


def _kept(config: Config, request: RunRequestedV1) -> tuple[str, ...]:
    written = [config.keep] if isinstance(config.keep, str) else config.keep
    texts = ",".join(fill_name(text, request) for text in written).split(",")
    names = dict.fromkeys(text.strip() for text in texts)
    return (EVERY,) if ALL in names else tuple(name for name in names if name)


def _check_roles(delivery: Delivery, mapping: Mapping) -> None:
    unknown = sorted(set(delivery.roles.values()) - set(mapping.roles))
    if unknown and mapping.roles:
        known = ", ".join(mapping.roles)
        detail = f"mapping {mapping.name}, role {unknown[0]!r}: there are {known}"
        raise StepError("unknown_role", detail)


def _identity(delivery: Delivery, mapping: Mapping) -> dict[str, object]:
    """Whatever would make the result another one."""
    return {
        "delivery": delivery.load_id,
        "mapping": mapping.model_dump_json(),
        "engine": ENGINE_VERSION,
    }


def _stops(check: CheckPart) -> bool:
    return check.severity is Severity.FAIL and check.status is not CheckStatus.PASSED

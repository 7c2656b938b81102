"""`ingest.file`: a delivery of files becomes a slice of a table of the tenant.

The slice is replaced whole: staged, checked, swapped in one transaction. The
same files read in the same way are not loaded again.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from contracts.loading import Loader, unfit
from services.executor.ingest.contract import Contract, Contracted, Rows
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.deliveries import load_id_of
from services.executor.ingest.direct import check_columns, check_same, uris_of
from services.executor.ingest.errors import ChangedError, ColumnConflictError, NothingDeliveredError
from services.executor.ingest.lines import said_of
from services.executor.ingest.manifests import (
    Kind,
    Whole,
    check_not_older,
    delivered,
    facts_of,
    kind_of,
)
from services.executor.ingest.packed import unpacked
from services.executor.ingest.parts import each
from services.executor.ingest.places import (
    Either,
    FoundFile,
    LandingBucket,
    LocalFolder,
    Place,
    find,
)
from services.executor.ingest.readers import Format, Lines, Reader, format_of, open_reader
from services.executor.ingest.sources import Reach, is_remote, remote
from services.executor.ingest.spool import spooled
from services.executor.steps.months import fill_month, month_of
from services.executor.steps.opened import fields_of
from services.executor.steps.phrasing import phrased
from services.executor.steps.raw_load import RawLoader, Target, numbers, slice_of, with_own
from services.executor.steps.step import StepError, StepPlan, StepResult, StepRun, StepType
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name

READERS: Mapping[Format, int] = {"csv": 2, "parquet": 2, "ndjson": 4, "openai": 4}
"""A reader that reads differently has another number; what the others read stays loaded."""
DIGITS = 12
"""Of an address's digest."""
FindAll = Callable[[], Awaitable[Sequence["_Found"]]]
Files = Annotated[str, Field(min_length=1, max_length=2000)]
Some = Files | Annotated[tuple[Files, ...], Field(min_length=1)]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class Config(Contracted):
    model_config = ConfigDict(frozen=True, extra="forbid")

    files: Some | dict[Role, Some] = Field(min_length=1)
    """Below the tenant's landing folder, with wild cards: `aws/cur/2026-11/*.csv.gz`; or with
    `s3://`, `gs://`, `az://` or `https://` in front. `{period.month}` is that of the slice.
    Or by role, `{actual: …, amortized: …}`: each row says in `x_role` which its file has."""
    credential: str = Field(default="", max_length=200)
    """A stored credential that lets us into a bucket."""
    region: str = Field(default="", max_length=200)
    endpoint: str = Field(default="", max_length=500)
    """Of a store that speaks like S3, Cloud Storage or Azure Blob."""
    manifest: str = Field(default="", max_length=200)
    """`files` are manifests of this provider: the newest whole delivery is read. With `openai`
    they are its answers, page by page: all must be there."""
    target_table: str = Field(min_length=3, max_length=1400)
    slice: str = Field(min_length=1, max_length=300)
    """What the delivery is the whole of, e.g. `2026-11`; its rows replace those before."""
    format: Format | None = None
    delimiter: str = Field(default=",", pattern=r"^[\x01-\x09\x0b\x0c\x0e-!#-\x7f]$")
    """One character of ASCII, neither a quote nor a line break."""
    encoding: str = Field(default="", max_length=40, pattern=r"^[A-Za-z0-9_-]*$")
    load_by: Loader = "executor"
    """`bigquery`: Parquet of the landing folder is loaded as it is, without the executor."""

    @model_validator(mode="after")
    def _fits_who_is_to_load(self) -> Self:
        for name, detail in unfit(self.model_dump()):
            msg = f"{name}: {detail}"
            raise ValueError(msg)
        return self

    def reading(self, formats: Collection[Format]) -> dict[str, object]:
        """How files of these kinds are read, of which their load is named."""
        version = max((READERS[each] for each in formats), default=1)
        usual = {"load_by"} if self.load_by == "executor" else set[str]()  # older loads say nothing
        return {**self.model_dump(exclude=usual), "reader": version}


class IngestFile(StepType):
    carries_rows = True

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._loader = RawLoader(tools)

    async def run(self, given: StepRun) -> StepResult:
        request, config = given.request, given.config(Config)
        table = target_of(config.target_table, request)
        slice_ = slice_of(config.slice, request)
        with phrased(), spooled("fetch") as spool:
            kind = kind_of(fill_name(config.manifest, request))
            find_all = partial(self._found, given, config, slice_, kind, spool / "manifest")
            found = await find_all()
            files = [one.file for one in found]
            format_ = "openai" if kind == "openai" else config.format
            formats = {format_ or format_of(file.name) for file in files}
            load_id = load_id_of(files, {**config.reading(formats), **_told_apart(found)})
            roles = {one.name: one.role for one in found if one.role}
            names = tuple(one.name for one in found)
            target = Target(table, slice_, load_id, names, roles)
            if (done := await self._loader.unchanged(given, target)) is not None:
                return done
            as_of = facts_of({one.source.name: one.source.at for one in found})
            await self._check_not_older(given, target, as_of)
            if config.load_by == "bigquery":
                return await self._by_bigquery(given, target, files, find_all)
            contract = await self._loader.contract(given, table, config)
            reading = _Reading(config, target, contract, format_, as_of)
            rows = self._rows(reading, found, spool)
            try:
                return await self._loader.replace(
                    given, target, contract, rows, facts=reading.facts
                )
            except ColumnConflictError as error:
                raise await self._placed(error, reading, found, spool / "again") from None

    async def cancel(self, given: StepRun) -> None:
        await self._loader.cancel(given)

    async def plan(self, given: StepRun) -> StepPlan:
        given.config(Config)
        return await super().plan(given)

    async def _by_bigquery(
        self, given: StepRun, target: Target, files: list[FoundFile], find_all: FindAll
    ) -> StepResult:
        landing = self._landing(given)
        uris = uris_of(landing, files, given.config(Config).format)
        await check_columns(landing, files)

        async def check() -> None:
            try:
                now = await find_all()
            except NothingDeliveredError:
                raise ChangedError(files[0].name) from None
            check_same(files, [one.file for one in now])

        return await self._loader.replace_by_bigquery(given, target, uris, check)

    async def _check_not_older(
        self, given: StepRun, target: Target, as_of: Mapping[str, str]
    ) -> None:
        if not as_of:
            return
        tenant = str(given.request.tenant_id)
        current = await self._loader.deliveries.current(tenant, target.table, target.slice)
        if current is not None:
            check_not_older(as_of, current.facts)

    async def _found(
        self, given: StepRun, config: Config, slice_: str, kind: Kind, spool: Path
    ) -> list["_Found"]:
        """What is to be read, each file once, and where."""
        filled = [
            (role, fill_month(fill_name(written, given.request), slice_))
            for role, written in _written(config.files)
        ]
        wanted = [(role, files) for role, files in filled if files]
        # What is delivered alone is all there is: its role tells it from nothing.
        several = len({role for role, _ in wanted}) > 1
        found: dict[tuple[str, str], _Found] = {}
        for role, files in wanted:
            place, pattern = await self._place(given, config, files)
            whole = Whole(await find(place, pattern))
            if kind:
                whole = await delivered(place, kind, whole.files, spool, month_of(slice_))
            source = _Source(place, f"{pattern} in {place.name}", whole.at)
            for file in whole.files:
                _add(found, _Found(file, source, file.name, role if several else ""))
        return _named(list(found.values()))

    async def _place(self, given: StepRun, config: Config, files: str) -> tuple[Place, str]:
        tools, request = self._tools, given.request
        if config.load_by == "bigquery":
            for _, detail in unfit({"load_by": config.load_by, "files": files}):
                raise StepError("invalid_config", f"files: {detail}")
            return self._landing(given), files
        if is_remote(files):
            reach = Reach(
                tools.outgoing,
                await fields_of(tools, given, config.credential),
                tools.azure_login,
                fill_name(config.region, request),
                fill_name(config.endpoint, request),
                unknown=f"unknown at {tools.clock().isoformat()}",
                seconds=given.step.timeout_seconds,
            )
            return remote(files, reach)
        landing = self._landing(given)
        if tools.landing_folder:
            folder = LocalFolder(tools.landing_folder, str(request.tenant_id))
            return Either(folder, landing), files
        return landing, files

    def _landing(self, given: StepRun) -> LandingBucket:
        return LandingBucket(self._tools.data, str(given.request.tenant_id))

    async def _placed(
        self,
        error: ColumnConflictError,
        reading: "_Reading",
        found: Sequence["_Found"],
        spool: Path,
    ) -> ColumnConflictError:
        """The same with the line of its row, for which the file is read once more."""
        (one,) = (one for one in found if one.name == error.file)
        reader = await reading.open(one, spool)
        return error.at(await asyncio.to_thread(reader.line_of, error.row))

    async def _rows(
        self, reading: "_Reading", found: Sequence["_Found"], spool: Path
    ) -> AsyncIterator[Rows]:
        sort = reading.contract.sort
        for one in found:
            reader = await reading.open(one, spool / "file")
            row = 0
            async for batch in each(reader.batches()):
                which = numbers(row, batch.height)
                rows = await asyncio.to_thread(sort, batch, one.name, which, reader.line_of)
                rows = replace(rows, written=reader.written)
                yield with_own(rows, reading.target, one.name)
                row += batch.height
            reading.ways.add(reader.lines)
            await asyncio.to_thread(rmtree, spool / "file")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where files are found, by which pattern, and of what time, if that is known."""

    place: Place
    name: str
    at: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A file of the delivery: where it is, what its rows call it, and its role."""

    file: FoundFile
    source: _Source
    name: str
    role: str


def _written(files: Some | dict[str, Some]) -> Iterator[tuple[str, str]]:
    """Every pattern with its role."""
    for role, some in files.items() if isinstance(files, dict) else [("", files)]:
        for one in [some] if isinstance(some, str) else some:
            yield role, one


def _add(found: dict[tuple[str, str], _Found], one: _Found) -> None:
    """A file that is found again is one, and has one role. Raises `StepError`."""
    before = found.setdefault((one.source.place.address, one.file.name), one)
    if before.role != one.role:
        roles = f"as {before.role} and as {one.role}"
        detail = f"{_with_place(one)} is found {roles}: give each role its own files"
        raise StepError("invalid_config", detail)


def _named(found: Sequence[_Found]) -> list[_Found]:
    """Each gets a name of its own.

    Where others are called alike, its place's name stands in front of it; where that is not
    enough, as for URLs that differ in a query, a digest of its address stands behind it.
    """
    for longer in (_with_place, _with_digest):
        times = Counter(one.name for one in found)
        found = [one if times[one.name] == 1 else replace(one, name=longer(one)) for one in found]
    return list(found)


def _told_apart(found: Sequence[_Found]) -> dict[str, object]:
    """Part of what a load is named of, where an earlier release gave one name to several files."""
    alike = len({_with_place(one) for one in found}) < len(found)
    return {"told_apart": True} if alike else {}


def _with_place(one: _Found) -> str:
    return f"{one.source.place.name}/{one.file.name}"


def _with_digest(one: _Found) -> str:
    digest = hashlib.sha256(one.source.place.address.encode()).hexdigest()
    return f"{one.name} ({digest[:DIGITS]})"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the files of one load are read."""

    config: Config
    target: Target
    contract: Contract
    format: Format | None
    as_of: Mapping[str, str]
    """Of what time the delivery is, where that is known."""
    ways: set[Lines | None] = field(default_factory=set)
    """How the files that have been read tell the lines of their rows."""

    async def open(self, one: _Found, folder: Path) -> Reader:
        """One file, brought to a folder of its own. Raises `IngestError`."""
        await asyncio.to_thread(folder.mkdir)
        path = await one.source.place.fetch(one.file, folder / "file")
        return await asyncio.to_thread(self._opened, one, path, folder)

    def _opened(self, one: _Found, path: Path, folder: Path) -> Reader:
        format_ = self.format or format_of(one.file.name)
        path = unpacked(path, one.name, folder, streamed=format_ != "parquet")
        options = CsvOptions(self.config.delimiter, self.config.encoding)
        return open_reader(path, one.name, format_, options, self.contract.point)

    def facts(self) -> dict[str, str]:
        """Rows tell their lines where all are kept, with every line break that they came with."""
        kept = not self.contract.types and not self.contract.puts_aside
        return {**self.as_of, **(said_of(self.ways) if kept else {})}

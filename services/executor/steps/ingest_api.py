"""`ingest.api`: what an API answers for a period becomes a slice of a table of the tenant.

Each page is kept as it comes, so that a run that was interrupted goes on from
there. The slice is replaced whole, and only when the last page is there.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from pydantic import Field

from services.executor.ingest.api_client import ApiClient
from services.executor.ingest.api_pages import Collector, PageStore
from services.executor.ingest.api_source import ApiSource, AwsAuth
from services.executor.ingest.authorize import authorizer
from services.executor.ingest.contract import Contract, Contracted, Declared, Rows
from services.executor.ingest.errors import MOST_COLUMNS, TooManyColumnsError
from services.executor.ingest.json_columns import CELLS
from services.executor.ingest.parts import each
from services.executor.ingest.spool import spooled
from services.executor.ingest.values import Style
from services.executor.steps.cursor import Before, Cursor
from services.executor.steps.months import fill_month
from services.executor.steps.opened import fields_of
from services.executor.steps.phrasing import phrased
from services.executor.steps.quality import quality
from services.executor.steps.raw_load import RawLoader, Target, numbers, slice_of, with_own
from services.executor.steps.step import StepError, StepResult, StepRun, StepType
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name

REGION = "{region}"
"""In an address of AWS: that of `auth`."""
STYLED: frozenset[Declared] = frozenset({"int", "decimal", "time", "date"})
"""Columns whose values are written in one way or another, and kept as they were read."""


class Config(ApiSource, Contracted):
    target_table: str = Field(min_length=3, max_length=1400)
    slice: str = Field(min_length=1, max_length=300)
    """The month that is asked for: `2026-11`, `current` or `previous`."""

    @property
    def reading(self) -> dict[str, object]:
        """How answers are read, of which their load is named."""
        ways = {*Contracted.model_fields, "whole", "incremental"}
        return self.model_dump(mode="json", include=ways)


class IngestApi(StepType):
    carries_rows = True

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._loader = RawLoader(tools)

    async def run(self, given: StepRun) -> StepResult:
        request, config = given.request, _filled(given)
        table = target_of(config.target_table, request)
        slice_ = slice_of(config.slice, request)
        with phrased(), spooled("answers") as spool:
            store = PageStore(self._tools.files, given.work_folder)
            before = await self._before(given, config, (table, slice_), spool / "part")
            contract = await self._loader.contract(given, table, config)
            cursor = await self._cursor(given, config, contract, before)
            filled = _filling(given, slice_, cursor)
            asked = filled(config.query), filled(config.body)
            pages = await self._collect(given, config, asked, store)
            load_id = await _load_id(store, pages, cursor, config.reading)
            target = Target(table, slice_, load_id, (config.base_url + config.path,), sparse=True)
            done = await self._loader.unchanged(given, target)
            if done is None:
                answers = _Answers(store, pages, target, contract, config.path, config.whole)
                rows = self._rows(answers, cursor, before)
                facts = (lambda: cursor.facts) if cursor else dict
                done = await self._loader.replace(given, target, contract, rows, facts=facts)
                if cursor is not None:
                    found = quality(given, table, self._tools.clock(), (cursor.check,))
                    given.tell.say("quality", found)
            await store.forget(pages)
            return done

    async def cancel(self, given: StepRun) -> None:
        await self._loader.cancel(given)

    async def _collect(
        self, given: StepRun, config: Config, asked: tuple[Any, Any], store: PageStore
    ) -> int:
        named = config.auth.credential if config.auth is not None else ""
        fields = await fields_of(self._tools, given, named)
        outgoing = self._tools.outgoing
        let_in = authorizer(config.auth, fields, outgoing, self._tools.azure_login)
        client = ApiClient(config, outgoing, let_in, given.step.timeout_seconds)
        return await Collector(config, client, store).collect(*asked)

    async def _before(
        self, given: StepRun, config: Config, place: tuple[str, str], spool: Path
    ) -> Before:
        """What is read on from."""
        delivery = None
        if config.incremental is not None:
            tenant = str(given.request.tenant_id)
            delivery = await self._loader.deliveries.readable(tenant, *place)
            if delivery is not None and STYLED & set(config.columns.values()):
                _check_style(Style.of(delivery.facts), config.style)
        return Before(self._tools.data, delivery, spool)

    async def _cursor(
        self, given: StepRun, config: Config, contract: Contract, before: Before
    ) -> Cursor | None:
        if config.incremental is None:
            return None
        if config.contract in {"discard_row", "discard_value"}:
            detail = (
                f"contract {config.contract} does not go with incremental: choose evolve, freeze"
            )
            raise StepError("invalid_config", detail)
        files, folder = self._tools.files, given.work_folder
        now = self._tools.clock()
        return await Cursor.of(
            config.incremental, contract, before, now, files=files, folder=folder
        )

    async def _rows(
        self, answers: "_Answers", cursor: Cursor | None, before: Before
    ) -> AsyncIterator[Rows]:
        if cursor is not None:
            if cursor.has_key:
                async for _, frame, which in answers.frames():
                    cursor.heed(frame, which)
            async for rows in cursor.older(before, answers.target.load_id):
                yield rows
        async for rows in answers.rows(cursor):
            yield rows


def _check_style(before: Style, now: Style) -> None:
    if before != now:
        said = ", ".join(f"{name}: {str(value).lower()}" for name, value in asdict(before).items())
        detail = (
            f"the records that `incremental` reads on from were read with {said}:"
            " name another `target_table`, or leave it so"
        )
        raise StepError("invalid_config", detail)


async def _load_id(
    store: PageStore, pages: int, cursor: Cursor | None, reading: Mapping[str, object]
) -> str:
    """The same for what came and how it is read, whatever day it was asked for; else another."""
    digest = hashlib.sha256(cursor.start.isoformat().encode() if cursor else b"")
    digest.update(orjson.dumps(reading, option=orjson.OPT_SORT_KEYS))
    for number in range(pages):
        page = await store.page(number) or {}
        digest.update(repr(page.get("records")).encode())
    return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Answers:
    """The pages that were kept, and where their records go."""

    store: PageStore
    pages: int
    target: Target
    contract: Contract
    path: str
    whole: str = ""

    async def frames(self) -> AsyncIterator[tuple[str, pl.DataFrame, pl.Series]]:
        """Of each page that has some: its name, its records, and their numbers among all.

        Raises `TooManyColumnsError`.
        """
        first = 0
        for number in range(self.pages):
            page = await self.store.page(number) or {}
            if not page.get("records"):
                continue
            records = (
                [{self.whole: _in_json(r)} for r in page["records"]]
                if self.whole
                else page["records"]
            )
            file = f"{self.path}, page {number + 1}"
            async for frame in each(_frames(records, file)):
                yield file, frame, numbers(first, frame.height)
                first += frame.height

    async def rows(self, cursor: Cursor | None) -> AsyncIterator[Rows]:
        row = 0
        async for file, page, which in self.frames():
            frame = page if cursor is None else cursor.newer(page, which)
            left = numbers(row, frame.height)
            yield with_own(self.contract.sort(frame, file, left, _no_line), self.target, file)
            row += frame.height


def _no_line(_: int) -> None:
    """Answers have no lines that a tenant could look up."""


def _in_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _frames(records: list[dict[str, Any]], file: str) -> Iterator[pl.DataFrame]:
    """All scalars as text: what one page leaves out another has, and amounts stay exact.

    Records that have little in common are several frames. Raises `TooManyColumnsError`.
    """
    waiting = [list(map(_flat, records))]
    while waiting:
        flats = waiting.pop()
        columns = dict.fromkeys(chain.from_iterable(flats))
        if len(columns) <= MOST_COLUMNS and len(columns) * len(flats) <= CELLS:
            rows = [[flat.get(name) for name in columns] for flat in flats]
            yield pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String()), orient="row")
        elif len(flats) == 1:
            raise TooManyColumnsError(file)
        else:
            half = len(flats) // 2
            waiting += [flats[half:], flats[:half]]


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is None or isinstance(value, str):
            found[prefix + name] = value
        elif isinstance(value, bool | list):
            found[prefix + name] = _in_json(value)
        else:
            found[prefix + name] = str(value)
    return found


def _filled(given: StepRun) -> Config:
    """Its address too may be a parameter, and what is added to each record."""
    config, request, auth = given.config(Config), given.request, None
    if isinstance(config.auth, AwsAuth):
        region = fill_name(config.auth.region, request)
        auth = config.auth.model_copy(update={"region": region})
    address = {name: fill_name(getattr(config, name), request) for name in ("base_url", "path")}
    if auth is not None:
        address["base_url"] = address["base_url"].replace(REGION, auth.region)
    constant = {name: fill_name(value, request) for name, value in config.constant.items()}
    filled = {**address, "constant": constant, "auth": auth or config.auth}
    return config.model_copy(update=filled)


def _filling(given: StepRun, slice_: str, cursor: Cursor | None) -> Callable[[Any], Any]:
    """Fills the texts of a query or a body, however deep they lie."""
    words = cursor.words if cursor is not None else {}

    def fill(text: Any) -> Any:
        if isinstance(text, Mapping):
            return {name: fill(value) for name, value in text.items()}
        if isinstance(text, list | tuple):
            return [fill(one) for one in text]
        if not isinstance(text, str):
            return text
        for word, value in words.items():
            text = text.replace(word, value)
        return fill_name(fill_month(text, slice_), given.request)

    return fill

"""What a table may take in: columns, their types, and what becomes of rows that do not fit.

`evolve` takes new columns in, `freeze` refuses a file that has one; `discard_row`
puts the row aside, `discard_value` only what does not fit of it, and the row in
whole is kept aside as well. A value that is not of its column's declared type is
refused by the first two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from libs.objects import Objects
from libs.warehouse.schema import Column
from services.executor.ingest.errors import IngestError, RefusedFileError
from services.executor.ingest.fitting import texts, too_fine
from services.executor.ingest.names import Names
from services.executor.ingest.parts import ROLE, column_name
from services.executor.ingest.values import EXPECTED, Kind, Style, bad, read, unread

Mode = Literal["evolve", "freeze", "discard_row", "discard_value"]
Declared = Literal["text", "int", "decimal", "time", "date", "bool"]
Columns = Annotated[dict[str, Declared], Field(max_length=1000)]
OWN_PREFIX = "x_"
REASON, COLUMN, WHOLE = "x_reason", "x_column", "x_values"
OWN = (
    Column("x_slice", "STRING"),
    Column("x_load_id", "STRING"),
    Column("x_file", "STRING"),
    Column("x_row", "INT64"),
)
"""What every row says of where it comes from."""
PLATFORMS = frozenset({*(column.name for column in OWN), ROLE, REASON, COLUMN, WHOLE})
"""In small letters: no column that is delivered may be called so."""
MOST_ASIDE = 100_000
MOST_ASIDE_BYTES = 64 << 20
"""Of their values as JSON."""
ASIDE_SCHEMA: Mapping[str, pl.DataType] = {
    "x_row": pl.Int64(),
    REASON: pl.String(),
    COLUMN: pl.String(),
    WHOLE: pl.String(),
}
_KINDS: Mapping[Declared, Kind] = {
    "int": "int",
    "decimal": "decimal",
    "time": "time",
    "date": "date",
    "bool": "bool",
}
LineOf = Callable[[int], int | None]


class TooManyAsideError(IngestError):
    code = "too_many_misfits"

    def __init__(self, number: int, size: int) -> None:
        super().__init__(
            f"{number} rows, of {size} bytes, do not fit the contract; no more than {MOST_ASIDE}"
            f" rows or {MOST_ASIDE_BYTES} bytes are kept aside; is it the right file, and the right"
            " contract?"
        )


@dataclass(slots=True)
class Aside:
    """Counts rows that are put aside."""

    rows: int = 0
    bytes: int = 0

    def add(self, rows: int, size: int) -> None:
        """Raises `TooManyAsideError` once there are too many."""
        self.rows, self.bytes = self.rows + rows, self.bytes + size
        if self.rows > MOST_ASIDE or self.bytes > MOST_ASIDE_BYTES:
            raise TooManyAsideError(self.rows, self.bytes)


class FrozenError(RefusedFileError):
    """A file has columns that its table may not get."""

    def __init__(self, file: str, unknown: tuple[str, ...], revision: int) -> None:
        problem = (
            f"the contract (revision {revision}) does not know this column; add it to"
            " `columns`, or choose `contract: evolve`"
        )
        self.unknown = unknown
        super().__init__(file, problem, line=1, column=unknown[0])


class Contracted(BaseModel):
    """What a step's config says of the table that it fills."""

    contract: Mode = "evolve"
    columns: Columns = {}
    """Types of columns, by their names in BigQuery; others stay as they are."""
    decimal_comma: bool = False
    day_first: bool = False

    @property
    def style(self) -> Style:
        return Style(self.decimal_comma, self.day_first)


class Known(BaseModel):
    """The columns that a table has come to have; the revision counts how often it got more."""

    model_config = ConfigDict(frozen=True)

    revision: int = 0
    columns: tuple[str, ...] = ()
    names: dict[str, str] = {}
    """Of headers that are called otherwise, and of those that others would be called, too."""

    def with_columns(self, names: tuple[str, ...]) -> "Known":
        new = tuple(name for name in names if name.lower() not in self.lower)
        more = {"revision": self.revision + 1, "columns": self.columns + new}
        return self.model_copy(update=more) if new else self

    @property
    def lower(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.columns)


class Contracts:
    """What is known of a tenant's tables, kept beside their deliveries."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def known(self, tenant: str, table: str) -> Known:
        body = await self._objects.read(_name(tenant, table))
        return Known() if body is None else Known.model_validate_json(body)

    async def learn(self, tenant: str, table: str, names: tuple[str, ...]) -> None:
        before = await self.known(tenant, table)
        await self._keep(tenant, table, before, before.with_columns(names))

    async def learn_names(self, tenant: str, table: str, names: Mapping[str, str]) -> None:
        if not names:
            return
        before = await self.known(tenant, table)
        after = before.model_copy(update={"names": {**before.names, **names}})
        await self._keep(tenant, table, before, after)

    async def _keep(self, tenant: str, table: str, before: Known, after: Known) -> None:
        if after != before:
            await self._objects.write(_name(tenant, table), after.model_dump_json().encode())


def _name(tenant: str, table: str) -> str:
    return f"loads/{tenant}/{table}/contract.json"


@dataclass(frozen=True, slots=True)
class Rows:
    """Those of one batch that fit, and those put aside."""

    kept: pl.DataFrame
    aside: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ASIDE_SCHEMA))
    written: bool = False
    """Whether floats stand for decimals that were written."""
    rounded: Mapping[str, int] = field(default_factory=dict)
    """How many values of a column that is declared `decimal` had more decimals than are kept."""


@dataclass(frozen=True, slots=True)
class Contract:
    """Of one table, for one load."""

    mode: Mode = "evolve"
    types: Mapping[str, Declared] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    style: Style = field(default_factory=Style)
    names: Names = field(default_factory=Names)

    @property
    def puts_aside(self) -> bool:
        return self.mode in {"discard_row", "discard_value"}

    def sort(self, frame: pl.DataFrame, file: str, numbers: pl.Series, line_of: LineOf) -> Rows:
        """`numbers` are those of the rows in their file. Raises `RefusedFileError`."""
        _check_names(frame, file, numbers, line_of)
        self.names.of(frame.columns, file)
        unknown = [name for name in frame.columns if not self._allows(name)]
        if unknown and self.mode == "freeze":
            raise FrozenError(file, tuple(unknown), self.known.revision)
        why = "the contract does not know it"
        misfits = [_Misfit(name, why, _some(frame[name])) for name in unknown]
        typed = []
        for name in frame.columns:
            kind, values = self._kind(name), frame[name]
            if self._is_text(name) and values.dtype.is_numeric():
                typed.append(self._written(values))
            if kind is None or name in unknown:
                continue
            found = read(values, kind, self.style).alias(name)
            wrong = bad(values, found)
            if wrong is not None and not self.puts_aside:
                problem = f"{str(wrong.value)[:80]!r} is not {EXPECTED[kind]}"
                line = line_of(numbers[wrong.row])
                raise RefusedFileError(file, problem, line=line, column=name)
            if wrong is not None:
                misfits.append(_Misfit(name, f"it is not {EXPECTED[kind]}", unread(values, found)))
            typed.append(found)
        kept = frame.with_columns(typed).drop(unknown).with_columns(numbers.alias("x_row"))
        rows = self._sorted(frame, kept, misfits)
        left = frame.filter(numbers.is_in(rows.kept["x_row"].implode())) if misfits else frame
        return replace(rows, rounded=self._rounded(left))

    def _rounded(self, frame: pl.DataFrame) -> dict[str, int]:
        declared = [name for name in frame.columns if self._kind(name) == "decimal"]
        return {name: finer for name in declared if (finer := too_fine(frame[name]))}

    def _sorted(self, frame: pl.DataFrame, kept: pl.DataFrame, misfits: list["_Misfit"]) -> Rows:
        misfits = [misfit for misfit in misfits if misfit.rows.any()]
        if not misfits:
            return Rows(kept)
        reason = column = pl.lit(None, dtype=pl.String)
        for misfit in reversed(misfits):
            reason = pl.when(misfit.rows).then(pl.lit(misfit.why)).otherwise(reason)
            column = pl.when(misfit.rows).then(pl.lit(misfit.column)).otherwise(column)
        whole = pl.struct(_in_json(frame)).struct.json_encode()
        aside = frame.select(
            kept["x_row"], reason.alias(REASON), column.alias(COLUMN), whole.alias(WHOLE)
        ).filter(pl.col(REASON).is_not_null())
        if self.mode == "discard_row":
            wrong = pl.any_horizontal(pl.lit(misfit.rows) for misfit in misfits)
            kept = kept.with_columns(wrong.alias(REASON)).filter(~pl.col(REASON)).drop(REASON)
        return Rows(kept, aside)

    def _allows(self, header: str) -> bool:
        if self.mode == "evolve":
            return True
        allowed = {name.lower() for name in self.types} or self.known.lower
        return not allowed or self.names.name(header).lower() in allowed

    def _kind(self, header: str) -> Kind | None:
        declared = self._declared(header)
        return None if declared is None else _KINDS.get(declared)

    def point(self, header: str) -> str:
        """Of numbers among texts, in a column whose type it says; nothing for others."""
        if self._declared(header) is None:
            return ""
        return "," if self.style.decimal_comma else "."

    def as_text(self, values: pl.Series) -> pl.Series:
        """The same for what was delivered in a column and for what is kept of it."""
        kind = self._kind(values.name)
        written = texts(values)
        return written if kind is None else texts(read(values, kind, self.style)).fill_null(written)

    def _written(self, numbers: pl.Series) -> pl.Series:
        """As the delivery writes them: whoever reads its texts reads them so."""
        found = texts(numbers)
        return found.str.replace(".", ",", literal=True) if self.style.decimal_comma else found

    def _is_text(self, header: str) -> bool:
        return self._declared(header) == "text"

    def _declared(self, header: str) -> Declared | None:
        name = self.names.name(header).lower()
        return next((type_ for n, type_ in self.types.items() if n.lower() == name), None)


def _check_names(frame: pl.DataFrame, file: str, numbers: pl.Series, line_of: LineOf) -> None:
    for values in frame.iter_columns():
        if column_name(values.name).lower() in PLATFORMS:
            problem = "this name is the platform's own: rename the column, or leave it out"
            first = int(values.is_not_null().arg_max() or 0)
            line = line_of(numbers[first]) if frame.height else 1
            raise RefusedFileError(file, problem, line=line, column=values.name)


def _in_json(frame: pl.DataFrame) -> list[pl.Expr]:
    """Bytes as BigQuery writes them in JSON, which has none."""
    return [
        pl.col(name).bin.encode("base64") if type_ == pl.Binary else pl.col(name)
        for name, type_ in frame.schema.items()
    ]


@dataclass(frozen=True, slots=True)
class _Misfit:
    column: str
    why: str
    rows: pl.Series


def _some(values: pl.Series) -> pl.Series:
    """Which rows have anything there."""
    there = values.is_not_null()
    return there & (values != "").fill_null(value=False) if values.dtype == pl.String else there

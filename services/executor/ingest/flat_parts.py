"""Parts of a flat table: each column has one type in all of them, whatever came first.

A column that the table has already keeps its type, but for INT64 that a value does not
fit: that becomes BIGNUMERIC. Else the widest counts that a value needs; parts that were
written before it came are written again. What has no value has no say.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from libs.warehouse.schema import WIDENED, Column, Type
from services.executor.ingest.errors import ColumnConflictError
from services.executor.ingest.fitting import (
    WHOLE,
    WIDTHS,
    NoFitError,
    check_numbers,
    fitted,
    type_of,
    wider,
    with_points,
)
from services.executor.ingest.parts import PartWriter
from services.executor.ingest.readers import ParquetFile

TEXT: Type = "STRING"


@dataclass
class FlatParts(PartWriter):
    """Its frames have `x_file` and `x_row`, by which a value is told that does not fit."""

    table: Mapping[str, str] = field(default_factory=dict)
    """Types of the columns that the table has."""
    decimal_comma: bool = False
    """Texts that are to be numbers have one."""
    empty: set[str] = field(default_factory=set)
    """Columns without a value, and so without a type: they are left out."""
    _unsaid: set[str] = field(default_factory=set)
    """Columns whose type no value has told yet: the first that comes does."""
    _numbers: set[str] = field(default_factory=set)
    """Columns of text because of numbers that nothing else holds: no other text may be there."""

    async def add(self, frame: pl.DataFrame) -> None:
        """Raises `ColumnConflictError`."""
        await PartWriter.add(self, await asyncio.to_thread(self._typed, frame))

    async def finish(self) -> None:
        """Raises `ColumnConflictError`."""
        await PartWriter.finish(self)
        self.empty -= set(self.columns)
        for name, schema in zip(self.names, self.schemas, strict=True):
            if any(self._is_to_change(column, type_) for column, type_ in schema.items()):
                await self._write_again(name)

    def _typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        there = [values for values in frame.iter_columns() if values.dtype != pl.Null]
        self.empty |= set(frame.columns) - {values.name for values in there}
        for values in there:
            self._widen(values, frame)
        return self._in_types(there, frame)

    def _widen(self, values: pl.Series, frame: pl.DataFrame) -> None:
        name, type_ = values.name, type_of(values.dtype)
        known, unsaid = self.columns.get(name), values.null_count() == values.len()
        if known is not None and unsaid:
            return
        if known is None or name in self._unsaid:
            (self._unsaid.add if unsaid else self._unsaid.discard)(name)
            given = next((each for each in WIDTHS if each == self.table.get(name)), type_)
            self.columns[name] = Column(name, given if type_ in WIDTHS else type_)
            return
        if name in self.table and type_ in WIDTHS:
            return
        wanted = wider(known.type, type_)
        if wanted is None:
            problem = f"it is {type_} here and {known.type} elsewhere"
            raise _conflict(frame, name, int(values.is_not_null().arg_max() or 0), problem)
        if TEXT in {known.type, type_} and known.type != type_:
            self._numbers.add(name)
        self.columns[name] = Column(name, wanted)

    def _in_types(self, there: Iterable[pl.Series], frame: pl.DataFrame) -> pl.DataFrame:
        """Without those that have no value, if their type is none that their column could have."""
        return pl.DataFrame(
            [
                self._in_type(values, frame)
                for values in there
                if values.null_count() < values.len()
                or wider(type_of(values.dtype), self.columns[values.name].type)
            ]
        )

    def _in_type(self, values: pl.Series, frame: pl.DataFrame) -> pl.Series:
        name = values.name
        wanted, given = self.columns[name].type, name in self.table
        try:
            if name in self._numbers and values.dtype == pl.String:
                check_numbers(values)
            if self.decimal_comma and given and values.dtype == pl.String and wanted != TEXT:
                values = with_points(values)
            return self._fitted(values, wanted) if given else fitted(values, wanted)
        except NoFitError as error:
            where = "in the table" if given else "elsewhere"
            type_ = "a number" if wanted == TEXT else self.table.get(name, wanted)
            problem = f"{str(error.value)[:80]!r} does not fit {type_}, which it is {where}"
            if type_of(values.dtype) == wanted != TEXT:
                problem = f"{error.value} is too large: {WHOLE} digits may stand before the point"
            raise _conflict(frame, name, error.row, problem, given=given) from None

    def _fitted(self, values: pl.Series, wanted: Type) -> pl.Series:
        """In the type of the table's column, or in what that can be made."""
        try:
            return fitted(values, wanted, given=True)
        except NoFitError:
            if wanted not in WIDENED:
                raise
        found = fitted(values, WIDENED[wanted], given=True)
        self.columns[values.name] = Column(values.name, WIDENED[wanted])
        return found

    def _is_to_change(self, column: str, type_: pl.DataType) -> bool:
        wanted = self.columns[column].type
        return type_of(type_) != wanted or (wanted == TEXT and column in self._numbers)

    async def _write_again(self, name: str) -> None:
        """A part as the columns came to be."""
        before = self.folder / "before"
        await self.objects.download(name, before)
        for batch in ParquetFile(before, name).batches():
            await asyncio.to_thread(lambda frame: self._write(self._retyped(frame)), batch)
        await self._upload(name)
        await asyncio.to_thread(before.unlink)

    def _retyped(self, frame: pl.DataFrame) -> pl.DataFrame:
        return self._in_types(frame.iter_columns(), frame)


def _conflict(
    frame: pl.DataFrame, column: str, row: int, problem: str, *, given: bool = False
) -> ColumnConflictError:
    file, number = frame.select("x_file", "x_row").row(row)
    return ColumnConflictError(file, number, column, problem, given=given)

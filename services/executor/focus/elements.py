"""Elements of a repeated column: their sums, and those that become rows of their own."""

from typing import Any

import polars as pl

from services.executor.focus.errors import BadValueError, MappingError
from services.executor.focus.expressions import compile_expression
from services.executor.focus.mapping import Elements
from services.executor.focus.written import in_text, read_texts, records
from services.executor.ingest.fitting import expected_of, too_fine
from services.executor.ingest.values import MONEY, bad, read

ROW = "\0row"
_TYPES: dict[str, pl.DataType] = {"text": pl.String(), "decimal": MONEY}
_RECORDS = "a list of records"


class ElementRows:
    """What a mapping says of one repeated column."""

    def __init__(self, where: str, said: Elements) -> None:
        self.said = said
        self.names = [f"element_{name}" for name in said.fields]
        self._when = compile_expression(f"{where}.elements", said.when, self.names)
        amounts = [name for name, kind in said.fields.items() if kind == "decimal"]
        if len(amounts) != 1:
            raise MappingError(where, "elements need exactly one decimal field to sum")
        self._amount = f"element_{amounts[0]}"
        self._picks = {
            f"{said.list}_{name}": (
                f"element_{pick.field}",
                compile_expression(f"{where}.elements.pick.{name}", pick.when, self.names),
            )
            for name, pick in said.pick.items()
        }
        self.moved, self.left = f"{said.list}_moved", f"{said.list}_left"
        self._dtype = pl.List(pl.Struct(dict.fromkeys(said.fields, pl.String())))
        self._rounded = 0

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One row per element, with the number of the row it comes from. Raises `BadValueError`."""
        values = self._records(frame[self.said.list])
        rows = pl.int_range(values.len(), dtype=pl.UInt32, eager=True).alias(ROW)
        exploded = pl.DataFrame([rows, values]).explode(values.name).drop_nulls(values.name)
        fields = [
            self._field(exploded, name, kind).alias(f"element_{name}")
            for name, kind in self.said.fields.items()
        ]
        return pl.DataFrame([exploded[ROW], *fields])

    def take_rounded(self) -> int:
        """How many amounts read since the last call had digits too fine to keep."""
        found, self._rounded = self._rounded, 0
        return found

    def _records(self, values: pl.Series) -> pl.Series:
        """As lists of records, whatever an export has instead."""
        match values.dtype:
            case pl.List(inner=pl.Struct()):
                return values
            case pl.Struct():
                one = pl.when(pl.col(values.name).is_not_null()).then(
                    pl.concat_list(pl.col(values.name))
                )
                return values.to_frame().select(one.alias(values.name)).to_series()
            case pl.String():
                return read_texts(values, self._dtype, self._elements, _RECORDS)
            case _:
                return self._nothing(values)

    def _elements(self, found: Any) -> list[dict[str, str | None]]:
        names = self.said.fields
        return [{name: in_text(each.get(name)) for name in names} for each in records(found)]

    def _nothing(self, values: pl.Series) -> pl.Series:
        there = values.is_not_null()
        if isinstance(values.dtype, pl.List):
            there &= values.list.drop_nulls().list.len() > 0
        if there.any():
            row = int(there.arg_max() or 0)
            raise BadValueError(values.name, row, values[row], _RECORDS)
        return pl.Series(values.name, [None] * values.len(), dtype=self._dtype)

    def _field(self, exploded: pl.DataFrame, name: str, kind: str) -> pl.Series:
        records = exploded[self.said.list].struct
        if name not in records.fields:
            return pl.Series([None] * exploded.height, dtype=_TYPES[kind])
        found = records.field(name)
        if kind == "text" or found.dtype == MONEY:
            return found.cast(_TYPES[kind])
        amounts = read(found, "decimal")
        if wrong := bad(found, amounts):
            row = exploded[ROW][wrong.row]
            raise BadValueError(self.said.list, row, wrong.value, expected_of(wrong.value))
        self._rounded += too_fine(found)
        return amounts

    def sums(self, height: int, elements: pl.DataFrame) -> pl.DataFrame:
        """What the elements of each row add up to: those that move, those that stay."""
        amount, when = pl.col(self._amount), self._when.fill_null(value=False)
        sums = elements.group_by(ROW).agg(
            pl.when(when).then(amount).sum().alias(self.moved),
            pl.when(when.not_()).then(amount).sum().alias(self.left),
            *(
                pl.col(field).filter(chosen).first().alias(name)
                for name, (field, chosen) in self._picks.items()
            ),
        )
        rows = pl.select(pl.int_range(height, dtype=pl.UInt32).alias(ROW))
        joined = rows.join(sums, on=ROW, how="left", maintain_order="left").drop(ROW)
        zero = pl.lit(0).cast(MONEY)
        return joined.with_columns(pl.col(self.moved, self.left).fill_null(zero).cast(MONEY))

    def repeated(self, elements: pl.DataFrame) -> int:
        """How many stand in their row a second time, alike in every field."""
        after = elements[ROW] == elements[ROW].shift()
        beside = (after | after.shift(-1)).fill_null(value=False)
        if not beside.any():
            return 0
        several = elements.filter(beside)
        return several.height - several.unique().height

    @property
    def added(self) -> set[str]:
        """The columns that `sums` adds."""
        return {self.moved, self.left, *self._picks}

    def moving(self, elements: pl.DataFrame) -> pl.DataFrame:
        return elements.filter(self._when.fill_null(value=False))

    def empty(self) -> list[pl.Expr]:
        return [pl.lit(None, dtype=_TYPES[kind]).alias(name) for name, kind in self._kinds()]

    def _kinds(self) -> list[tuple[str, str]]:
        return [(f"element_{name}", kind) for name, kind in self.said.fields.items()]

"""Elements of a repeated column: their sums, and those that become rows of their own."""

import polars as pl

from services.executor.focus.errors import MappingError
from services.executor.focus.expressions import compile_expression
from services.executor.focus.mapping import Elements
from services.executor.ingest.values import MONEY

ROW = "\0row"
_TYPES: dict[str, pl.DataType] = {"text": pl.String(), "decimal": MONEY}


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

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One row per element, with the number of the row it comes from."""
        values = frame[self.said.list]
        if not isinstance(values.dtype, pl.List) or not isinstance(values.dtype.inner, pl.Struct):
            schema: dict[str, pl.DataType] = {ROW: pl.UInt32()}
            schema |= {name: _TYPES[kind] for name, kind in self._kinds()}
            return pl.DataFrame(schema=schema)
        fields = [
            _field(values.dtype.inner, name, kind).alias(f"element_{name}")
            for name, kind in self.said.fields.items()
        ]
        exploded = frame.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW), values)
        exploded = exploded.explode(self.said.list).drop_nulls(self.said.list)
        return exploded.rename({self.said.list: "\0element"}).select(ROW, *fields)

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


def _field(struct: pl.Struct, name: str, kind: str) -> pl.Expr:
    types = {field.name: field.dtype for field in struct.fields}
    if name not in types:
        return pl.lit(None, dtype=_TYPES[kind])
    value = pl.col("\0element").struct.field(name)
    if kind == "decimal" and types[name] != MONEY:
        return value.cast(pl.String).cast(MONEY)
    return value.cast(_TYPES[kind])

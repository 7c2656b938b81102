"""Which bills have what others leave empty, told before their first row is converted.

A bill is what an account is charged in a billing period. That a column is empty in one of
its lines means something only where others have a value in it.
"""

from dataclasses import dataclass, field

import polars as pl

PERIOD, ACCOUNT = "\0period", "\0account"
"""Of a line, as the export writes them."""
BILL = (PERIOD, ACCOUNT)


@dataclass(slots=True)
class Bills:
    """Adds up over batches. Only bills that have something are kept."""

    _having: dict[str, set[tuple[str | None, ...]]] = field(default_factory=dict)

    def add(self, lines: pl.DataFrame) -> None:
        """Lines by the bill that they are of, each with what it has itself."""
        for name in lines.columns[len(BILL) :]:
            found = lines.filter(pl.col(name)).select(BILL).unique()
            self._having.setdefault(name, set()).update(found.rows())

    @property
    def empty(self) -> bool:
        return not any(self._having.values())

    def having(self, lines: pl.DataFrame, name: str) -> pl.Series:
        """Whether the bill that each line is of has it."""
        bills = lines.select(BILL).unique()
        known = [bill in self._having.get(name, ()) for bill in bills.rows()]
        if len(set(known)) <= 1:
            return pl.repeat(any(known), lines.height, dtype=pl.Boolean, eager=True).alias(name)
        told = bills.with_columns(pl.Series(name, known))
        return lines.select(BILL).join(
            told, on=BILL, how="left", nulls_equal=True, maintain_order="left"
        )[name]

"""What no row of a bill can do without: who lacks it is refused with its place.

Its costs would be in no sum, or in that of no account, currency or period.
"""

from collections.abc import Iterable, Mapping
from typing import cast

import polars as pl

from services.executor.focus.errors import BadValueError
from services.executor.focus.mapping import Mapping as FocusMapping
from services.executor.ingest.values import EXPECTED, Kind

ACCOUNT, CURRENCY = "\0account", "\0currency"
"""Of rows of an export, as a mapping makes them."""
_AT_START, _AT_END = ("start", "month", "month_of"), ("end", "month", "start", "month_of")


class Needed:
    """Of an export, by the headers that its columns were found under."""

    def __init__(self, mapping: FocusMapping, found: Mapping[str, str]) -> None:
        self._mapping, self._found = mapping, found
        self._of = {
            name: (self._headers([name]), EXPECTED[cast("Kind", rule.type)])
            for name, rule in mapping.source.items()
            if rule.required and rule.type in EXPECTED
        }
        period = mapping.billing_period
        self._of |= {
            "period_start": (self._said(period, _AT_START), "a billing period"),
            "period_end": (self._said(period, _AT_END), "a billing period"),
            ACCOUNT: (self._headers(self._sources(mapping.account)), "a billing account"),
            CURRENCY: (self._headers(self._sources(mapping.currency)), "a currency"),
        }

    def check(self, columns: Iterable[pl.Series]) -> None:
        """Raises `BadValueError`."""
        for values in columns:
            if values.name in self._of and values.has_nulls():
                column, expected = self._of[values.name]
                row = int(values.is_null().arg_max() or 0)
                raise BadValueError(column, row, None, expected)

    def _said(self, period: Mapping[str, str], which: Iterable[str]) -> str:
        return self._headers([period[name] for name in which if name in period])

    def _headers(self, names: list[str]) -> str:
        """Where it could have stood; of what an export has nothing of, our own names."""
        there = [self._found[name] for name in names if name in self._found]
        return ", ".join(dict.fromkeys(there or names))

    def _sources(self, text: str) -> list[str]:
        """The columns of an export that an expression is made of."""
        let = self._mapping.let
        names = pl.sql_expr(text).meta.root_names()
        return [
            each for name in names for each in (self._sources(let[name]) if name in let else [name])
        ]

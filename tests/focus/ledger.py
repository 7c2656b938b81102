"""Ledgers: lines of a provider's bill, and the FOCUS rows that each must become.

Written in YAML, every scalar a text, so that a reader can check them by hand:
`base` and `kinds` are what lines have in common, `in` what is special about one,
`out` the rows expected of it; `null` is null.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from services.executor.focus.bills import Bills
from services.executor.focus.engine import Converter
from services.executor.focus.mapping import load_mapping
from services.executor.focus.source import Source

LEDGERS = Path(__file__).parent / "ledgers"
EXPORTS = Path(__file__).parent / "exports"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill."""

    title: str
    given: dict[str, Any]
    expected: Sequence[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Ledger:
    mapping: str
    lines: Sequence[Line]
    totals: dict[str, str]

    def frame(self, lines: Sequence[Line]) -> pl.DataFrame:
        """As an export would be read: in the columns and types of the whole ledger."""
        known = {id(line): number for number, line in enumerate(self.lines)}
        more = [line for line in lines if id(line) not in known]
        known |= {id(line): len(self.lines) + number for number, line in enumerate(more)}
        every = [*self.lines, *more]
        columns = dict.fromkeys(name for line in every for name in line.given)
        rows = [[line.given.get(name, "") for name in columns] for line in every]
        whole = pl.DataFrame(rows, schema=list(columns), orient="row", infer_schema_length=None)
        return whole[[known[id(line)] for line in lines]]

    def converter(self) -> Converter:
        """Of any of its lines: what they tell of the bill is known."""
        frame, bills = self.frame(self.lines), Bills()
        source = Source(load_mapping(self.mapping), frame.columns)
        if source.tells:
            bills.add(source.bills(frame))
        return Converter(load_mapping(self.mapping), frame.schema, bills=bills)

    def convert(self, lines: Sequence[Line]) -> tuple[pl.DataFrame, Converter]:
        frame = self.frame(lines)
        converter = Converter(load_mapping(self.mapping), frame.schema)
        return converter.convert(frame), converter


def load_ledger(name: str) -> Ledger:
    # BaseLoader reads every scalar as text: a cost is what is written, not a float.
    raw = yaml.load((LEDGERS / f"{name}.yml").read_text(), yaml.BaseLoader)  # noqa: S506
    kinds = raw.get("kinds", {})
    lines = []
    for item in raw["ledger"]:
        given = dict(raw["base"])
        for kind in item.get("kinds", []):
            given |= kinds[kind]
        lines.append(Line(item["line"], given | item["in"], item["out"]))
    return Ledger(raw["mapping"], lines, raw["totals"])


def exports_of(mapping: str) -> list[Path]:
    """Files as senders of older versions of FOCUS write them; of other mappings none."""
    return sorted(EXPORTS.glob("*.csv")) if mapping == "focus_file" else []


def shown(value: object) -> str:
    """A value as ledgers write it."""
    if value is None:
        return "null"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    return str(value)

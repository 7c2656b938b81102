"""What became of an export's rows: counted and summed while they pass, exactly."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import polars as pl

MOST_UNMAPPED = 200
Key = tuple[datetime, str, str]
"""Billing period, billing account, billing currency."""


@dataclass(slots=True)
class Tally:
    """Adds up over batches. `conserved` is the first thing to ask of a load."""

    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    unmapped: dict[str, Counter[str]] = field(default_factory=dict)
    raw: dict[Key, Decimal] = field(default_factory=dict)
    billed: dict[Key, Decimal] = field(default_factory=dict)
    effective: dict[Key, Decimal] = field(default_factory=dict)
    rounded: int = 0
    """Values with digits beyond the eighteenth decimal."""

    @property
    def rows_accounted(self) -> bool:
        dropped, added = sum(self.dropped.values()), sum(self.added.values())
        return self.rows_in - dropped + added == self.rows_out

    @property
    def lost(self) -> dict[Key, Decimal]:
        """By period, account and currency: what the bill has and the result has not."""
        keys = self.raw.keys() | self.billed.keys()
        differences = {
            key: self.raw.get(key, Decimal(0)) - self.billed.get(key, Decimal(0)) for key in keys
        }
        return {key: lost for key, lost in sorted(differences.items()) if lost}

    @property
    def conserved(self) -> bool:
        return not self.lost

    def add_unmapped(self, lookup: str, keys: pl.Series) -> None:
        counts = self.unmapped.setdefault(lookup, Counter())
        for key, number in keys.value_counts().iter_rows():
            known = key in counts or len(counts) < MOST_UNMAPPED
            counts[key if known else "(others)"] += number


def add_sums(sums: dict[Key, Decimal], frame: pl.DataFrame) -> None:
    """Add a frame of (period, account, currency, amount)."""
    period, account, currency, amount = frame.columns
    grouped = frame.group_by(period, account, currency).agg(pl.col(amount).sum())
    for at, who, what, value in grouped.iter_rows():
        key = (at, who, what)
        sums[key] = sums.get(key, Decimal(0)) + (value or Decimal(0))

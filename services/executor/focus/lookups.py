"""Look-ups as data: a CSV each, whose first column is the key. Their names carry a version."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import polars as pl

from services.executor.focus.errors import MappingError
from services.executor.ingest.values import MONEY

LOOKUPS = Path(__file__).parent / "lookups"
_NUMBER = re.compile(r"([1-9][0-9]{0,11}|[1-9][0-9]{0,8}[kmb])(?![\w.,])")
_ZEROS = str.maketrans({"k": "000", "m": "000000", "b": "000000000"})
_BARE = "units"
"""What a number without a unit counts."""


class Lookup(Protocol):
    @property
    def columns(self) -> list[str]: ...

    def find(self, keys: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
        """The row of each key, null where there is none; and what stands there."""


@dataclass(frozen=True, slots=True)
class Table:
    """What stands in each row of a table, and the keys of those rows: all of it text."""

    keys: pl.Enum
    values: pl.DataFrame

    @property
    def columns(self) -> list[str]:
        return self.values.columns

    def find(self, keys: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
        """A tenth of what a join takes."""
        places = keys.cast(self.keys, strict=False).to_physical()
        return places, self.values.select(pl.all().gather(places))


@dataclass(frozen=True, slots=True)
class Blocks:
    """A table of units, in small letters, that come with how many of them a price is for.

    `10K Calls` is found as `calls`, and ten thousand of them; of a unit that is known it is one.
    """

    units: Table
    name: str

    @property
    def columns(self) -> list[str]:
        return [*self.units.columns, self.name]

    def find(self, keys: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
        different = keys.unique().drop_nulls()
        split = [_split(text) for text in different]
        places, found = self.units.find(pl.Series([unit for _, unit in split], dtype=pl.String()))
        numbers = [
            number or (None if place is None else 1)
            for (number, _), place in zip(split, places, strict=True)
        ]
        found = found.with_columns(pl.Series(self.name, numbers, dtype=MONEY))
        at = keys.cast(pl.Enum(different), strict=False).to_physical()
        return places.gather(at), found.select(pl.all().gather(at))


def _split(text: str) -> tuple[int | None, str]:
    text = text.strip().lower()
    found = _NUMBER.match(text)
    if found is None:
        return None, text
    return int(found[1].translate(_ZEROS)), text[found.end() :].strip() or _BARE


@cache
def load_lookup(table: str, prefix: str = "", block: str = "") -> Lookup:
    """Raises `MappingError`."""
    path = LOOKUPS / f"{table}.csv"
    if not path.exists():
        raise MappingError(table, "there is no such look-up")
    found = pl.read_csv(path, infer_schema=False, comment_prefix="#")
    key, *others = found.columns
    found = found.rename({key: "key"} | {name: f"{prefix}{name}" for name in others})
    twice = found.filter(pl.col("key").is_duplicated())["key"].to_list()
    if twice:
        raise MappingError(path.name, f"the key {twice[0]!r} is there twice")
    known = Table(pl.Enum(found["key"]), found.drop("key"))
    return Blocks(known, block) if block else known

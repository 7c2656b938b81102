"""Look-ups as data: a CSV each, whose first column is the key. Their names carry a version."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl

from services.executor.focus.errors import MappingError

LOOKUPS = Path(__file__).parent / "lookups"


@dataclass(frozen=True, slots=True)
class Lookup:
    """What stands in each row of a table, and the keys of those rows: all of it text."""

    keys: pl.Enum
    values: pl.DataFrame

    def places(self, keys: pl.Series) -> pl.Series:
        """The row of each key; null where there is none. A tenth of what a join takes."""
        return keys.cast(self.keys, strict=False).to_physical()

    def at(self, places: pl.Series) -> pl.DataFrame:
        return self.values.select(pl.all().gather(places))


@cache
def load_lookup(table: str, prefix: str = "") -> Lookup:
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
    return Lookup(pl.Enum(found["key"]), found.drop("key"))

"""Look-ups as data: a CSV each, whose first column is the key. Their names carry a version."""

from functools import cache
from pathlib import Path

import polars as pl

from services.executor.focus.errors import MappingError

LOOKUPS = Path(__file__).parent / "lookups"


@cache
def load_lookup(table: str, prefix: str = "") -> pl.DataFrame:
    """The table as text; its key column is called `key`. Raises `MappingError`."""
    path = LOOKUPS / f"{table}.csv"
    if not path.exists():
        raise MappingError(table, "there is no such look-up")
    found = pl.read_csv(path, infer_schema=False, comment_prefix="#")
    key, *others = found.columns
    found = found.rename({key: "key"} | {name: f"{prefix}{name}" for name in others})
    twice = found.filter(pl.col("key").is_duplicated())["key"].to_list()
    if twice:
        raise MappingError(path.name, f"the key {twice[0]!r} is there twice")
    return found

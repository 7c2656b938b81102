"""Rows that stand in two files of a delivery, found in a sample that is the same for each file.

Of all rows those are kept whose hashes are the smallest, so that files of the same
rows keep the same ones, however they are split, and memory stays what it is.
"""

from dataclasses import dataclass, field

import polars as pl

SAMPLE = 4096
_HASH, _FILE = "hash", "file"
_NOTHING = pl.DataFrame(schema={_HASH: pl.UInt64, _FILE: pl.String})


@dataclass(slots=True)
class Twice:
    """Adds up over batches. `share` is of the rows that differ from one another."""

    looking: bool = True
    """False where there is but one file, or it is said what each is for."""
    otherwise: str = ""
    """What to do about it."""
    _kept: pl.DataFrame = field(default_factory=lambda: _NOTHING)
    _most: int | None = None

    def add(self, rows: pl.DataFrame, file: str) -> None:
        """Rows by what makes them those rows, and the name of their file."""
        names = [name for name in rows.columns if name != file]
        hashes = rows.select(pl.struct(names).hash().alias(_HASH), pl.col(file).alias(_FILE))
        if self._most is not None:
            hashes = hashes.filter(pl.col(_HASH) <= self._most)
        self._kept = pl.concat([self._kept, hashes]).unique()
        smallest = self._kept[_HASH].unique().sort()
        if smallest.len() > SAMPLE:
            self._most = smallest[SAMPLE - 1]
            self._kept = self._kept.filter(pl.col(_HASH) <= self._most)

    @property
    def share(self) -> float:
        files = self._kept.group_by(_HASH).agg(pl.len())["len"]
        return float((files > 1).sum()) / max(files.len(), 1)

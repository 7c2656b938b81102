"""Rows that stand in two files of a delivery, found in a sample that is the same for each file.

Of all rows those are kept whose hashes are the smallest, so that files of the same
rows keep the same ones, however they are split, and memory stays what it is.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce

import polars as pl

SAMPLE = 16384
LEAST = 20
"""Rows of a file in the sample: of fewer, nothing is known of the file alone."""
MOST = Decimal("0.25")
"""The share of a file's rows that may be alike by chance in another one."""
_HASH, _FILE, _ROWS, _SHARED = "hash", "file", "rows", "shared"
_PRIME = pl.lit(1099511628211, dtype=pl.UInt64)
_NOTHING = pl.DataFrame(schema={_HASH: pl.UInt64, _FILE: pl.String})


@dataclass(frozen=True, slots=True)
class Shared:
    """What part of a file's rows stand in others too, or of several small files' together."""

    share: Decimal = Decimal(0)
    enough: bool = True
    """Whether there are rows enough to judge by."""
    file: str = ""
    beside: str = ""
    """The file that has most of them."""

    @property
    def by_chance(self) -> bool:
        return not self.enough or self.share <= MOST


@dataclass(slots=True)
class Twice:
    """Adds up over batches. A file is measured by its own rows, however many others have."""

    looking: bool = True
    """False where there is but one file."""
    otherwise: str = ""
    """What to do about it."""
    _kept: pl.DataFrame = field(default_factory=lambda: _NOTHING)
    _most: int | None = None
    _files: set[str] = field(default_factory=set)

    def add(self, rows: pl.DataFrame, file: str) -> None:
        """Rows by what makes them those rows, and the name of their file."""
        names = [name for name in rows.columns if name != file]
        # Of all of them in turn, which a struct's hash takes three times as long for.
        of_row = reduce(lambda all_, one: all_ * _PRIME + one, (pl.col(n).hash() for n in names))
        hashes = rows.select(of_row.alias(_HASH), pl.col(file).alias(_FILE))
        self._files.update(hashes[_FILE].unique())
        if self._most is not None:
            hashes = hashes.filter(pl.col(_HASH) <= self._most)
        self._kept = pl.concat([self._kept, hashes]).unique()
        if self._kept.height > SAMPLE:
            self._most = self._kept[_HASH].sort()[SAMPLE - 1]
            self._kept = self._kept.filter(pl.col(_HASH) <= self._most)

    @property
    def small(self) -> int:
        """How many files have too few rows in the sample to be judged alone."""
        if self._most is None:
            return 0
        return len(self._files) - self._counted().filter(pl.col(_ROWS) >= LEAST).height

    def worst(self) -> Shared:
        """The largest share of any file, or of the small ones together."""
        counted = self._counted()
        # Where every row is in the sample, a small file is known as well as a large one.
        alone = pl.lit(value=self._most is None) | (pl.col(_ROWS) >= LEAST)
        large, small = counted.filter(alone), counted.filter(~alone)
        found = [self._of(group) for group in (large[:1], small) if group[_SHARED].sum()]
        return max(found, key=lambda one: (not one.by_chance, one.share), default=Shared())

    def _counted(self) -> pl.DataFrame:
        """The files by their share, the largest first."""
        shared = pl.len().over(_HASH) > 1
        files = self._kept.with_columns(shared.alias(_SHARED)).group_by(_FILE)
        counted = files.agg(pl.len().alias(_ROWS), pl.col(_SHARED).sum())
        share = pl.col(_SHARED) / pl.col(_ROWS)
        return counted.sort(share, _FILE, descending=[True, False])

    def _of(self, files: pl.DataFrame) -> Shared:
        shared, rows = int(files[_SHARED].sum()), int(files[_ROWS].sum())
        file = files[_FILE][0]
        of_it = pl.col(_FILE) == file
        others = self._kept.join(self._kept.filter(of_it), on=_HASH, how="semi").filter(~of_it)
        beside = others[_FILE].value_counts().sort("count", _FILE, descending=[True, False])
        enough = self._most is None or rows >= LEAST
        return Shared(Decimal(shared) / rows, enough, file, beside[_FILE][0])

"""Whether memory stays what it is: bills of one, five and fifteen million rows, of every format.

    make peers PARTS=flat

Takes some 25 minutes on two cores, and 11 GB of disk for the longest CSV: each bill is converted
once and deleted. With less disk, say fewer ROWS; the figures say of how many they are.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.figures import Curve, Figure, Findings
from tests.bench.peers.conversion import (
    AWS,
    FLAT,
    MOST_MB,
    PAIRS,
    ROWS,
    WARM_UP,
    Pair,
    converted,
    curves_of,
)
from tests.bench.peers.packed import GCP_LINES, JSON_ROWS, packed
from tests.bench.peers.watching import Took

TIMES = (1, 5, 15)
Make = Callable[[Path, Pair, int], Path]


def plain(folder: Path, pair: Pair, rows: int) -> Path:
    return pair.bill.make(folder, rows)


BILLS: Mapping[str, tuple[Pair, int, Make]] = {
    **{name: (pair, ROWS, plain) for name, pair in PAIRS.items()},
    "AWS, CSV.gz": (AWS, ROWS, packed),
    "Google Cloud, NDJSON.gz": (GCP_LINES, JSON_ROWS, packed),
}
"""And the rows of the shortest."""


def measured(folder: Path) -> Findings:
    converted(folder, AWS, plain(folder, AWS, WARM_UP))
    figures, curves = list[Figure](), list[Curve]()
    for name, (pair, unit, make) in BILLS.items():
        sizes = {
            rows: converted(folder, pair, make(folder, pair, rows))
            for rows in (unit * times for times in TIMES)
        }
        figures += _figures(name, sizes)
        curves += curves_of(name, {rows: [took] for rows, took in sizes.items()})
    return Findings("long-bills", figures, curves)


def _figures(name: str, sizes: Mapping[int, Took]) -> list[Figure]:
    """From the shortest to the longest."""
    shortest, *_, longest = sizes
    peaks = [took.peak_mb for took in sizes.values()]
    over = f"{name}, {longest:,} rows: memory over that of {shortest:,}"
    most = f"{name}, up to {longest:,} rows: most memory"
    return [
        Figure(over, "times", [peaks[-1] / peaks[0]], aim=FLAT, more_is_better=False),
        Figure(most, "MB", [max(peaks)], aim=MOST_MB, more_is_better=False),
    ]

"""What exactness costs: sums held against the bill, and decimals where floats would do.

    python -m tests.bench.exactness [--rows 300000]

The same work with and without, in turns, in one process.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import polars as pl

from services.executor.focus.tally import Tally
from tests.bench.figures import Figure, Findings
from tests.bench.peers.converting import convert
from tests.bench.peers.loading import TYPES
from tests.bench.peers.made import AWS
from tests.bench.peers.reading import load

ROUNDS = 9
HELD, EXACT = round(1 / 1.08, 3), round(1 / 1.12, 3)
"""What is left at least of the rate without."""
AMOUNTS = [name for name, type_ in TYPES.items() if type_ == "decimal"]
OTHERS = {name: type_ for name, type_ in TYPES.items() if name not in AMOUNTS}
Way = Callable[[], Coroutine[Any, Any, object]]


class Unheld(Tally):
    """Counts rows, and adds nothing up."""

    def add_result(self, rows: pl.DataFrame) -> None:
        self.rows_out += rows.height

    def add_charged(self, charged: pl.DataFrame) -> None: ...

    def add_cancelling(self, name: str, by: pl.DataFrame, charged: pl.DataFrame) -> None: ...

    def add_offset(self, name: str, lines: pl.Series, amounts: pl.DataFrame) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.exactness")
    parser.add_argument("--rows", type=int, default=300_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = measured(Path(folder), rows)
    Findings("exactness", figures).keep()
    for figure in figures:
        print(figure)


def measured(folder: Path, rows: int) -> list[Figure]:
    file = AWS.make(folder, rows)
    held, unheld = in_turns(
        rows,
        lambda: convert("aws_cur", file, folder),
        lambda: convert("aws_cur", file, folder, Unheld()),
    )
    exact, floats = in_turns(
        rows,
        lambda: load(file, folder, TYPES),
        lambda: load(file, folder, OTHERS, AMOUNTS),
    )
    focus = f"AWS's CSV into FOCUS, {rows:,} rows, sums held against the bill"
    plain = f"AWS's CSV into Parquet, {rows:,} rows, amounts as decimals"
    return [
        Figure(focus, "rows/s", held, "nothing added up", unheld, HELD),
        Figure(plain, "rows/s", exact, "amounts as floats", floats, EXACT),
    ]


def in_turns(rows: int, *ways: Way) -> list[list[float]]:
    """Rows a second of each; the first turn does not count."""
    rates = [[rows / seconds(way) for way in ways] for _ in range(ROUNDS + 1)]
    return [list(of_one) for of_one in zip(*rates[1:], strict=True)]


def seconds(way: Way) -> float:
    began = time.perf_counter()
    asyncio.run(way())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

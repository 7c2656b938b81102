"""Bills into FOCUS, by us and by focus-converter: rows a second, memory, and refusals.

The same file, each in a process and an environment of its own, ours that of the executor's
image; starting Python is counted for both.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from services.executor.focus.engine import Converter
from services.executor.focus.mapping import load_mapping
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.readers import open_reader
from tests.bench.figures import Curve, Figure, Findings
from tests.bench.peers import made, refusing
from tests.bench.peers.converting import schema_of
from tests.bench.peers.peer import tool
from tests.bench.peers.watching import Took, in_turns, made_anew, watched

ROWS = int(os.environ.get("ROWS", "1_000_000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SHORTER, LONGER = 4, 5
"""What a bill of `ROWS` is divided and multiplied by, to see what grows with it."""
WARM_UP = 1000
OVER_PEER = 4.0
MOST_MB, FLAT = 800.0, 1.2
HANGS_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Pair:
    """One bill, and what it is called on both sides."""

    bill: made.Bill
    mapping: str
    provider: str
    format: Sequence[str] = ("--data-format", "csv")

    def ours(self, file: Path, out: Path) -> list[str]:
        module = "tests.bench.peers.converting"
        return [tool("executor"), "-m", module, self.mapping, str(file), str(out)]

    def unconverted(self, file: Path, out: Path) -> list[str]:
        """The columns that ours reads, written as they are, by Polars alone."""
        reader = open_reader(file, file.name, None, CsvOptions())
        reads = Converter(load_mapping(self.mapping), schema_of(reader)).reads
        module = "tests.bench.peers.copying"
        return [tool("executor"), "-m", module, str(file), str(out), *sorted(reads)]

    def theirs(self, file: Path, out: Path) -> list[str]:
        return [*self.theirs_as_it_comes(file, out), "--no-export-include-source-columns"]

    def theirs_as_it_comes(self, file: Path, out: Path) -> list[str]:
        """It keeps all columns of a bill beside its own unless told otherwise; ours keeps some."""
        command = [tool("focus-converter", "focus-converter"), "convert"]
        command += ["--provider", self.provider, "--data-path", str(file), *self.format]
        return [*command, "--export-path", str(out)]


AWS = Pair(made.AWS, "aws_cur", "aws-cur")
AZURE = Pair(made.AZURE, "azure_export", "azure")
PARQUET = ("--data-format", "parquet", "--parquet-data-format", "file")
GCP = Pair(made.GCP, "gcp_billing", "gcp", PARQUET)
PAIRS = {"AWS, CSV": AWS, "Azure, CSV": AZURE, "Google Cloud, Parquet": GCP}


def measured(folder: Path) -> Findings:
    found = [_beside(folder, name, pair) for name, pair in PAIRS.items()]
    figures = [figure for of_one, _ in found for figure in of_one]
    curves = [curve for _, of_one in found for curve in of_one]
    figures += [*refusing.measured(folder), *_hangs(folder)]
    return Findings("conversion-beside-peers", figures, curves)


def _beside(folder: Path, name: str, pair: Pair) -> tuple[list[Figure], list[Curve]]:
    file = pair.bill.make(folder, ROWS)
    small = pair.bill.make(folder, WARM_UP)
    for command in (pair.ours, pair.theirs):
        _run(folder, command, small)
    commands = (pair.ours, pair.theirs, pair.unconverted)
    turns = [command(file, folder / "out") for command in commands]
    ours, theirs, unconverted = in_turns(turns, folder, ROUNDS)
    as_it_comes = [_run(folder, pair.theirs_as_it_comes, file)]
    size_mb = file.stat().st_size / 1e6
    file.unlink()
    shorter = converted(folder, pair, pair.bill.make(folder, ROWS // SHORTER))
    longer = converted(folder, pair, pair.bill.make(folder, ROWS * LONGER))
    peer, most = "focus-converter 1.0.0", max(took.peak_mb for took in ours)
    size = f"{name}, {ROWS:,} rows"
    figures = [
        Figure(f"{size}", "rows/s", _rate(ours), peer, _rate(theirs), OVER_PEER),
        Figure(
            f"{size}: beside it as it comes, with all columns of the bill",
            "rows/s",
            _rate(ours),
            peer,
            _rate(as_it_comes),
        ),
        Figure(
            f"{size}: read and written by Polars alone, nothing converted",
            "rows/s",
            _rate(unconverted),
            peer,
            _rate(theirs),
        ),
        Figure(f"{size}: processor", "s", _cpu(ours), peer, _cpu(theirs), more_is_better=False),
        Figure(f"{size}: bill for each second of a core", "MB", [size_mb / s for s in _cpu(ours)]),
        Figure(f"{size}: memory", "MB", _peak(ours), peer, _peak(theirs), more_is_better=False),
        Figure(f"{size}: most memory", "MB", [most], aim=MOST_MB, more_is_better=False),
        Figure(
            f"{name}, {ROWS * LONGER:,} rows: memory over that of {ROWS:,}",
            "times",
            [longer.peak_mb / most],
            aim=FLAT,
            more_is_better=False,
        ),
    ]
    sizes = {ROWS // SHORTER: [shorter], ROWS: ours, ROWS * LONGER: [longer]}
    return figures, curves_of(name, sizes)


def curves_of(name: str, sizes: Mapping[int, Sequence[Took]]) -> list[Curve]:
    rates = [(rows, median(rows / took.seconds for took in runs)) for rows, runs in sizes.items()]
    peaks = [(rows, median(_peak(runs))) for rows, runs in sizes.items()]
    return [
        Curve(f"{name}: converted", "rows", "rows/s", rates),
        Curve(f"{name}: memory", "rows", "MB", peaks),
    ]


def converted(folder: Path, pair: Pair, file: Path) -> Took:
    """By us; the file is deleted then."""
    took = _run(folder, pair.ours, file)
    file.unlink()
    return took


def _run(folder: Path, command: Callable[[Path, Path], list[str]], file: Path) -> Took:
    return made_anew(command(file, folder / "out"), folder)


def _rate(runs: Sequence[Took]) -> list[float]:
    return [ROWS / took.seconds for took in runs]


def _cpu(runs: Sequence[Took]) -> list[float]:
    return [took.cpu for took in runs]


def _peak(runs: Sequence[Took]) -> list[float]:
    return [took.peak_mb for took in runs]


def _hangs(folder: Path) -> list[Figure]:
    """A file that is not there, and one that lacks a column, as focus-converter takes them."""
    lines = AZURE.bill.make(folder, WARM_UP).read_text().splitlines()
    without = folder / "without-cost.csv"
    without.write_text("\n".join([lines[0].replace("CostInBillingCurrency", "Amount"), *lines[1:]]))
    out = folder / "out"
    return [
        _hung("a missing file", folder, AZURE.theirs(folder / "no.csv", out)),
        _hung("a missing column", folder, AZURE.theirs(without, out)),
    ]


def _hung(what: str, folder: Path, command: Sequence[str]) -> Figure:
    took = watched(command, folder, HANGS_WITHIN)
    how = "cut off" if took.code is None else f"ended with {took.code}"
    return Figure(f"{what}, focus-converter: {how}", "s", [took.seconds], more_is_better=False)

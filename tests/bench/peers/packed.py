"""Bills in gzip into FOCUS, beside what it takes to unpack them; and lines of JSON beside DuckDB.

    make peers PARTS=packed

The shell's `zcat` unpacks a bill, its `wc` counts the lines, and that is all that they do; how
fast a bill can be unpacked at all, `igzip` says.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.readers import open_reader
from tests.bench.figures import Figure, Findings, Profile
from tests.bench.peers import made
from tests.bench.peers.conversion import AWS, FLAT, LONGER, MOST_MB, ROUNDS, ROWS, Pair
from tests.bench.peers.peer import SCRIPTS, tool
from tests.bench.peers.watching import Took, in_turns, made_anew
from tests.bench.profiling import profiled

GCP_LINES = Pair(made.GCP_LINES, "gcp_billing", "gcp")
JSON_ROWS = ROWS // 4
OVER_UNPACKED_CSV, OVER_UNPACKED_JSON = 0.9, 1.2


def measured(folder: Path) -> Findings:
    figures = [*_of_csv(folder), *_of_json(folder)]
    return Findings("packed-bills", figures, profiles=[_reading(folder)])


def _of_csv(folder: Path) -> list[Figure]:
    file = packed(folder, AWS, ROWS)
    turns = _warm(folder, [AWS.ours(file, folder / "out"), *_unpacked(file)])
    return [
        *_into_focus(f"AWS, CSV.gz, {ROWS:,} rows", ROWS, turns, OVER_UNPACKED_CSV),
        _flat(folder, "AWS, CSV.gz", AWS, ROWS, turns[0]),
    ]


def _of_json(folder: Path) -> list[Figure]:
    file = packed(folder, GCP_LINES, JSON_ROWS)
    to = [str(file), str(folder / "out"), "{}"]
    commands = [
        GCP_LINES.ours(file, folder / "out"),
        *_unpacked(file),
        [tool("executor"), "-m", "tests.bench.peers.reading", *to],
        [tool("load"), str(SCRIPTS / "load_duckdb.py"), *to],
    ]
    *turns, plain, theirs = _warm(folder, commands)
    size = f"Google Cloud, NDJSON.gz, {JSON_ROWS:,} rows"
    rates = [[JSON_ROWS / took.seconds for took in side] for side in (plain, theirs)]
    return [
        *_into_focus(size, JSON_ROWS, turns, OVER_UNPACKED_JSON),
        _flat(folder, "Google Cloud, NDJSON.gz", GCP_LINES, JSON_ROWS, turns[0]),
        Figure(f"{size}: a plain load", "rows/s", rates[0], "DuckDB", rates[1]),
    ]


def _flat(folder: Path, what: str, pair: Pair, rows: int, ours: Sequence[Took]) -> Figure:
    """Memory over a bill that is longer than that of `ours`."""
    longer = made_anew(pair.ours(packed(folder, pair, rows * LONGER), folder / "out"), folder)
    name = f"{what}, {rows * LONGER:,} rows: memory over that of {rows:,}"
    times = longer.peak_mb / max(took.peak_mb for took in ours)
    return Figure(name, "times", [times], aim=FLAT, more_is_better=False)


def _reading(folder: Path) -> Profile:
    file = GCP_LINES.bill.make(folder, ROWS // 50)
    with profiled("reading lines of JSON") as found:
        for _ in open_reader(file, file.name, None, CsvOptions()).batches():
            pass
    return found[0]


def packed(folder: Path, pair: Pair, rows: int) -> Path:
    file = pair.bill.make(folder, rows)
    subprocess.run(["gzip", "--force", str(file)], check=True)
    return file.with_name(f"{file.name}.gz")


def _warm(folder: Path, commands: Sequence[list[str]]) -> Sequence[Sequence[Took]]:
    """In a process that is not the first of its kind."""
    in_turns(commands, folder, 1)
    return in_turns(commands, folder, ROUNDS)


def _unpacked(file: Path) -> list[list[str]]:
    unpacking = ("zcat", f"'{tool('load')}' -m isal.igzip -cd")
    return [["sh", "-c", f"{command} '{file}' | wc -l"] for command in unpacking]


def _into_focus(size: str, rows: int, turns: Sequence[Sequence[Took]], aim: float) -> list[Figure]:
    """Of ours, and of what unpacks."""
    ours, bare, quick = ([rows / took.seconds for took in side] for side in turns)
    most = max(took.peak_mb for took in turns[0])
    return [
        Figure(f"{size}: into FOCUS", "rows/s", ours, "`zcat` into `wc`", bare, aim),
        Figure(f"{size}: into FOCUS", "rows/s", ours, "`igzip` into `wc`", quick),
        Figure(f"{size}: most memory", "MB", [most], aim=MOST_MB, more_is_better=False),
    ]

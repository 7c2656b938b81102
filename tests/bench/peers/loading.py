"""A plain load: the same CSV into typed Parquet, by us, by DuckDB, by dlt and by pandas."""

import json
import sys
from pathlib import Path

from services.executor.ingest.contract import Declared
from tests.bench.figures import Figure, Findings
from tests.bench.peers.conversion import ROUNDS, ROWS, WARM_UP
from tests.bench.peers.made import AWS
from tests.bench.peers.peer import SCRIPTS, tool
from tests.bench.peers.watching import in_turns

TYPES: dict[str, Declared] = {
    "lineItem/UsageAmount": "decimal",
    "lineItem/UnblendedCost": "decimal",
    "lineItem/BlendedCost": "decimal",
    "pricing/publicOnDemandCost": "decimal",
    "lineItem/UsageStartDate": "time",
    "lineItem/UsageEndDate": "time",
}
"""What is not text."""


def measured(folder: Path) -> Findings:
    types = json.dumps(TYPES)
    commands = {
        "us": [sys.executable, "-m", "tests.bench.peers.reading"],
        "DuckDB": [tool("load"), str(SCRIPTS / "load_duckdb.py")],
        "dlt": [tool("load"), str(SCRIPTS / "load_dlt.py")],
        "pandas in chunks": [tool("pandas"), str(SCRIPTS / "load_pandas.py")],
    }
    small, file = AWS.make(folder, WARM_UP), AWS.make(folder, ROWS)
    warm, turns = (
        [[*command, str(bill), str(folder / "out"), types] for command in commands.values()]
        for bill in (small, file)
    )
    in_turns(warm, folder, 1)
    runs = dict(zip(commands, in_turns(turns, folder, ROUNDS), strict=True))
    ours, size = runs.pop("us"), f"AWS's CSV into Parquet, {ROWS:,} rows"
    found = []
    for name, theirs in runs.items():
        rates = [[ROWS / took.seconds for took in side] for side in (ours, theirs)]
        peaks = [[took.peak_mb for took in side] for side in (ours, theirs)]
        found.append(Figure(size, "rows/s", rates[0], name, rates[1]))
        memory = f"{size}: memory"
        found.append(Figure(memory, "MB", peaks[0], name, peaks[1], more_is_better=False))
    return Findings("loading-beside-peers", found)

"""The next time of a schedule, by us, by croniter and by cronsim alone.

Most schedulers in Python use croniter. Ours asks cronsim: what it takes more is ours.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from services.scheduler.domain.cron import next_after
from tests.bench.figures import Figure, Findings
from tests.bench.peers.peer import told, tool

ROUNDS, TIMES = 5, 2_000
CRONS = {"every quarter of an hour": "*/15 * * * *", "each weekday at 6:30": "30 6 * * 1-5"}
PEERS = ("croniter", "cronsim")
START = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)


def measured(folder: Path) -> Findings:
    del folder
    figures = [figure for what, cron in CRONS.items() for figure in _beside(what, cron)]
    return Findings("schedules-beside-peers", figures)


def _beside(what: str, cron: str) -> list[Figure]:
    ours = list[float]()
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(ROUNDS):
        ours.append(_round(cron))
        for name in PEERS:
            argv = [tool("cron"), "cron_times.py", name, cron, START.isoformat(), str(TIMES)]
            theirs[name] += told(argv, {})
    what = f"the next time of a schedule, {what}"
    return [
        Figure(what, "µs", ours, name, took, more_is_better=False) for name, took in theirs.items()
    ]


def _round(cron: str) -> float:
    at, began = START, time.perf_counter()
    for _ in range(TIMES):
        found = next_after(cron, "UTC", at)
        if found is None:
            raise SystemExit(f"{cron} never comes after {at}")
        at = found
    return (time.perf_counter() - began) * 1e6 / TIMES

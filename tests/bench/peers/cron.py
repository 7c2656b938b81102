"""The next time of a schedule, by us and by croniter, which most schedulers in Python use."""

import time
from datetime import UTC, datetime
from pathlib import Path

from services.scheduler.domain.cron import next_after
from tests.bench.figures import Figure, Findings
from tests.bench.peers.peer import told, tool

ROUNDS, TIMES = 5, 2_000
CRONS = {"every quarter of an hour": "*/15 * * * *", "each weekday at 6:30": "30 6 * * 1-5"}
START = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)


def measured(folder: Path) -> Findings:
    del folder
    return Findings("schedules-beside-peers", [_beside(what, cron) for what, cron in CRONS.items()])


def _beside(what: str, cron: str) -> Figure:
    argv = [tool("cron"), "cron_times.py", cron, START.isoformat(), str(TIMES)]
    ours, theirs = list[float](), list[float]()
    for _ in range(ROUNDS):
        ours.append(_round(cron))
        theirs += told(argv, {})
    name = f"the next time of a schedule, {what}"
    return Figure(name, "µs", ours, "croniter", theirs, more_is_better=False)


def _round(cron: str) -> float:
    at, began = START, time.perf_counter()
    for _ in range(TIMES):
        found = next_after(cron, "UTC", at)
        if found is None:
            raise SystemExit(f"{cron} never comes after {at}")
        at = found
    return (time.perf_counter() - began) * 1e6 / TIMES

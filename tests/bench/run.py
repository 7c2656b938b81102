"""Measures the thin path on this machine: latency of each hop, and runs per second.

    python -m tests.bench.run [--runs 200]

Starts the whole platform, so it needs nothing but this checkout.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.bench_executor import save_text
from tests.bench.figures import Curve, Figure, Findings
from tests.pipelines import ONE_STEP
from tests.stack import Stack

ROUNDS = 4
OF_A_TENANT = 50
"""Runs: fewer than the plan allows in a day."""
IN_FLIGHT = (1, 4, 16, 64)
LEAST_RUNS, RUNS_EACH = 20, 5
"""Of each client at least so many, so that all have one under way for most of the time."""
HOPS = (
    ("POST → run.requested", "run.submit.v1", "run.requested.v1"),
    ("run.requested → attempt.started", "run.requested.v1", "attempt.started.v1"),
    ("attempt.started → step.started", "attempt.started.v1", "step.started.v1"),
    ("step: one BigQuery job", "step.started.v1", "step.completed.v1"),
    ("step.completed → attempt.finished", "step.completed.v1", "attempt.finished.v1"),
    ("attempt.finished → run.finished", "attempt.finished.v1", "run.finished.v1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run")
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        stack = Stack(Path(directory)).start()
        try:
            measure(stack, runs)
        finally:
            stack.stop()


def measure(stack: Stack, runs: int) -> None:
    tenants = onboarded(stack, "bench", runs // OF_A_TENANT + 2)
    figures = [
        *one_by_one(stack, tenants[0]),
        *many_at_once(stack, tenants[1:], runs),
        with_kept_status(stack, tenants[0]),
    ]
    Findings("runs", figures, in_flight(stack)).keep()
    for figure in figures:
        print(figure)


def onboarded(stack: Stack, prefix: str, count: int) -> list[str]:
    tenants = [f"{prefix}_{number:02}" for number in range(count)]
    for tenant in tenants:
        stack.onboard(tenant)
        save_text(stack, tenant, "ones", ONE_STEP)
    return tenants


def one_by_one(stack: Stack, tenant: str, count: int = 40) -> list[Figure]:
    """POST to COMPLETED as a client sees it that waits by long-poll."""
    walls, finals = [], []
    for _ in range(count):
        started = time.perf_counter()
        run_id = submit(stack, tenant)
        stack.wait_for_run(tenant, run_id)
        walls.append((time.perf_counter() - started) * 1000)
        finals.append(run_id)
    return [
        took("POST → COMPLETED by GET, one step", walls, aim=1000),
        *(took(f"… {name}", hop(stack, finals, *between)) for name, *between in HOPS),
    ]


def hop(stack: Stack, run_ids: Sequence[str], before: str, after: str) -> list[float]:
    """Milliseconds between two messages of each run, by the times they carry."""
    times = stack_events(stack)
    return [
        (times[run_id][after] - times[run_id][before]).total_seconds() * 1000
        for run_id in run_ids
        if {before, after} <= times.get(run_id, {}).keys()
    ]


def stack_events(stack: Stack) -> dict[str, dict[str, datetime]]:
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415  only benches ask
    from google.cloud import bigquery  # noqa: PLC0415

    client = bigquery.Client(
        "convergence-local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://127.0.0.1:{stack.ports()['bigquery']['rest']}"},
    )
    sql = (
        "SELECT JSON_VALUE(data, '$.run_id') AS run_id, event_type, event_time"
        " FROM tenants.events WHERE JSON_VALUE(data, '$.run_id') IS NOT NULL"
    )
    found: dict[str, dict[str, Any]] = {}
    for row in client.query_and_wait(sql):
        found.setdefault(row["run_id"], {})[row["event_type"]] = row["event_time"]
    return found


def many_at_once(stack: Stack, tenants: Sequence[str], runs: int) -> list[Figure]:
    """All runs submitted by eight clients; the clock stops when the last has ended."""
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as clients:
        ids = list(
            clients.map(
                lambda n: (tenants[n % len(tenants)], submit(stack, tenants[n % len(tenants)])),
                range(runs),
            )
        )
        accepted = time.perf_counter() - started
        list(clients.map(lambda one: stack.wait_for_run(*one, within=120), ids))
    ended = time.perf_counter() - started
    return [
        Figure(f"{runs} runs at once: accepted", "/s", [runs / accepted]),
        Figure(f"{runs} runs at once: ended, recorded", "/s", [runs / ended]),
    ]


def in_flight(stack: Stack) -> list[Curve]:
    """As many clients as runs are to be under way: each begins the next when one has ended."""
    latencies, rates = [], []
    for clients in IN_FLIGHT:
        runs = max(clients * RUNS_EACH, LEAST_RUNS)
        tenants = onboarded(stack, f"flight_{clients}", max(clients // 2, 1))
        asked = [tenants[number % len(tenants)] for number in range(runs)]
        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            walls = list(pool.map(lambda tenant: _one(stack, tenant), asked))
        rates.append((clients, runs / (time.perf_counter() - started)))
        latencies.append((clients, statistics.median(walls)))
    over = "runs in flight"
    return [
        Curve("POST → COMPLETED, P50, one step", over, "ms", latencies),
        Curve("Runs that end", over, "a second", rates),
    ]


def _one(stack: Stack, tenant: str) -> float:
    started = time.perf_counter()
    stack.wait_for_run(tenant, submit(stack, tenant), within=120)
    return (time.perf_counter() - started) * 1000


def with_kept_status(stack: Stack, tenant: str) -> Figure:
    run_id = submit(stack, tenant)
    stack.wait_for_run(tenant, run_id)
    walls = []
    for _ in range(200):
        started = time.perf_counter()
        stack.call("GET", f"/api/v1/pipelines/runs/{run_id}", tenant=tenant)
        walls.append((time.perf_counter() - started) * 1000)
    return took("GET status of a run", walls, aim=50)


def submit(stack: Stack, tenant: str) -> str:
    answer = stack.call("POST", "/api/v1/pipelines/run/ones", {}, tenant=tenant)
    if answer.status != 202:
        raise SystemExit(f"a run was not accepted: {answer.body}")
    return str(answer.body["run_id"])


def took(name: str, walls: Sequence[float], aim: float | None = None) -> Figure:
    """Milliseconds; its rounds are the quarters of what was measured, in order."""
    size = max(1, len(walls) // ROUNDS)
    rounds = [statistics.median(walls[at : at + size]) for at in range(0, len(walls), size)]
    return Figure(f"{name}, P50", "ms", rounds, aim=aim, more_is_better=False)


if __name__ == "__main__":
    main()

"""What the platform adds to the work of a run, from POST to COMPLETED.

    python -m tests.bench.bench_executor [--runs 1000] [--only light,heavy,query,wide,many]

Everything goes through the whole platform: gateway, scheduler, executor, records. Beside
it, the same work bare, in the same minute on the same machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.local.up import SERVICES
from libs.testing.processes import ROOT
from tests.bench.figures import Figure, Findings
from tests.bench.platform.executor import HEAVY, JOB_TIMES
from tests.bench.processes import MIB, cpu_seconds, resident
from tests.stack import Stack

TENANT = "bench_inc"
SQL = "SELECT 1 AS one"
STEPS, HEAVY_STEPS, WIDE, LIMIT = 40, 10, 100, 8
OF_THE_WORK = 1 / 1.05
"""Of how quick heavy steps are by themselves."""
ROUNDS, HEAVY_ROUNDS = 9, 4
SETTLED = 200
LEAST_MS = 0.1
CLIENTS = 32
"""As many as keep the cores busy: each waits until its run is accepted."""
BARE = (
    "import time; from tests.bench.platform.executor import HEAVY, fibonacci;"
    "started = time.perf_counter(); [fibonacci(HEAVY) for _ in range({count})];"
    "print(time.perf_counter() - started)"
)

MOST_GROWN = 32
"""MiB, over however many runs."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_executor")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", default=",".join(PARTS))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        settings = {"MAX_PARALLEL_STEPS": str(LIMIT), JOB_TIMES: f"{folder}/job-times"}
        stack = Stack(Path(folder), settings, module="tests.bench.platform").start()
        try:
            onboard(stack, TENANT)
            parts = chosen.only.split(",")
            figures = [figure for name in parts for figure in PARTS[name](stack, chosen.runs)]
        finally:
            stack.stop()
    Findings("executor", figures).keep()
    for figure in figures:
        print(figure)


def onboard(stack: Stack, tenant: str) -> None:
    """With limits that no bench reaches."""
    stack.onboard(tenant)
    limits = {"limits": {"daily": 100_000, "monthly": 1_000_000, "concurrent": 50}}
    changed = stack.call("PATCH", f"/api/v1/admin/tenants/{tenant}", limits)
    if changed.status != 200:
        raise SystemExit(f"the limits were not changed: {changed.body}")


def save(stack: Stack, tenant: str, name: str, steps: Sequence[str]) -> None:
    save_text(stack, tenant, name, "steps:\n" + "\n".join(f"  - {{{step}}}" for step in steps))


def save_text(stack: Stack, tenant: str, name: str, text: str) -> None:
    saved = stack.call("PUT", f"/api/v1/pipelines/configs/{name}", text=text, tenant=tenant)
    if saved.status != 200:
        raise SystemExit(f"{name} was not saved: {saved.body}")


def chain(count: int, step: str) -> list[str]:
    """Steps one after another."""
    needs = ["", *(f", needs: [s{number}]" for number in range(count - 1))]
    return [f"id: s{number}, ps_type: {step}{needs[number]}" for number in range(count)]


def timed(stack: Stack, name: str, tenant: str = TENANT) -> tuple[float, str]:
    """Milliseconds from POST until a client that waits by long-poll reads COMPLETED."""
    started = time.perf_counter()
    run_id = submit(stack, name, tenant)
    wait(stack, tenant, run_id)
    return (time.perf_counter() - started) * 1000, run_id


def submit(stack: Stack, name: str, tenant: str = TENANT) -> str:
    answer = stack.call("POST", f"/api/v1/pipelines/run/{name}", {}, tenant=tenant)
    if answer.status != 202:
        raise SystemExit(f"a run was not accepted: {answer.body}")
    return str(answer.body["run_id"])


def wait(stack: Stack, tenant: str, run_id: str) -> None:
    ended = stack.wait_for_run(tenant, run_id, within=300)
    if ended["status"] != "COMPLETED":
        raise SystemExit(f"run {run_id} ended otherwise: {ended}")


def light(stack: Stack, _: int) -> list[Figure]:
    save(stack, TENANT, "light", chain(STEPS, "bench.light"))
    timed(stack, "light")
    walls = [timed(stack, "light")[0] for _ in range(ROUNDS)]
    name = f"{STEPS} light steps one after another, POST to COMPLETED"
    return [Figure(name, "ms", walls, aim=150, more_is_better=False)]


def heavy(stack: Stack, _: int) -> list[Figure]:
    save(stack, TENANT, "heavy", chain(HEAVY_STEPS, "bench.heavy"))
    walls, bares = [], [bare()]
    for _ in range(HEAVY_ROUNDS):
        walls.append(timed(stack, "heavy")[0])
        bares.append(bare())
    name = f"{HEAVY_STEPS} steps of fib({HEAVY}), POST to COMPLETED"
    return [Figure(name, "ms", walls, "bare", bares, aim=OF_THE_WORK, more_is_better=False)]


def bare(steps: int = HEAVY_STEPS) -> float:
    """The same work in a process that does nothing else, in milliseconds."""
    argv = [sys.executable, "-c", BARE.format(count=steps)]
    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout) * 1000


def query(stack: Stack, _: int) -> list[Figure]:
    """The warehouse's own time is what the steps waited for it: others ask it at the same time."""
    step = f"bq_etl.query, config: {{source_query: {SQL}, target_table: {TENANT}.made}}"
    save(stack, TENANT, "query", chain(STEPS, step))
    timed(stack, "query")
    own, more = [], []
    for _ in range(ROUNDS):
        before = len(job_times(stack))
        wall = timed(stack, "query")[0]
        times = job_times(stack)[before:]
        if len(times) != STEPS:
            raise SystemExit(f"{STEPS} steps ran {len(times)} jobs")
        own.append(sum(times) * 1000 / STEPS)
        more.append(wall / STEPS - own[-1])
    return [
        Figure("a query job of a step", "ms", own),
        Figure("what the platform adds to it", "ms", more, aim=5, more_is_better=False),
    ]


def job_times(stack: Stack) -> list[float]:
    """For how many seconds steps have waited for each of their query jobs."""
    return [float(line) for line in Path(stack.settings[JOB_TIMES]).read_text().split()]


def wide(stack: Stack, _: int) -> list[Figure]:
    save(stack, TENANT, "wide", [f"id: s{number}, ps_type: bench.nap" for number in range(WIDE)])
    wall, run_id = timed(stack, "wide")
    steps = stack.call("GET", f"/api/v1/pipelines/runs/{run_id}/steps", tenant=TENANT).body["steps"]
    completed = [step for step in steps if step["status"] == "COMPLETED"]
    most = at_once(completed)
    if len(completed) != WIDE or most > LIMIT:
        raise SystemExit(f"{len(completed)} of {WIDE} steps completed, {most} at once")
    return [
        Figure(f"{WIDE} steps side by side, {LIMIT} at most: all completed", "ms", [wall]),
        Figure("the most of them at once", "steps", [most], aim=LIMIT, more_is_better=False),
    ]


def at_once(steps: Sequence[dict[str, Any]]) -> int:
    """The most that went on at one time. What ends and what begins together do not meet."""
    changes = [(_time(step["started_at"]), 1) for step in steps]
    changes += [(_time(step["finished_at"]), -1) for step in steps]
    going = most = 0
    for _, change in sorted(changes):
        going += change
        most = max(most, going)
    return most


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def many(stack: Stack, runs: int) -> list[Figure]:
    """Runs of five steps of eight tenants; the executor's memory before and after most."""
    tenants = [f"bench_{number}" for number in range(8)]
    for tenant in tenants:
        onboard(stack, tenant)
        save(stack, tenant, "five", chain(5, "bench.light"))
    all_of(stack, tenants, SETTLED)
    executor = stack.pids()["executor"]
    before, spent = resident(executor), spent_by(stack)
    seconds = all_of(stack, tenants, runs)
    spent = since(spent, spent_by(stack))
    after = resident(executor)
    if after - before > MOST_GROWN * MIB:
        raise SystemExit(f"the executor has grown by {(after - before) / MIB:.0f} MiB")
    grown = f"executor after {runs} more runs"
    return [
        Figure(f"{runs} runs of 5 light steps", "runs/s", [runs / seconds], aim=200),
        *(
            Figure(f"… processor of {name} for each", "ms", [took * 1000 / runs])
            for name, took in spent.items()
            if took * 1000 / runs >= LEAST_MS
        ),
        Figure(grown, "MiB", [after / MIB], "before", [before / MIB], 0.9, more_is_better=False),
    ]


def spent_by(stack: Stack) -> dict[str, float]:
    """Seconds of a processor since they began: in all, and of each."""
    pids = stack.pids()
    services = {name: cpu_seconds(pids[name]) for name in SERVICES}
    emulators = {f"local {name}": cpu_seconds(pid) for name, pid in stack.emulators().items()}
    return {
        "the services": sum(services.values()),
        **services,
        "the emulators": sum(emulators.values()),
        **emulators,
    }


def since(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    return {name: at - before[name] for name, at in now.items()}


def all_of(stack: Stack, tenants: Sequence[str], runs: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        asked = [tenants[number % len(tenants)] for number in range(runs)]
        ids = list(clients.map(lambda tenant: (tenant, submit(stack, "five", tenant)), asked))
        list(clients.map(lambda one: wait(stack, *one), ids))
    return time.perf_counter() - started


PARTS = {"light": light, "heavy": heavy, "query": query, "wide": wide, "many": many}

if __name__ == "__main__":
    main()

"""What reading costs: status while runs are in flight, cold reads, a thousand open streams.

    python -m tests.bench.reading [--runs 100] [--streams 1000]

Ends with status 1 when a stream misses an event or tells one out of order.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.bench.figures import Figure, Findings
from tests.bench.run import submit, took
from tests.pipelines import ONE_STEP
from tests.stack import Stack
from tests.streams import positions_of_many

TENANTS = ("bench_one", "bench_two")
RUNS = "/api/v1/pipelines/runs"
ITS_QUERY = (
    "SELECT * FROM `convergence-local.tenants.tenant_pipeline_runs` WHERE tenant_id = @tenant_id"
    " ORDER BY submitted_at DESC, run_id DESC LIMIT 51"
)
COMPLETE = 6
"""Events of a run of one step."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reading")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--streams", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        stack = Stack(Path(directory)).start()
        try:
            for tenant in TENANTS:
                stack.onboard(tenant)
                stack.call("PUT", "/api/v1/pipelines/configs/ones", text=ONE_STEP, tenant=tenant)
            figures = [
                status_in_flight(stack, given.runs),
                cold_reads(stack, TENANTS[0]),
                *streams(stack, TENANTS[1], given.streams),
            ]
        finally:
            stack.stop()
    Findings("reading", figures).keep()
    for figure in figures:
        print(figure)
    return 0 if figures[-1].reached else 1


def status_in_flight(stack: Stack, runs: int) -> Figure:
    """One client asks for the status of runs while others start them and all go on."""
    walls: list[float] = []
    with ThreadPoolExecutor(8) as clients:
        started = [
            (tenant, clients.submit(submit, stack, tenant))
            for number in range(runs)
            for tenant in [TENANTS[number % len(TENANTS)]]
        ]
        for tenant, one in started:
            run_id = one.result()
            for _ in range(3):
                began = time.perf_counter()
                answer = stack.call("GET", f"{RUNS}/{run_id}", tenant=tenant)
                walls.append((time.perf_counter() - began) * 1000)
            if answer.headers["X-Source"] != "live":
                raise SystemExit(f"not from memory: {answer.body}")
    for tenant, one in started:
        stack.wait_for_run(tenant, one.result(), within=120)
    return took(f"GET status, {runs} runs in flight", walls, aim=50)


def cold_reads(stack: Stack, tenant: str) -> Figure:
    """A list comes from the warehouse, and says so; beside it the query alone, in turn."""
    walls, alone = asyncio.run(_cold_reads(stack, tenant))
    return replace(
        took("cold list of 50 runs by HTTP", walls, aim=round(1 / 1.2, 2)),
        beside="its query alone",
        beside_rounds=took("", alone).rounds,
    )


async def _cold_reads(stack: Stack, tenant: str) -> tuple[list[float], list[float]]:
    from tests.audit_log.recorder import connect  # noqa: PLC0415  Google's clients are slow to load

    warehouse = connect(stack.ports()["bigquery"])
    walls, alone = [], []
    for _ in range(32):
        began = time.perf_counter()
        answer = stack.call("GET", f"{RUNS}?limit=50", tenant=tenant)
        walls.append((time.perf_counter() - began) * 1000)
        if answer.headers["X-Source"] != "warehouse":
            raise SystemExit(f"not from the warehouse: {answer.body}")
        began = time.perf_counter()
        await warehouse.query(ITS_QUERY, {"tenant_id": tenant})
        alone.append((time.perf_counter() - began) * 1000)
    await warehouse.close()
    return walls, alone


def streams(stack: Stack, tenant: str, count: int) -> list[Figure]:
    """All open before the runs go on; each must tell all of its run, in order."""
    gateway = stack.pids()["gateway"]
    for run_id in [submit(stack, tenant) for _ in range(10)]:
        stack.wait_for_run(tenant, run_id)
    before = _rss_mib(gateway)
    run_ids = [submit(stack, tenant) for _ in range(10)]
    began = time.perf_counter()
    told = asyncio.run(positions_of_many(stack, tenant, run_ids, count))
    seconds = time.perf_counter() - began
    grown = (_rss_mib(gateway) - before) * 1024 / count
    broken = [one for one in told if len(one) != COMPLETE or one != sorted(set(one))]
    name = f"{count} open streams"
    return [
        Figure(f"{name}: events told", "/s", [sum(map(len, told)) / seconds]),
        Figure(f"{name}: memory of one", "KiB", [grown], more_is_better=False),
        Figure(f"{name}: those that missed one", "", [len(broken)], aim=0, more_is_better=False),
    ]


def _rss_mib(pid: int) -> float:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    sys.exit(main())

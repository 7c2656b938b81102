"""What reading costs: status while runs are in flight, cold reads, a thousand open streams.

    python -m tests.bench.reading [--runs 100] [--streams 1000]

Ends with status 1 when a stream misses an event or tells one out of order.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.run import show, submit
from tests.pipelines import ONE_STEP
from tests.stack import Stack
from tests.streams import positions_of_many

TENANTS = ("bench_one", "bench_two")
RUNS = "/api/v1/pipelines/runs"
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
            status_in_flight(stack, TENANTS[0], given.runs // 2)
            cold_reads(stack, TENANTS[0])
            return asyncio.run(streams(stack, TENANTS[1], given.streams))
        finally:
            stack.stop()


def status_in_flight(stack: Stack, tenant: str, runs: int) -> None:
    """One client asks for the status of runs while others start them and all go on."""
    walls: list[float] = []
    with ThreadPoolExecutor(8) as clients:
        started = [clients.submit(submit, stack, tenant) for _ in range(runs)]
        first = started[0].result()
        while not all(one.done() for one in started) or len(walls) < runs:
            began = time.perf_counter()
            answer = stack.call("GET", f"{RUNS}/{first}", tenant=tenant)
            walls.append((time.perf_counter() - began) * 1000)
            if answer.headers["X-Source"] != "live":
                raise SystemExit(f"not from memory: {answer.body}")
    show(f"GET status, {runs} runs in flight", walls)
    for one in started:
        stack.wait_for_run(tenant, one.result(), within=120)


def cold_reads(stack: Stack, tenant: str) -> None:
    """A list comes from the warehouse, and says so; beside it the query alone."""
    walls = []
    for _ in range(30):
        began = time.perf_counter()
        answer = stack.call("GET", f"{RUNS}?limit=50", tenant=tenant)
        walls.append((time.perf_counter() - began) * 1000)
        if answer.headers["X-Source"] != "warehouse":
            raise SystemExit(f"not from the warehouse: {answer.body}")
    show("cold list of 50 runs", walls)
    show("  its query alone", asyncio.run(queries(stack, tenant)))


async def queries(stack: Stack, tenant: str) -> Sequence[float]:
    from tests.audit_log.recorder import connect  # noqa: PLC0415  Google's clients are slow to load

    warehouse = connect(stack.ports()["bigquery"])
    sql = (
        "SELECT * FROM `convergence-local.tenants.tenant_pipeline_runs` WHERE tenant_id = @tenant"
        " ORDER BY submitted_at DESC, run_id DESC LIMIT 51"
    )
    walls = []
    for _ in range(30):
        began = time.perf_counter()
        await warehouse.query(sql, {"tenant": tenant})
        walls.append((time.perf_counter() - began) * 1000)
    await warehouse.close()
    return walls


async def streams(stack: Stack, tenant: str, count: int) -> int:
    """All open before the runs go on; each must tell all of its run, in order."""
    gateway = stack.pids()["gateway"]
    ids = [await asyncio.to_thread(submit, stack, tenant) for _ in range(10)]
    for run_id in ids:
        await asyncio.to_thread(stack.wait_for_run, tenant, run_id)
    before = _rss_mib(gateway)
    ids = [await asyncio.to_thread(submit, stack, tenant) for _ in range(10)]
    began = time.perf_counter()
    told = await positions_of_many(stack, tenant, ids, count)
    seconds = time.perf_counter() - began
    peak = _rss_mib(gateway)
    broken = [ids for ids in told if len(ids) != COMPLETE or ids != sorted(ids)]
    print(
        f"{count} streams of {len(ids)} runs told {sum(map(len, told))} events in {seconds:.1f} s;"
        f" {len(broken)} missed one or told it out of order;"
        f" the gateway grew by {(peak - before) * 1024 / count:.1f} KiB a stream"
    )
    return 1 if broken else 0


def _rss_mib(pid: int) -> float:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    sys.exit(main())

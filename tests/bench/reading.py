"""What reading costs: status while runs are in flight, cold reads, a thousand open streams.

    python -m tests.bench.reading [--runs 100] [--streams 1000]

Ends with status 1 when a stream misses an event or tells one out of order.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from contracts.audit import ListEventsV1, ListUsageV1
from contracts.identifiers import TenantId
from contracts.runs import ListRunsV1
from services.audit_log.store import Records
from tests.bench.bench_executor import save_text
from tests.bench.figures import Figure, Findings
from tests.bench.processes import resident
from tests.bench.run import submit, took
from tests.pipelines import ONE_STEP
from tests.stack import Stack
from tests.streams import held, parsed, recorded, told_while_held

if TYPE_CHECKING:
    from libs.warehouse.warehouse import Warehouse

TENANTS = ("bench_one", "bench_two")
RUNS = "/api/v1/pipelines/runs"


RUNS_OF_A_TENANT = 10
"""So many of plan SCALE go on at once."""
SLOW_SECONDS = 10.0
"""A call of BigQuery, while runs are to go on."""
LISTED = 50
READS = 96
LISTS: tuple[tuple[str, str, Callable[[Records, TenantId], Awaitable[object]]], ...] = (
    (f"{LISTED} runs", RUNS, lambda of, tenant: of.runs(ListRunsV1(tenant_id=tenant))),
    (
        f"{LISTED} audit events",
        "/api/v1/audit/events",
        lambda of, tenant: of.events(ListEventsV1(tenant_id=tenant)),
    ),
    (
        "days of usage",
        "/api/v1/tenants/quota/history",
        lambda of, tenant: of.usage(ListUsageV1(tenant_id=tenant)),
    ),
)
"""What is read, where, and what audit_log is asked for it."""


class Noted:
    """A warehouse that runs nothing, and notes what it was asked."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.sql, self.bound = "", dict[str, object]()

    async def query(self, sql: str, bound: dict[str, object]) -> list[dict[str, object]]:
        self.sql, self.bound = sql, bound
        return []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reading")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--streams", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        stack = Stack(Path(directory), {"FAULTS": "1"}).start()
        try:
            for tenant in TENANTS:
                prepare(stack, tenant)
            figures = [
                status_in_flight(stack, given.runs),
                *cold_reads(stack, TENANTS[0]),
                *streams(stack, TENANTS[1], given.streams),
            ]
        finally:
            stack.stop()
    Findings("reading", figures).keep()
    for figure in figures:
        print(figure)
    return 0 if figures[-1].reached else 1


def prepare(stack: Stack, tenant: str) -> None:
    stack.onboard(tenant)
    save_text(stack, tenant, "ones", ONE_STEP)


def status_in_flight(stack: Stack, runs: int) -> Figure:
    """One client asks for the status of runs that all go on, slowly, while it asks."""
    tenants = [f"busy_{number}" for number in range(math.ceil(runs / RUNS_OF_A_TENANT))]
    for tenant in tenants:
        prepare(stack, tenant)
    with slow_queries(stack):
        started = [(one, submit(stack, one)) for one in islice(cycle(tenants), runs)]
        walls: list[float] = []
        for _ in range(3):
            asked = [_status(stack, tenant, run_id) for tenant, run_id in started]
            walls += [wall for wall, _ in asked]
        in_flight = sum(is_going_on for _, is_going_on in asked)
    for tenant, run_id in started:
        stack.wait_for_run(tenant, run_id, within=180)
    if in_flight < runs:
        raise SystemExit(f"only {in_flight} of {runs} runs were in flight to the last question")
    return took(f"GET status, {in_flight} runs in flight", walls, aim=50)


def _status(stack: Stack, tenant: str, run_id: str) -> tuple[float, bool]:
    """How many milliseconds it took, and whether the run was going on."""
    began = time.perf_counter()
    answer = stack.call("GET", f"{RUNS}/{run_id}", tenant=tenant)
    wall = (time.perf_counter() - began) * 1000
    if answer.headers["X-Source"] != "live":
        raise SystemExit(f"not from memory: {answer.body}")
    return wall, answer.body["status"] in {"PENDING", "RUNNING"}


@contextmanager
def slow_queries(stack: Stack) -> Iterator[None]:
    """BigQuery takes its time with every call, so that runs go on for a while."""
    url = f"http://127.0.0.1:{stack.ports()['bigquery']['control']}/faults"

    def plan(**faults: float) -> None:
        data, kind = json.dumps(faults).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, kind, method="PUT")
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310  ours

    plan(delay_seconds=SLOW_SECONDS)
    try:
        yield
    finally:
        plan()


def cold_reads(stack: Stack, tenant: str) -> list[Figure]:
    """Lists come from the warehouse, and say so; beside each its query alone, in turn."""
    for run_id in [submit(stack, tenant) for _ in range(LISTED)]:
        stack.wait_for_run(tenant, run_id, within=120)
    return asyncio.run(_cold_reads(stack, tenant))


async def _cold_reads(stack: Stack, tenant: str) -> list[Figure]:
    from tests.audit_log.recorder import connect  # noqa: PLC0415  Google's clients are slow to load

    warehouse = connect(stack.ports()["bigquery"])
    figures = []
    for name, path, ask in LISTS:
        walls, alone = [], []
        noted = Noted(warehouse.project)
        await ask(Records(cast("Warehouse", noted)), TenantId(tenant))
        for _ in range(READS):
            began = time.perf_counter()
            answer = stack.call("GET", f"{path}?limit={LISTED}", tenant=tenant)
            walls.append((time.perf_counter() - began) * 1000)
            if answer.headers["X-Source"] != "warehouse":
                raise SystemExit(f"not from the warehouse: {answer.body}")
            began = time.perf_counter()
            await warehouse.query(noted.sql, noted.bound)
            alone.append((time.perf_counter() - began) * 1000)
        taken = took(f"cold list of {name} by HTTP", walls, aim=round(1 / 1.2, 2))
        beside = took("", alone).rounds
        figures.append(replace(taken, beside="its query alone", beside_rounds=beside))
    await warehouse.close()
    return figures


def streams(stack: Stack, tenant: str, count: int) -> list[Figure]:
    """All are open before the runs go on; each must tell all of its run, in order."""
    gateway = stack.pids()["gateway"]
    for run_id in [submit(stack, tenant) for _ in range(RUNS_OF_A_TENANT)]:
        stack.wait_for_run(tenant, run_id)
    memory = [resident(gateway)]
    released: list[float] = []
    with held(stack.pids()["executor"]) as release:
        run_ids = [submit(stack, tenant) for _ in range(RUNS_OF_A_TENANT)]

        def opened() -> None:
            memory.append(resident(gateway))
            release()
            released.append(time.perf_counter())

        told = asyncio.run(told_while_held(stack, tenant, run_ids, count, opened))
        seconds = time.perf_counter() - released[0]
    wanted = {run_id: recorded(stack, tenant, run_id) for run_id in run_ids}
    found = [(id_, [(one.type, parsed(one.data["time"])) for one in said]) for id_, said in told]
    broken = [run_id for run_id, said in found if said != wanted[run_id]]
    name = f"{count} streams open at once"
    events = sum(len(said) for _, said in found)
    return [
        Figure(f"{name}: events told", "/s", [events / seconds]),
        Figure(
            f"{name}: memory of one",
            "KiB",
            [(memory[1] - memory[0]) / 1024 / count],
            more_is_better=False,
        ),
        Figure(f"{name}: those that missed one", "", [len(broken)], aim=0, more_is_better=False),
    ]


if __name__ == "__main__":
    sys.exit(main())

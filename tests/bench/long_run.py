"""A hundred thousand runs through the whole platform: do memory and latency stay what they are?

    python -m tests.bench.long_run [--runs 100000]

Few tenants, so that what a ledger remembers of ended runs is soon as much as it may be. Its clients
keep every core busy, so a run takes as long as the machine makes it: after each window a bare
computation on all cores at once says how quick that is just then, and runs are held against it. The
exit status says whether a service's memory still grew in the second half, whether runs took longer
in the last quarter than in the first, or whether one was lost.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

import aiohttp

from deploy.local.up import SERVICES
from tests.bench.bench_executor import LEAST_MS, bare, chain, onboard, save, since, spent_by
from tests.bench.figures import Curve, Figure, Findings, percentiles
from tests.bench.processes import MIB, resident
from tests.stack import Stack

TENANTS = ("long_0", "long_1")
PIPELINE = "one"
CLIENTS = 24
WINDOWS, QUARTER = 20, 5
YARDSTICK = 2
"""Calls of fib(33): a second or so."""
UNHEARD_SECONDS = 0.1
MOST_GROWN = 0.05
"""Of a service's memory, over the second half: more is growth and not noise."""
SLOWEST = 0.75
"""Of how quick runs were in the beginning."""


@dataclass(slots=True)
class Window:
    """A part of the runs: how long each took, and what the services held at its end."""

    runs: int
    seconds: float
    latencies: list[float]
    resident: dict[str, float]
    cpu: dict[str, float]
    """Milliseconds of a processor that a run took, by name."""
    bare: float
    """Milliseconds that the machine needed for the yardstick, when they had ended."""

    @property
    def relative(self) -> float:
        return median(self.latencies) / self.bare


@dataclass(slots=True)
class LongRun:
    stack: Stack
    session: aiohttp.ClientSession
    windows: list[Window] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    async def go(self, runs: int) -> None:
        each = runs // WINDOWS
        for number in range(WINDOWS):
            before = spent_by(self.stack)
            started = time.perf_counter()
            left = iter(range(each))
            latencies: list[float] = []
            async with asyncio.TaskGroup() as group:
                for client in range(CLIENTS):
                    group.create_task(self._client(TENANTS[client % len(TENANTS)], left, latencies))
            seconds = time.perf_counter() - started
            done = (number + 1) * each
            pids = self.stack.pids()
            held = {name: resident(pids[name]) / MIB for name in SERVICES}
            spent = since(before, spent_by(self.stack))
            cpu = {name: took * 1000 / each for name, took in spent.items()}
            pace = await asyncio.to_thread(yardstick)
            self.windows.append(Window(done, seconds, latencies, held, cpu, pace))
            sys.stdout.write(f"{done:>8,} runs  {self._told()}\n")
            sys.stdout.flush()

    def _told(self) -> str:
        last = self.windows[-1]
        memory = ", ".join(f"{name} {mib:.0f}" for name, mib in last.resident.items())
        rate = len(last.latencies) / last.seconds
        p50 = f"{median(last.latencies):4.0f} ms, bare {last.bare:4.0f}"
        return f"{rate:5.1f} /s  P50 {p50}  MiB: {memory}"

    async def _client(self, tenant: str, left: Any, latencies: list[float]) -> None:
        for _ in left:
            started = time.perf_counter()
            run_id = await self._submit(tenant)
            if await self._ended(tenant, run_id) != "COMPLETED":
                self.lost.append(run_id)
            latencies.append((time.perf_counter() - started) * 1000)

    async def _submit(self, tenant: str) -> str:
        path = f"/api/v1/pipelines/run/{PIPELINE}"
        while True:
            status, body = await self._call("POST", path, tenant)
            if status == 202:
                return str(body["run_id"])
            if status and status < 500 and status != 429:
                raise SystemExit(f"a run was not accepted: {status} {body}")

    async def _ended(self, tenant: str, run_id: str) -> str:
        version = 0
        while True:
            path = f"/api/v1/pipelines/runs/{run_id}?wait=20&since={version}"
            status, body = await self._call("GET", path, tenant)
            if status == 200 and body["finished_at"]:
                return str(body["status"])
            version = body.get("version", 0) if status == 200 else 0

    async def _call(self, method: str, path: str, tenant: str) -> tuple[int, Any]:
        """0 where there was no answer: it is asked for again, and what that takes counts."""
        url = f"http://127.0.0.1:{self.stack.port}{path}"
        headers = {"X-API-Key": self.stack.keys[tenant]}
        body = b"{}" if method == "POST" else None
        try:
            async with self.session.request(method, url, headers=headers, data=body) as answer:
                return answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(UNHEARD_SECONDS)
            return 0, {}


def yardstick() -> float:
    """On all cores at once, as they are busy with runs otherwise."""
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as each:
        return median(each.map(bare, [YARDSTICK] * cores))


def growth(windows: list[Window], name: str) -> float:
    """By how much of itself a service's memory grew over the second half, as a line through it."""
    half = windows[len(windows) // 2 :]
    at, held = [one.runs for one in half], [one.resident[name] for one in half]
    slope = linear_regression(at, held).slope
    return slope * (at[-1] - at[0]) / median(held)


def findings(windows: list[Window]) -> Findings:
    first, last = windows[1 : 1 + QUARTER], windows[-QUARTER:]
    runs, asked = windows[-1].runs, f"POST to COMPLETED, {CLIENTS} clients, P50"
    figures = [
        Figure(
            f"{runs:,} runs of one light step",
            "runs/s",
            [len(one.latencies) / one.seconds for one in windows],
        ),
        Figure(
            f"{asked}, over that of {YARDSTICK} bare fib(33): the last quarter",
            "times",
            [one.relative for one in last],
            "the first",
            [one.relative for one in first],
            aim=SLOWEST,
            more_is_better=False,
        ),
        Figure(
            f"{asked}: the last quarter",
            "ms",
            [median(one.latencies) for one in last],
            "the first",
            [median(one.latencies) for one in first],
            more_is_better=False,
        ),
        *(_late(windows, name) for name, took in windows[-1].cpu.items() if took >= LEAST_MS),
    ]
    for name in SERVICES:
        grown = max(0.0, growth(windows, name) * 100)
        label = f"{name}: memory grown over the second half"
        aim = MOST_GROWN * 100
        figures.append(Figure(label, "%", [grown], aim=aim, more_is_better=False))
    curves = [
        Curve(
            f"Latency of a run, {what}",
            "runs before",
            "ms",
            [(one.runs, of(one.latencies)) for one in windows],
        )
        for what, of in (("P50", median), ("P95", lambda found: percentiles(found)["P95"]))
    ]
    curves += [
        Curve(
            f"{YARDSTICK} bare fib(33) on each core, meanwhile",
            "runs before",
            "ms",
            [(one.runs, one.bare) for one in windows],
        )
    ]
    curves += [
        Curve(
            f"Processor of {whose} for a run",
            "runs before",
            "ms",
            [(one.runs, one.cpu[whose]) for one in windows],
        )
        for whose in ("the services", "the emulators")
    ]
    curves += [
        Curve(
            f"Memory of {name}", "runs before", "MiB", [(w.runs, w.resident[name]) for w in windows]
        )
        for name in SERVICES
    ]
    return Findings("long run", figures, curves)


def _late(windows: list[Window], name: str) -> Figure:
    half, took = len(windows) // 2, [one.cpu[name] for one in windows]
    what = f"processor of {name} for a run, over the second half"
    return Figure(what, "ms", took[half:], "the first", took[:half], more_is_better=False)


async def run(stack: Stack, runs: int) -> LongRun:
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        long = LongRun(stack, session)
        await long.go(runs)
        return long


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.long_run")
    parser.add_argument("--runs", type=int, default=100_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stack = Stack(Path(folder), module="tests.bench.platform").start()
        try:
            for tenant in TENANTS:
                onboard(stack, tenant)
                save(stack, tenant, PIPELINE, chain(1, "bench.light"))
            long = asyncio.run(run(stack, chosen.runs))
        finally:
            stack.stop()
    found = findings(long.windows)
    found.keep()
    for figure in found.figures:
        sys.stdout.write(f"{figure}\n")
    for run_id in long.lost:
        sys.stdout.write(f"run {run_id} did not complete\n")
    grown = [one for one in found.figures if one.reached is False]
    sys.stdout.write(
        f"{long.windows[-1].runs:,} runs: {len(long.lost)} lost, {len(grown)} figures grew\n"
    )
    return 1 if long.lost or grown else 0


if __name__ == "__main__":
    sys.exit(main())

"""Twenty tenants, two of each service, and everything that can go wrong; then a separate judge.

A month ends half-way, by clocks that differ. Besides runs that are asked for there are some by
schedule, and bills that are loaded again and again. Clients come through a bad network.

    MINUTES=20 SEED=1 python -m tests.soak

The last line sums it up; the exit status is 0 only without a violation.
"""

import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from libs.slotlog.bucket import Bucket, BucketSettings
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.tenant.domain.plans import PLANS
from tests.faults.checker import Finding
from tests.soak import calendar, regular
from tests.soak.checker import SHOWN, check_all
from tests.soak.collector import NEVER, Collector
from tests.soak.proxy import Proxy
from tests.soak.trouble import Trouble
from tests.soak.workload import PIPELINES, Tenant, Workload
from tests.stack import ROOT, Stack, free_port

PROJECT = "convergence-local"
BUCKET = f"{PROJECT}-convergence-ledger"
INSTANCES = 2
MIX = (("STARTER", 8, 2.4), ("PROFESSIONAL", 8, 2.4), ("SCALE", 4, 1.8))
"""Plans, how many tenants have each, and how often they ask in two days for what one allows: the
last have runs under way until the end."""
KILLS_PER_MINUTE = 16
POISON = 20
DRAIN_SECONDS = 120.0
CATCH_UP_SECONDS = 60.0
AIM_SECONDS = 30.0
SETTINGS = {
    "INSTANCES": str(INSTANCES),
    "FAULTS": "1",
    "LEASE_SECONDS": "5",
    "TICK_SECONDS": "1",
    "MAX_ATTEMPTS": "100",
}


def onboard(stack: Stack) -> list[Tenant]:
    found = []
    for plan, count, demand in MIX:
        for number in range(count):
            name = f"{plan.lower()}_{number}"
            stack.onboard(name, plan)
            for pipeline, text in PIPELINES.items():
                path = f"/api/v1/pipelines/configs/{pipeline}"
                answer = stack.call("PUT", path, text=text, tenant=name)
                assert answer.status == 200, answer.body
            daily = PLANS[plan].daily
            found.append(Tenant(name, stack.keys[name], daily, int(daily * demand)))
    return found


async def soak(stack: Stack, minutes: float, seed: int, moved: timedelta) -> list[Finding]:
    chance = random.Random(seed)
    ports = stack.ports()
    heard = Collector(PROJECT, f"127.0.0.1:{ports['pubsub']['grpc']}")
    await heard.start()
    say(f"seed {seed}: onboarding tenants; the platform's clocks say {calendar.now(moved):%c}")
    tenants = await asyncio.to_thread(onboard, stack)
    regulars = await asyncio.to_thread(regular.prepare, stack, lambda: calendar.now(moved))
    warehouse = warehouse_at(ports)
    for one in regulars:
        for whole in (True, False):
            await asyncio.to_thread(regular.load, stack, one, whole=whole)
            one.possible.add(await one.look(warehouse))
        await asyncio.to_thread(regular.begin, stack, one)
    proxies = [Proxy(stack.port + n, random.Random(seed + 2 + n)) for n in range(INSTANCES)]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        urls = [await proxy.start() for proxy in proxies]
        seconds = minutes * 60
        work = Workload(urls, tenants, seconds, chance, session)
        trouble = Trouble(stack, random.Random(seed + 1), PROJECT, session)
        say(f"{work_count(tenants)} requests and trouble for {minutes:g} minutes")
        stop = asyncio.Event()
        looking = [asyncio.create_task(r.keep_looking(warehouse, stop)) for r in regulars]

        async def until_calm() -> datetime:
            kills = max(3, int(KILLS_PER_MINUTE * minutes))
            await trouble.run(seconds, kills, max(1, int(min(1, minutes / 20) * POISON)))
            for proxy in proxies:
                proxy.is_bad = False
            return calendar.now(moved)

        async with asyncio.TaskGroup() as group:
            group.create_task(work.run())
            for one in regulars:
                group.create_task(one.keep_loading(work, seconds))
            calm = group.create_task(until_calm())
        for proxy in proxies:
            trouble.done.update(proxy.done)
        say(", ".join(f"{n} {what}" for what, n in trouble.done.items()))
        seen = await work.wait_for_ends(DRAIN_SECONDS)
        say(f"every run was looked at by GET until it was seen to have ended: {seen:.1f} s")
        for one in regulars:
            await asyncio.to_thread(regular.end, stack, one)
        stop.set()
        await asyncio.gather(*looking)
    found = await judge(tenants, regulars, heard, trouble.poisoned, ports, warehouse)
    await warehouse.close()
    await heard.stop()
    for proxy in proxies:
        proxy.stop()
    return [*found, deserved(tenants, work), in_time(tenants, heard, calm.result())]


def deserved(tenants: list[Tenant], work: Workload) -> Finding:
    promise = "no request was refused that should not be"
    return Finding(promise, work_count(tenants), tuple(work.unexpected))


def in_time(tenants: list[Tenant], heard: Collector, calm: datetime) -> Finding:
    """By when ends were told: to look at a thousand runs takes long, however they have ended."""
    took = {
        f"{tenant.name}: {run}": (heard.ended.get(run, NEVER) - calm).total_seconds()
        for tenant in tenants
        for run in tenant.accepted
    }
    last, behind = max(took.values(), default=0), sum(s > 0 for s in took.values())
    say(f"{behind} ended after the last fault; the last end was told {last:.1f} s after it")
    late = [f"{run} after {s:.0f} s" for run, s in took.items() if s > AIM_SECONDS]
    return Finding("all ends within 30 s of the last fault", len(took), tuple(late))


def work_count(tenants: list[Tenant]) -> int:
    return sum(t.demand for t in tenants)


async def judge(  # noqa: PLR0913, PLR0917  whatever there is to look at
    tenants: list[Tenant],
    regulars: list[regular.Regular],
    heard: Collector,
    poisoned: list[str],
    ports: dict[str, dict[str, int]],
    warehouse: Warehouse,
) -> list[Finding]:
    """Look until nothing is wrong, or what is wrong can no longer be a matter of time."""
    bucket = Bucket(BucketSettings(PROJECT, BUCKET, f"http://127.0.0.1:{ports['storage']['http']}"))
    end = time.monotonic() + CATCH_UP_SECONDS
    heard.judge()
    try:
        while True:
            found = [
                *await check_all(tenants, heard, poisoned, bucket, warehouse),
                *await regular.check(regulars, warehouse),
            ]
            if not any(one.violations for one in found) or time.monotonic() > end:
                return found
            await asyncio.sleep(1)
    finally:
        await bucket.close()


def warehouse_at(ports: dict[str, dict[str, int]]) -> Warehouse:
    url = f"http://127.0.0.1:{ports['bigquery']['rest']}"
    return Warehouse.connect(WarehouseSettings(PROJECT, endpoint=url))


def report(found: list[Finding], seed: int) -> int:
    broken = sum(len(one.violations) for one in found)
    say("")
    for one in found:
        say(f"{one.promise:<58} {one.checked:>8} checked {len(one.violations):>5} violations")
        for violation in one.violations[:SHOWN]:
            say(f"    {violation}")
    checked = sum(one.checked for one in found)
    say(f"seed {seed}: {len(found)} promises, {checked} checks, {broken} violations")
    return 1 if broken else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    minutes, seed = float(os.environ.get("MINUTES") or 20), int(os.environ.get("SEED") or 1)
    moved = calendar.shift(datetime.now(UTC), minutes * 60)
    settings = SETTINGS | calendar.settings(moved)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        stack = Stack(Path(folder), settings, free_port()).start()
        try:
            status = report(asyncio.run(soak(stack, minutes, seed, moved)), seed)
        finally:
            stack.stop()
        if status:
            say(f"what the platform left is in {kept(Path(folder), seed)}")
        return status


def kept(folder: Path, seed: int) -> Path:
    """Logs, the slot log, Pub/Sub's and BigQuery's databases: for whoever looks for the cause."""
    there = ROOT / "build" / f"soak-{seed}"
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(folder, there, symlinks=True)
    return there


if __name__ == "__main__":
    sys.exit(main())

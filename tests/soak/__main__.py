"""Twenty tenants, two of each service, and everything that can go wrong; then a separate judge.

    MINUTES=20 SEED=1 python -m tests.soak

The last line sums it up; the exit status is 0 only without a violation.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import CloudStorageSlotLog
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.tenant.domain.plans import PLANS
from tests.soak.checker import SHOWN, Finding, check_all
from tests.soak.collector import Collector
from tests.soak.trouble import Trouble
from tests.soak.workload import PIPELINES, Tenant, Workload
from tests.stack import Stack, free_port

PROJECT = "convergence-local"
BUCKET = f"{PROJECT}-convergence-ledger"
INSTANCES = 2
MIX = (("STARTER", 8), ("PROFESSIONAL", 8), ("SCALE", 4))
OVERDEMAND = 1.2
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
    for plan, count in MIX:
        for number in range(count):
            name = f"{plan.lower()}_{number}"
            stack.onboard(name, plan)
            for pipeline, text in PIPELINES.items():
                path = f"/api/v1/pipelines/configs/{pipeline}"
                answer = stack.call("PUT", path, text=text, tenant=name)
                assert answer.status == 200, answer.body
            daily = PLANS[plan].daily
            found.append(Tenant(name, stack.keys[name], daily, int(daily * OVERDEMAND)))
    return found


async def soak(stack: Stack, minutes: float, seed: int) -> list[Finding]:
    chance = random.Random(seed)
    ports = stack.ports()
    host = f"127.0.0.1:{ports['pubsub']['grpc']}"
    heard = Collector(PROJECT, host)
    await heard.start()
    say(f"seed {seed}: onboarding tenants")
    tenants = await asyncio.to_thread(onboard, stack)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        urls = [f"http://127.0.0.1:{stack.port + n}" for n in range(INSTANCES)]
        seconds = minutes * 60
        work = Workload(urls, tenants, seconds, chance, session)
        trouble = Trouble(stack, random.Random(seed + 1), PROJECT, session)
        say(f"{sum(t.demand for t in tenants)} requests and trouble for {minutes:g} minutes")
        async with asyncio.TaskGroup() as group:
            group.create_task(work.run())
            kills = max(3, int(KILLS_PER_MINUTE * minutes))
            group.create_task(
                trouble.run(seconds, kills, max(1, int(min(1, minutes / 20) * POISON)))
            )
        say(", ".join(f"{n} {what}" for what, n in trouble.done.items()))
        drained = await work.wait_for_ends(DRAIN_SECONDS)
        say(f"everything had ended {drained:.1f} s after the last fault")
    found = await judge(tenants, heard, trouble.poisoned, ports)
    await heard.stop()
    found.append(
        Finding(
            "no request was refused that should not be", work_count(tenants), tuple(work.unexpected)
        )
    )
    late = () if drained < AIM_SECONDS else (f"{drained:.0f} s",)
    return [*found, Finding("all ends within 30 s of the last fault", 1, late)]


def work_count(tenants: list[Tenant]) -> int:
    return sum(t.demand for t in tenants)


async def judge(
    tenants: list[Tenant],
    heard: Collector,
    poisoned: list[str],
    ports: dict[str, dict[str, int]],
) -> list[Finding]:
    """Look until nothing is wrong, or what is wrong can no longer be a matter of time."""
    bucket = Bucket(BucketSettings(PROJECT, BUCKET, f"http://127.0.0.1:{ports['storage']['http']}"))
    warehouse = Warehouse.connect(
        WarehouseSettings(PROJECT, endpoint=f"http://127.0.0.1:{ports['bigquery']['rest']}")
    )
    end = time.monotonic() + CATCH_UP_SECONDS
    try:
        while True:
            log = CloudStorageSlotLog(bucket)
            found = await check_all(tenants, heard, poisoned, log, warehouse)
            if not any(one.violations for one in found) or time.monotonic() > end:
                return found
            await asyncio.sleep(1)
    finally:
        await warehouse.close()
        await bucket.close()


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
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        stack = Stack(Path(folder), SETTINGS, free_port()).start()
        try:
            return report(asyncio.run(soak(stack, minutes, seed)), seed)
        finally:
            stack.stop()


if __name__ == "__main__":
    sys.exit(main())

"""How fast the scheduler admits runs: the service as a process, on the local cloud.

    python -m tests.bench.admission [--tenants 1000] [--runs 5000]

Ever more tenants of one platform, up to so many; runs in rounds, so that it shows whether
the pace lasts. The clock runs from the first command published until the last `run.requested` or
`run.queued` has been heard: Pub/Sub, the ledgers in Cloud Storage, and Pub/Sub again.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Message
from contracts.pipelines import ConfigSavedV1, SaveConfigV1
from contracts.runs import RunQueuedV1, RunRequestedV1, SubmitRunV1
from contracts.tenants import TenantOnboardedV1
from tests.bench.figures import Curve, Figure, Findings
from tests.bench.processes import cpu_seconds
from tests.faults.engine import MANY, Engine, engine
from tests.pipelines import ONE_STEP

CONFIG = ConfigId("ones")
ADMITTED = (RunRequestedV1, RunQueuedV1)
TOGETHER = 500
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Paces:
    """What was measured in each round."""

    rates: Sequence[float]
    cpu_us: Sequence[float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.admission")
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asyncio.run(measure(Path(folder), chosen.tenants, chosen.runs))


async def measure(folder: Path, most: int, runs: int) -> None:
    sizes = [size for size in (10, 100, 1_000, 10_000) if size < most] + [most]
    async with engine(folder, executors=0, LEASE_SECONDS="3600") as platform:
        ready: list[TenantId] = []
        found: dict[int, Paces] = {}
        for size in sizes:
            more = [TenantId(f"tenant_{number:06}") for number in range(len(ready), size)]
            await prepare(platform, more)
            await submit(platform, more, len(more))  # each ledger is loaded
            ready += more
            found[size] = await paces(platform, ready, runs)
    figures = [
        Figure(f"{runs:,} runs of {most:,} tenants: admitted", "/s", found[most].rates, aim=200),
        Figure("CPU of the scheduler for each", "µs", found[most].cpu_us, more_is_better=False),
    ]
    curves = [
        Curve(
            "Runs admitted",
            "tenants",
            "a second",
            [(float(size), median(one.rates)) for size, one in found.items()],
        ),
        Curve(
            "CPU of the scheduler for each run",
            "tenants",
            "µs",
            [(float(size), median(one.cpu_us)) for size, one in found.items()],
        ),
        Curve(
            f"Runs admitted as they grow, {most:,} tenants",
            "runs of them before",
            "a second",
            [(n * runs / ROUNDS, rate) for n, rate in enumerate(found[most].rates)],
        ),
    ]
    Findings("admission", figures, curves).keep()
    for figure in figures:
        print(figure)
    for curve in curves:
        print(curve)


async def paces(platform: Engine, names: list[TenantId], runs: int) -> Paces:
    rates, cpu_us, each = [], [], runs // ROUNDS
    scheduler = platform.processes["scheduler"].pid
    assert scheduler is not None
    for _ in range(ROUNDS):
        before, cpu = heard(platform, *ADMITTED), cpu_seconds(scheduler)
        started = time.perf_counter()
        await submit(platform, names, each)
        rates.append(each / (time.perf_counter() - started))
        cpu_us.append((cpu_seconds(scheduler) - cpu) / each * 1e6)
        if (admitted := heard(platform, *ADMITTED) - before) != each:
            raise SystemExit(f"{each} runs were submitted, {admitted} were admitted")
    return Paces(rates, cpu_us)


async def prepare(platform: Engine, names: Iterable[TenantId]) -> None:
    onboarded = [_onboarded(name) for name in names]
    await platform.tenants.send(*onboarded)
    saved = heard(platform, ConfigSavedV1)
    saves = [
        SaveConfigV1(
            tenant_id=one.tenant_id, config_id=CONFIG, source=ONE_STEP, requested_by="bench"
        )
        for one in onboarded
    ]
    await platform.bus.publisher.send(*saves)
    await until(platform, saved + len(saves), ConfigSavedV1)


def _onboarded(name: TenantId) -> TenantOnboardedV1:
    return TenantOnboardedV1(
        tenant_id=name,
        company_name=name,
        admin_email="a@b.c",
        plan="SCALE",
        limits=MANY,
        datasets=(name,),
        created_at=datetime.now(UTC),
        requested_by="bench",
    )


async def submit(platform: Engine, names: list[TenantId], runs: int) -> None:
    """All as fast as Pub/Sub takes them; returns when each has been answered."""
    goal = heard(platform, *ADMITTED) + runs
    commands = [
        SubmitRunV1(
            tenant_id=names[number % len(names)],
            run_id=RunId(str(uuid4())),
            config_id=CONFIG,
            run_date=datetime.now(UTC).date(),
        )
        for number in range(runs)
    ]
    for first in range(0, runs, TOGETHER):
        await platform.bus.publisher.send(*commands[first : first + TOGETHER])
    await until(platform, goal, *ADMITTED)


async def until(platform: Engine, count: int, *kinds: type[Message]) -> None:
    async with asyncio.timeout(300), platform.news:
        await platform.news.wait_for(lambda: heard(platform, *kinds) >= count)


def heard(platform: Engine, *kinds: type[Message]) -> int:
    return sum(platform.counts[kind] for kind in kinds)


if __name__ == "__main__":
    main()

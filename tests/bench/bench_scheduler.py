"""What a tick costs as schedules grow, and how fast runs are admitted.

    python -m tests.bench.bench_scheduler [--most 1000000]

Ticks run in simulation: everything but the storage is the scheduler's own.
Admission runs against the Cloud Storage emulator, as a process of its own.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.envelope import Envelope, Wire
from contracts.identifiers import ConfigId, RunId, StepId, TenantId
from contracts.message import Kind, Service
from contracts.pipelines import ConfigPart, DefinitionPart, StepPart
from contracts.runs import SubmitRunV1
from contracts.schedules import SchedulePart
from contracts.tenants import LimitsPart
from contracts.ticks import TickJob, TickV1
from libs.bus.message import Context
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import CloudStorageSlotLog
from libs.slotlog.lanes import Bounds
from libs.slotlog.log import SlotLog
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.testing.processes import emulator
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.ledger import Ledger, Planned
from services.scheduler.domain.periods import first_due
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Objects, Reminder, Reminders, Revisions
from services.scheduler.store import LedgerDecider, PlaceDecider
from services.scheduler.ticking import TickHandler
from tests.bench.figures import Curve, Figure, Findings
from tests.scheduler.memory import MemoryObjects

NOW = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)
PER_TENANT = 100
RULES = Rules()
LESS: Any = {"more_is_better": False}
LIMITS = LimitsPart(daily=1_000, monthly=30_000, concurrent=100)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one tick took."""

    find_ms: float
    whole_ms: float
    memory_mib: float


class Nobody:
    """Publishing costs nothing here."""

    async def send(self, *_: Wire) -> None:
        return None


class Prepared(LedgerDecider):
    """Every tenant begins with the same hundred schedules, of which one is due."""

    def initial(self) -> Ledger:
        return PREPARED


def prepared() -> Ledger:
    names = [ConfigId(f"pipeline_{n}") for n in range(PER_TENANT)]
    planned = {
        name: Planned(
            schedule=SchedulePart(config_id=name, cron="0 11 * * *", time_zone="Europe/Berlin"),
            due_at=None,
        ).due(NOW + timedelta(hours=index))
        for index, name in enumerate(names)
    }
    step = StepPart(step_id=StepId("make"), type="bq_etl.query")
    return Ledger(
        known=True,
        plan="SCALE",
        limits=LIMITS,
        datasets=("bench",),
        configs={name: config(name, step) for name in names},
        schedules=planned,
        first_due_at=first_due(planned.values()),
        reminder=NOW,
        reminders=1,
    )


def config(name: ConfigId, step: StepPart) -> ConfigPart:
    definition = DefinitionPart(pipeline_id=name, steps=(step,))
    return ConfigPart(
        config_id=name, revision=1, source="…", definition=definition, saved_at=NOW, saved_by="b"
    )


PREPARED = prepared()


def ledgers(log: SlotLog, decider: Any, reminders: Reminders) -> Ledgers:
    def clock() -> datetime:
        return NOW

    bounds = Bounds(streams=100_000)
    writer: Writer[Ledger] = Writer(
        log, decider, service=Service.SCHEDULER, clock=clock, bounds=bounds
    )
    places: Any = Writer(
        log, PlaceDecider(RULES), service=Service.SCHEDULER, clock=clock, prefix="scheduler-places"
    )
    return Ledgers(writer, places, reminders, RULES, clock)


async def ticks(counts: Sequence[int]) -> None:
    print("schedules      due    find due      whole tick   per run due   memory")
    found: list[Ticked] = []
    for count in counts:
        objects = MemoryObjects()
        reminders = Reminders(objects)
        for number in range(count // PER_TENANT):
            tenant = TenantId(f"tenant_{number:06}")
            await reminders.keep(Reminder.of(NOW, tenant, 1))
        for number in range(count // PER_TENANT * 9):  # others, due later: they must cost nothing
            later = NOW + timedelta(minutes=1 + number % 600)
            await reminders.keep(Reminder.of(later, TenantId(f"later_{number:07}"), 1))
        found.append(await one_tick(count, reminders, Revisions(objects)))
    due = [(float(count), one.find_ms) for count, one in zip(counts, found, strict=True)]
    whole = [(float(count), one.whole_ms) for count, one in zip(counts, found, strict=True)]
    memory = [(float(count), one.memory_mib) for count, one in zip(counts, found, strict=True)]
    figures = [
        Figure(f"finding what is due of {count:,.0f} schedules", "ms", [ms], aim=aim, **LESS)
        for (count, ms), aim in zip(due, (0.2, 2.0, 20.0), strict=False)
    ]
    over = "schedules, 1 % due"
    curves = [
        Curve("Finding what is due", over, "ms of CPU", due),
        Curve("A whole tick", over, "ms of CPU", whole),
        Curve("Memory", over, "MiB", memory),
    ]
    Findings("scheduler", figures, curves).keep()


async def one_tick(count: int, reminders: Reminders, revisions: Revisions) -> Ticked:
    found, started = 0, time.process_time()
    after: Reminder | None = None
    while page := await reminders.due(NOW, after, 1000):
        found, after = found + len(page), page[-1]
    looked_up = time.process_time() - started
    ledger = ledgers(MemorySlotLog(), Prepared(RULES), reminders)
    handler = TickHandler(ledger, reminders, revisions, Nobody())
    envelope = Envelope("tick", TickV1.wire_type, Kind.COMMAND, "ticks", NOW)
    started = time.process_time()
    (applied,) = await handler.on_tick(TickV1(job=TickJob.TRIGGER), Context(envelope))
    whole = time.process_time() - started
    if applied.triggered_count != found:
        raise SystemExit(f"{found} were due, {applied.triggered_count} were started")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:>9,} {found:>8,} {looked_up * 1000:>8.1f} ms {whole:>12.2f} s"
        f" {whole / found * 1e6:>10.0f} µs {memory:>7.0f} MB"
    )
    return Ticked(looked_up * 1000, whole * 1000, memory)


async def admissions(tenants: int, runs: int) -> None:
    """Submit runs of many tenants at once; the clock stops when each answer is durable."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        emulator("storage", state_dir=Path(folder)) as storage,
    ):
        endpoint = f"http://127.0.0.1:{storage.ports['http']}"
        bucket = Bucket(BucketSettings("bench-project", "bench-ledger", endpoint))
        await bucket.ensure()
        await admit(bucket, tenants, runs)
        await bucket.close()


async def admit(bucket: Bucket, tenants: int, runs: int) -> None:
    objects: Objects = bucket
    ledger = ledgers(CloudStorageSlotLog(bucket), Prepared(RULES), Reminders(objects))
    names = [TenantId(f"tenant_{number:06}") for number in range(tenants)]
    gate = asyncio.Semaphore(64)
    walls: list[float] = []

    async def submit(number: int) -> None:
        command = SubmitRunV1(
            tenant_id=names[number % tenants],
            run_id=RunId(str(uuid4())),
            config_id=ConfigId("pipeline_1"),
            run_date=NOW.date(),
        )
        envelope = Envelope(f"m{number}", command.wire_type, Kind.COMMAND, "gateway", NOW)
        async with gate:
            started = time.perf_counter()
            await ledger.decide(command.tenant_id, command, envelope)
            walls.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(submit(number) for number in range(tenants)))  # each ledger is loaded
    walls.clear()
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(submit(number) for number in range(runs)))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    walls.sort()
    print(
        f"\n{runs:,} runs of {tenants:,} tenants: {runs / wall:.0f} admitted a second, "
        f"{cpu / runs * 1e6:.0f} µs of CPU each; P50 {walls[len(walls) // 2]:.0f} ms, "
        f"P95 {walls[int(len(walls) * 0.95)]:.0f} ms with 64 at once"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_scheduler")
    parser.add_argument("--most", type=int, default=1_000_000, help="the most schedules")
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3_000)
    chosen = parser.parse_args()
    asyncio.run(ticks([n for n in (10_000, 100_000, 1_000_000) if n <= chosen.most]))
    asyncio.run(admissions(chosen.tenants, chosen.runs))


if __name__ == "__main__":
    main()

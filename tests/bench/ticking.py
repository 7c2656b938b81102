"""One process of the scheduler that ticks over a number of schedules; prints what it took.

    python -m tests.bench.ticking --schedules 100000 [--due-together 10]

Every ledger is one of its own, read from a snapshot of its own. All but Pub/Sub and
the storage is the scheduler's own code; the storage makes snapshots when they are
asked for, so that the memory is the scheduler's too.
"""

import argparse
import asyncio
import json
import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.envelope import Envelope, Wire
from contracts.identifiers import ConfigId, TenantId
from contracts.message import Kind, Service
from contracts.pipelines import ConfigPart
from contracts.schedules import SchedulePart
from contracts.tenants import LimitsPart
from contracts.ticks import TickJob, TickV1
from libs.bus.message import Context
from libs.service import spare_what_stays
from libs.slotlog.log import Record, Taken, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from services.scheduler.definitions.shapes import parse_definition
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.ledger import Ledger, Planned
from services.scheduler.domain.periods import first_due
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminder, Reminders, Revisions
from services.scheduler.store import LedgerDecider, PlaceDecider
from services.scheduler.ticking import TickHandler
from tests.pipelines import ONE_STEP
from tests.scheduler.memory import MemoryObjects

START = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)
PER_TENANT = 100
TICKS, FEW = 5, 100_000
RULES = Rules(lease_seconds=7_200)  # no executor is there to say that it is alive
LIMITS = LimitsPart(daily=1_000, monthly=30_000, concurrent=100)
NOBODY = "nobody_yet"


@dataclass(frozen=True, slots=True)
class Ticked:
    """What it took: the first tick, which reads every ledger that is due, and those after it."""

    schedules: int
    due: int
    """In each tick."""
    find_ms: float
    first_ms: float
    tick_ms: Sequence[float]
    memory_mib: float
    """The most that the whole process had."""
    before_mib: float
    """Before the first tick: the program, and the index of what is due."""


class Counted:
    """Takes what is published, and lets go of it."""

    count = 0

    async def send(self, *emits: Wire) -> None:
        self.count += len(emits)


class PreparedLog(MemorySlotLog):
    """A snapshot for every tenant, made from one when it is read; what is written is on disk."""

    def __init__(self, snapshots: Sequence[bytes], folder: Path) -> None:
        super().__init__()
        self._snapshots_of = snapshots
        self._file = (folder / "records").open("w+b")
        self._at: dict[tuple[str, int], tuple[int, int]] = {}

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None:
        tenant = stream.partition("/")[2]
        snapshot = self._snapshots_of[int(tenant[-6:]) % len(self._snapshots_of)]
        return 1, snapshot.replace(NOBODY.encode(), tenant.encode())

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        body = record.encode()
        self._at[stream, slot] = self._file.seek(0, os.SEEK_END), len(body)
        self._file.write(body)
        return Written()

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        return list(self._records(stream, after))[:limit]

    def _records(self, stream: str, after: int) -> Iterator[tuple[int, Record]]:
        while (place := self._at.get((stream, after := after + 1))) is not None:
            self._file.seek(place[0])
            yield after, Record.decode(self._file.read(place[1]))


def prepared(due_together: int, phase: int) -> Ledger:
    """A hundred pipelines; so many are due in one minute, the first in the minute `phase`."""
    names = [ConfigId(f"{NOBODY}_pipeline_{n}") for n in range(PER_TENANT)]
    planned = {}
    for index, name in enumerate(names):
        at = START + timedelta(minutes=index // due_together * due_together + phase)
        schedule = SchedulePart(config_id=name, cron=f"{at.minute} {at.hour} * * *")
        planned[name] = Planned(schedule=schedule, due_at=None).due(at)
    return Ledger(
        known=True,
        plan="SCALE",
        limits=LIMITS,
        datasets=(NOBODY,),
        configs={name: config(name) for name in names},
        schedules=planned,
        first_due_at=first_due(planned.values()),
        reminder=START + timedelta(minutes=phase),
        reminders=1,
    )


def config(name: ConfigId) -> ConfigPart:
    definition = parse_definition(ONE_STEP, name)
    return ConfigPart(
        config_id=name,
        revision=1,
        source=ONE_STEP,
        definition=definition,
        saved_at=START,
        saved_by="bench",
    )


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


async def ticked(schedules: int, due_together: int, folder: Path) -> Ticked:
    decider, clock = LedgerDecider(RULES), Clock()
    states = [decider.dump_state(prepared(due_together, n)) for n in range(due_together)]
    snapshots = [
        b'{"version":%d,"state":%b,"inbox":[]}' % (decider.version, state) for state in states
    ]
    objects = MemoryObjects()
    reminders = Reminders(objects)
    for number in range(schedules // PER_TENANT):
        at = START + timedelta(minutes=number % due_together)
        await reminders.keep(Reminder.of(at, TenantId(f"tenant_{number:06}"), 1))
    log = PreparedLog(snapshots, folder)
    about: Any = {"service": Service.SCHEDULER, "clock": clock}
    writer: Writer[Ledger] = Writer(log, decider, **about)
    places: Any = Writer(log, PlaceDecider(RULES), prefix="scheduler-places", **about)
    sender = Counted()
    handler = TickHandler(
        Ledgers(writer, places, reminders, RULES, clock), reminders, Revisions(objects), sender
    )
    spare_what_stays()
    found, find_ms = await find(reminders)
    before = memory_now()
    due, first_ms = await tick(handler, 0)
    if due != found * due_together:
        raise SystemExit(f"{found} ledgers were due, {due} runs were started")
    ticks, wanted = [], TICKS if schedules <= FEW else 1
    for number in range(1, wanted + due_together):
        clock.now = START + timedelta(minutes=number, seconds=1)
        counted, took = await tick(handler, number)
        ticks.append(took)
        if counted != due:
            raise SystemExit(f"tick {number} started {counted} runs, expected {due}")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Ticked(schedules, due, find_ms, first_ms, ticks[-wanted:], most, before)


async def find(reminders: Reminders) -> tuple[int, float]:
    """Milliseconds of CPU to list what is due, and how much that is."""
    found, started = 0, time.process_time()
    after: Reminder | None = None
    while page := await reminders.due(START, after, 1000):
        found, after = found + len(page), page[-1]
    return found, (time.process_time() - started) * 1000


async def tick(handler: TickHandler, number: int) -> tuple[int, float]:
    """Milliseconds of CPU for all of one tick but publishing, and how many runs it started."""
    envelope = Envelope(f"tick-{number}", TickV1.wire_type, Kind.COMMAND, "ticks", START)
    started = time.process_time()
    (applied,) = await handler.on_tick(TickV1(job=TickJob.TRIGGER), Context(envelope))
    return applied.triggered_count, (time.process_time() - started) * 1000


def memory_now() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ticking")
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--due-together", type=int, default=1, help="in one ledger: 1 or 10")
    parser.add_argument("--folder", type=Path, required=True, help="for records")
    chosen = parser.parse_args()
    took = asyncio.run(ticked(chosen.schedules, chosen.due_together, chosen.folder))
    print(json.dumps(asdict(took)))


if __name__ == "__main__":
    main()

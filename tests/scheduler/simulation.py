"""Several schedulers, a clock that jumps, and a world that loses and repeats everything.

One seed is one history: instances are killed at any await, replies are lost after
the write, messages come twice and out of order, executors vanish. Afterwards the
trouble ends, everything is driven to its end, and the whole log is judged.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.catalogue import entry_of
from contracts.envelope import Envelope, Wire
from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Kind, Message, Service
from contracts.pipelines import SaveConfigV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptStartedV1,
    CancelRunV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.schedules import SaveScheduleV1, SchedulePart
from contracts.tenants import LimitsPart, TenantOnboardedV1
from contracts.ticks import TickJob, TickV1
from libs.bus.errors import NotYetError
from libs.bus.message import Context
from libs.bus.router import Router
from libs.slotlog.lanes import Bounds
from libs.slotlog.log import Record, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from services.scheduler.domain.deciding import Rules
from services.scheduler.handlers import Neighbours, register
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminders, Revisions
from services.scheduler.store import LedgerDecider, PlaceDecider
from services.scheduler.templates.library import Library
from tests.pipelines import ONE_STEP
from tests.scheduler.memory import MemoryObjects

STARTS = (
    datetime(2026, 2, 28, 23, 40, tzinfo=UTC),  # the end of a month
    datetime(2028, 2, 28, 23, 40, tzinfo=UTC),  # before a leap day
    datetime(2028, 2, 29, 23, 40, tzinfo=UTC),  # after it, which ends a month
    datetime(2026, 12, 31, 23, 40, tzinfo=UTC),  # the end of a year
    datetime(2026, 3, 29, 0, 20, tzinfo=UTC),  # Berlin's clocks go forward
    datetime(2026, 10, 25, 0, 20, tzinfo=UTC),  # and back
)
ZONE = "Europe/Berlin"
CONFIG = ConfigId("ones")
BOUNDS = Bounds(snapshot_every=7, streams=50)
RETRIES = 60
LIMITS = LimitsPart(daily=6, monthly=9, concurrent=2)
PLACES = "scheduler-places/all"


class FaultyLog(MemorySlotLog):
    """Loses replies before and after the write; keeps the order of all that was written."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.trouble = 0.2
        self.written: list[tuple[str, Record]] = []

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        await self.pause()
        if self.chance.random() < self.trouble / 2:
            raise UnknownOutcomeError(stream, slot, "lost before it was written")
        outcome = self._write(stream, slot, record)
        await self.pause()
        if self.chance.random() < self.trouble:
            raise UnknownOutcomeError(stream, slot, "its reply is lost")
        return outcome

    def _write(self, stream: str, slot: int, record: Record) -> Written | Taken:
        slots = self._slots.setdefault(stream, {})
        if slot in slots:
            return Taken(Record.decode(slots[slot]))
        slots[slot] = record.encode()
        self.written.append((stream, record))
        return Written()

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        await self.pause()
        return await super().read(stream, after, limit)

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one history is about."""

    tenants: int = 2
    steps: int = 6
    instances: int = 2
    limits: LimitsPart = LIMITS
    max_running: int = 0
    scheduled: bool = True
    queue_limit: int = 100


@dataclass(frozen=True, slots=True)
class Ground:
    """What a history runs on; tests put worse in its place."""

    writer: type[Writer[Any]] = Writer
    log: type[FaultyLog] = FaultyLog


GROUND = Ground()


class World:
    """The history of one seed."""

    def __init__(self, seed: int, plan: Plan, ground: Ground = GROUND) -> None:
        self.plan = plan
        self.ground = ground
        self.chance = random.Random(seed)
        self.start = self.now = STARTS[seed % len(STARTS)]
        self.log = ground.log(self.chance)
        self.objects = MemoryObjects()
        self.rules = Rules(
            lease_seconds=60,
            max_attempts=4,
            max_running=plan.max_running,
            queue_limit=plan.queue_limit,
        )
        self.templates = Library(iter(()))
        self.published: dict[str, Wire] = {}
        self.submitted: list[SubmitRunV1] = []
        self.tenants = [TenantId(f"tenant_{n}") for n in range(plan.tenants)]
        self.instances = [Instance(self) for _ in range(plan.instances)]
        self._numbers = 0
        self._reacted: set[str] = set()

    async def history(self) -> None:
        """Begin, make trouble, then bring everything to its end."""
        await self._begin()
        for step in range(self.plan.steps):
            await self._one_step(step)
        self.log.trouble = 0.0
        for _ in range(40):
            if await self._is_over():
                return
            self.now += timedelta(seconds=61)
            await self._deliver([TickV1(job=TickJob.TRIGGER)], kills=0.0)
            await self._deliver(self._reactions(lost=0.0), kills=0.0)

    async def _begin(self) -> None:
        for tenant in self.tenants:
            onboarded = TenantOnboardedV1(
                tenant_id=tenant,
                company_name="Acme",
                admin_email="a@b.c",
                plan="STARTER",
                limits=self.plan.limits,
                datasets=(tenant,),
                created_at=self.start,
                requested_by="test",
            )
            save = SaveConfigV1(
                tenant_id=tenant, config_id=CONFIG, source=ONE_STEP, requested_by="test"
            )
            schedule = SaveScheduleV1(
                tenant_id=tenant,
                schedule=SchedulePart(config_id=CONFIG, cron="*/30 * * * *", time_zone=ZONE),
                requested_by="test",
            )
            messages = [onboarded, save, *([schedule] if self.plan.scheduled else [])]
            for message in messages:
                await self._deliver([message])

    async def _one_step(self, step: int) -> None:
        """Some runs asked for at once, what executors say, a tick, and time that passes."""
        asked: list[Message] = []
        for _ in range(self.chance.randint(1, 3)):
            command = SubmitRunV1(
                tenant_id=self.chance.choice(self.tenants),
                run_id=self._run_id(),
                config_id=CONFIG,
                run_date=self.start.date(),
                priority=self.chance.randint(-2, 2),
            )
            self.submitted.append(command)
            asked.append(command)
        if self.submitted and self.chance.random() < 0.15:
            one = self.chance.choice(self.submitted)
            asked.append(
                CancelRunV1(tenant_id=one.tenant_id, run_id=one.run_id, requested_by="test")
            )
        asked += self._reactions(lost=0.25)
        asked.append(TickV1(job=self.chance.choice([TickJob.TRIGGER, TickJob.TRIGGER, *TickJob])))
        self.chance.shuffle(asked)
        await self._deliver(asked)
        self.now += timedelta(seconds=self.chance.choice([0, 1, 20, 61, 61, 600, -600]))
        if step == self.plan.steps // 2:
            self.now += timedelta(minutes=40)  # over midnight, or a change of clocks

    async def _deliver(self, messages: Sequence[Message], kills: float = 0.15) -> None:
        """All at once, each up to three times, until each has been handled to its end."""
        jobs = []
        for message in messages:
            envelope = self._envelope(message)
            times = self.chance.choice([1, 1, 2, 3]) if kills else 1
            jobs += [self._handle(message, envelope, kills) for _ in range(times)]
        self.chance.shuffle(jobs)
        await asyncio.gather(*jobs)

    async def _handle(self, message: Message, envelope: Envelope, kills: float) -> None:
        for _ in range(RETRIES):
            which = self.chance.randrange(len(self.instances))
            task = asyncio.create_task(self._handled(self.instances[which], message, envelope))
            if self.chance.random() < kills:
                for _ in range(self.chance.randrange(30)):
                    await asyncio.sleep(0)
                if not task.done():
                    task.cancel()
                    self.instances[which] = Instance(self)
            try:
                await task
            except (asyncio.CancelledError, NotYetError, UnknownOutcomeError):
                continue
            return
        raise AssertionError(f"{message} was never handled")

    async def _handled(self, instance: "Instance", message: Message, envelope: Envelope) -> None:
        """Handle, publish, acknowledge: what the bus does."""
        emits = await instance.handle(message, envelope)
        await Broker(self).send(*(e for e in emits if isinstance(e, Wire)))

    def _reactions(self, lost: float) -> list[Message]:
        """What executors say of the attempts they have heard of since; some vanish."""
        said: list[Message] = []
        for id_, wire in list(self.published.items()):
            if id_ in self._reacted or wire.attributes["ce-type"] != RunRequestedV1.wire_type:
                continue
            self._reacted.add(id_)
            if self.chance.random() < lost:
                continue
            request = RunRequestedV1.decode(wire.data)
            said += self._attempt(request)
        return said

    def _attempt(self, request: RunRequestedV1) -> list[Message]:
        about: dict[str, Any] = {"tenant_id": request.tenant_id, "run_id": request.run_id}
        started = AttemptStartedV1(
            **about,
            config_id=request.config_id,
            attempt=request.attempt,
            steps=("make",),
            started_at=self.now,
        )
        good = self.chance.random() < 0.8
        finished = AttemptFinishedV1(
            **about,
            attempt=request.attempt,
            status=RunStatus.COMPLETED if good else RunStatus.FAILED,
            started_at=self.now,
            finished_at=self.now,
        )
        return [started, finished]

    async def _is_over(self) -> bool:
        ledgers = [await self.instances[0].ledgers.state(tenant) for tenant in self.tenants]
        return not any(ledger.runs for ledger in ledgers)

    def _run_id(self) -> RunId:
        return RunId(str(UUID(int=self.chance.getrandbits(128), version=4)))

    def _envelope(self, message: Message) -> Envelope:
        self._numbers += 1
        entry = entry_of(message.wire_type)
        return Envelope(
            id=f"m{self._numbers}",
            type=message.wire_type,
            kind=message.kind,
            source=entry.producers[0].value,
            time=self.now,
            tenant_id=message.scope or "",
            reply_to="gateway-1" if message.kind is Kind.COMMAND else "",
        )


class Instance:
    """One scheduler process. A killed one is left alone, and a new one takes its place."""

    def __init__(self, world: World) -> None:
        def clock() -> datetime:
            return world.now

        kind = world.ground.writer
        writer: Writer[Any] = kind(
            world.log,
            LedgerDecider(world.rules),
            service=Service.SCHEDULER,
            clock=clock,
            bounds=BOUNDS,
        )
        places: Writer[Any] = kind(
            world.log,
            PlaceDecider(world.rules),
            service=Service.SCHEDULER,
            clock=clock,
            bounds=BOUNDS,
            prefix="scheduler-places",
        )
        reminders = Reminders(world.objects)
        self.ledgers = Ledgers(writer, places, reminders, world.rules, clock)
        self.router = Router()
        neighbours = Neighbours(
            ledgers=self.ledgers,
            reminders=reminders,
            revisions=Revisions(world.objects),
            templates=world.templates,
            sender=Broker(world),
        )
        register(self.router, neighbours)

    async def handle(self, message: Message, envelope: Envelope) -> Sequence[Any]:
        handler = self.router.handler_for(message)
        assert handler is not None
        return list(await handler(message, Context(envelope)) or ())


class Broker:
    """Publishing: durable as soon as it returns, and the world reacts."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, *emits: Wire) -> None:
        await asyncio.sleep(0)
        for wire in emits:
            self._world.published.setdefault(wire.attributes["ce-id"], wire)

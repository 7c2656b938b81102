"""Several schedulers, clocks that jump, and a world that loses and repeats everything.

One seed is one history: processes are killed and clocks jump at any turn of the
event loop, replies are lost after the write, storage fails now and then, messages
come twice and out of order, executors vanish. Afterwards the trouble ends, everything
is driven to its end, and the whole log is judged.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.catalogue import entry_of
from contracts.envelope import Envelope, Wire
from contracts.identifiers import TenantId
from contracts.message import Kind, Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import LimitsPart
from contracts.ticks import TickJob, TickV1
from libs.bus.errors import RetryableError
from libs.outages import OutageError
from services.scheduler.domain.deciding import Rules
from services.scheduler.templates.library import Library
from tests.scheduler.executors import Executors
from tests.scheduler.faulty import GROUND, FaultyObjects, Ground
from tests.scheduler.instances import Broker, Instance
from tests.scheduler.load import CONFIG, Load
from tests.turns import Turns

__all__ = ["CONFIG", "Instance", "Plan", "World"]

STARTS = (
    datetime(2026, 2, 28, 23, 40, tzinfo=UTC),  # the end of a month
    datetime(2028, 2, 28, 23, 40, tzinfo=UTC),  # before a leap day
    datetime(2028, 2, 29, 23, 40, tzinfo=UTC),  # after it, which ends a month
    datetime(2026, 12, 31, 23, 40, tzinfo=UTC),  # the end of a year
    datetime(2026, 3, 29, 0, 20, tzinfo=UTC),  # Berlin's clocks go forward
    datetime(2026, 10, 25, 0, 20, tzinfo=UTC),  # and back
)
RETRIES = 60
RETRIED = RetryableError, OutageError
LIMITS = LimitsPart(daily=6, monthly=9, concurrent=2)
TICK, JUMP = timedelta(seconds=61), timedelta(minutes=10)
SKEWS = (timedelta(0), timedelta(0), timedelta(seconds=2), JUMP, -JUMP)
LAST_TICKS, LAST_DAYS = 10, 70
REST = 10.0
"""Seconds, in which whoever waited for the log goes on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one history is about."""

    tenants: int = 2
    steps: int = 6
    instances: int = 2
    limits: LimitsPart = LIMITS
    max_running: int = 0
    scheduled: bool = True
    crons: tuple[str, ...] = ("*/30 * * * *", "30 1 * * *")
    queue_limit: int = 100
    turns_between_strikes: float = 60.0
    """Of the event loop, on average; 0 is without strikes."""


class World:
    """The history of one seed."""

    def __init__(self, seed: int, plan: Plan, ground: Ground = GROUND) -> None:
        self.plan = plan
        self.ground = ground
        self.chance = random.Random(seed)
        self.start = self.now = STARTS[seed % len(STARTS)]
        self.log = ground.log(self.chance)
        self.objects = FaultyObjects(self.log)
        self.rules = Rules(
            lease_seconds=60,
            max_attempts=4,
            max_running=plan.max_running,
            queue_limit=plan.queue_limit,
        )
        self.templates = Library(iter(()))
        self.published: dict[str, Wire] = {}
        self.messages: dict[str, Message] = {}
        self.answers: defaultdict[str, list[str]] = defaultdict(list)
        """What each message was answered with, as types, each time that it was handled."""
        self.refusals: list[CommandRefusedV1] = []
        self.tenants = [TenantId(f"tenant_{n}") for n in range(plan.tenants)]
        self.executors = Executors(self.chance, self.published)
        self.load = Load(self.chance, plan, self.tenants, self.executors)
        self.instances = [Instance(self) for _ in range(plan.instances)]
        self.strikes: set[int] = set()
        """Turns of the loop at which everything is killed, if not by chance."""
        self.turns = 0
        self._jumped = timedelta(0)

    def live(self) -> None:
        """Its whole history."""
        with asyncio.Runner(loop_factory=Turns) as runner:
            runner.run(self._history())

    async def _history(self) -> None:
        """Begin, make trouble, then bring everything to its end."""
        asyncio.get_running_loop().set_task_factory(Instance.owning)
        async with self._trouble():
            await self._begin()
            for step in range(self.plan.steps):
                await self._one_step(step)
        await self._end()

    async def _begin(self) -> None:
        for tenant in self.tenants:
            for message in self.load.begin(tenant, self.start):
                await self._deliver([message])

    async def _one_step(self, step: int) -> None:
        """What is asked for, what executors say, a tick, and time that passes."""
        asked = self.load.step(self.now) + self.executors.say(self.now)
        asked.append(TickV1(job=self.chance.choice([TickJob.TRIGGER, TickJob.TRIGGER, *TickJob])))
        self.chance.shuffle(asked)
        await self._deliver(asked)
        self.now += timedelta(seconds=self.chance.choice([0, 1, 20, 61, 61, 600, -600]))
        if step == self.plan.steps // 2:
            self.now += timedelta(minutes=40)  # over midnight, or a change of clocks

    async def _end(self) -> None:
        self.log.trouble = 0.0
        await asyncio.sleep(REST)
        self.instances = [Instance(self) for _ in self.instances]
        restored = [message for tenant in self.tenants for message in self.load.calm(tenant)]
        for message in restored:
            await self._deliver([message], once=True)
        for turn in range(LAST_TICKS + LAST_DAYS):
            if await self._is_over():
                return
            self.now += TICK if turn < LAST_TICKS else timedelta(days=1)
            await self._deliver([TickV1(job=TickJob.TRIGGER)], once=True)
            await self._deliver(self.executors.say(self.now, calm=True), once=True)

    async def _is_over(self) -> bool:
        """What an instance whose clock is ahead decided is published when a clock gets there."""
        if await self.objects.names("due/"):
            return False
        ledgers = [await self.instances[0].ledgers.state(tenant) for tenant in self.tenants]
        return not any(
            ledger.runs or any(not one.about.status.is_final for one in ledger.backfills.values())
            for ledger in ledgers
        )

    @asynccontextmanager
    async def _trouble(self) -> AsyncIterator[None]:
        """While it lasts, anything may strike at any turn of the loop."""
        weather = asyncio.create_task(self._weather())
        try:
            yield
        finally:
            weather.cancel()

    async def _weather(self) -> None:
        strike = self._next_strike()
        while True:
            await asyncio.sleep(0)
            self.turns += 1
            if self.turns in self.strikes:
                self._kill_all()
            if self.turns == strike:
                self._strike()
                strike = self._next_strike()

    def _next_strike(self) -> int:
        mean = self.plan.turns_between_strikes
        return self.turns + 1 + int(self.chance.expovariate(1 / mean)) if mean else 0

    def _strike(self) -> None:
        which = self.chance.randrange(len(self.instances))
        match self.chance.choice(["kill", "kill", "kill", "forsake", "replace", "jump"]):
            case "kill":
                self.instances[which].kill()
                self.instances[which] = Instance(self, self.chance.choice(SKEWS))
            case "forsake":
                self.instances[which].forsake()
            case "replace":  # one that is cut off, and does not know that another has its place
                self.instances[which].forsake()
                self.instances[which] = Instance(self, self.chance.choice(SKEWS))
            case "jump":
                jump = -self._jumped or self.chance.choice([JUMP, -JUMP])
                self.now += jump
                self._jumped += jump

    def _kill_all(self) -> None:
        for instance in self.instances:
            instance.kill()
        self.instances = [Instance(self) for _ in self.instances]

    async def _deliver(self, messages: Sequence[Message], *, once: bool = False) -> None:
        """All at once, each up to three times, until each has been handled to its end."""
        jobs = []
        for message in messages:
            envelope = self._envelope(message)
            times = 1 if once else self.chance.choice([1, 1, 2, 3])
            jobs += [self._handle(message, envelope) for _ in range(times)]
        self.chance.shuffle(jobs)
        await asyncio.gather(*jobs)

    async def _handle(self, message: Message, envelope: Envelope) -> None:
        for _ in range(RETRIES):
            instance = self.chance.choice(self.instances)
            call = instance.call(self._handled(instance, message, envelope))
            await asyncio.wait({call})
            if call.cancelled():
                continue
            error = call.exception()
            if error is None:
                return
            if not isinstance(error, RETRIED):
                raise error
        raise NeverHandledError(message)

    async def _handled(self, instance: Instance, message: Message, envelope: Envelope) -> None:
        """Handle, publish, acknowledge: what the bus does."""
        emits = await instance.handle(message, envelope)
        await Broker(self).send(*(e for e in emits if isinstance(e, Wire)))
        self.answers[envelope.id].append(",".join(map(_type_of, emits)))
        self.refusals += [said for said in map(_refusal, emits) if said is not None]

    def _envelope(self, message: Message) -> Envelope:
        id_ = f"m{len(self.messages) + 1}"
        self.messages[id_] = message
        return Envelope(
            id=id_,
            type=message.wire_type,
            kind=message.kind,
            source=entry_of(message.wire_type).producers[0].value,
            time=self.now,
            tenant_id=message.scope or "",
            reply_to="gateway-1" if message.kind is Kind.COMMAND else "",
        )


class NeverHandledError(Exception):
    """A message came again and again, and was never handled to its end."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))


def _type_of(emitted: Any) -> str:
    found = emitted.attributes["ce-type"] if isinstance(emitted, Wire) else emitted.wire_type
    return str(found)


def _refusal(emitted: Any) -> CommandRefusedV1 | None:
    if isinstance(emitted, CommandRefusedV1):
        return emitted
    if isinstance(emitted, Wire) and _type_of(emitted) == CommandRefusedV1.wire_type:
        return CommandRefusedV1.decode(emitted.data)
    return None

"""A world in which every await of the writer loop is a gate that a test opens.

Each instance is the real bus over the real writer. What an instance sends to
the log or the broker waits at a gate, and its answer at another; a killed
instance's gates never open, but what it had sent may still arrive.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from contracts.envelope import Envelope, Wire, seal
from contracts.message import Kind, Service
from contracts.runs import CancelRunV1
from contracts.topology import SubscriptionSpec
from libs.bus.memory import MemoryTransport
from libs.bus.message import Context, Received
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.bus.transport import FlowControl, OnBreak, Receiver, Subscription, Verdict, unheeded
from libs.slotlog.lanes import Bounds
from libs.slotlog.log import Record, SlotLogError, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from tests.libs.slotlog.toy import Counter, ask

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = "scheduler/acme"
SPEC = SubscriptionSpec("commands", "convergence-gateway-v1")
TURNS = 40
"""Of the event loop: more than any instance takes from one gate to the next."""


class Store(MemorySlotLog):
    """What Cloud Storage holds; outlives every instance."""

    def create(self, stream: str, slot: int, record: Record) -> None:
        """Take a request whose sender waits no longer."""
        self._slots.setdefault(stream, {}).setdefault(slot, record.encode())

    def records(self) -> list[Record]:
        slots = self._slots.get(STREAM, {})
        assert sorted(slots) == list(range(1, len(slots) + 1)), "a slot was left out"
        return [Record.decode(slots[slot]) for slot in sorted(slots)]


@dataclass(slots=True)
class Gate:
    """One await of one instance. `arrive` is what happens though nobody waits for it."""

    instance: "Instance"
    what: str
    arrive: Callable[[], None] | None
    opened: "asyncio.Future[bool]"
    """True: it goes well. False: it is lost."""


@dataclass(slots=True)
class World:
    store: Store = field(default_factory=Store)
    gates: list[Gate] = field(default_factory=list)
    adrift: list[Callable[[], None]] = field(default_factory=list)
    """Requests that were sent and given up: they may arrive at any time, or never."""
    published: list[Wire] = field(default_factory=list)
    acked: list[int] = field(default_factory=list)

    async def gate(
        self, instance: "Instance", what: str, arrive: Callable[[], None] | None = None
    ) -> bool:
        made = Gate(instance, what, arrive, asyncio.get_running_loop().create_future())
        self.gates.append(made)
        return await made.opened

    def open(self, gate: Gate, *, well: bool) -> None:
        self.gates.remove(gate)
        if not well and gate.arrive is not None:
            self.adrift.append(gate.arrive)
        if not gate.opened.done():
            gate.opened.set_result(well)

    def kill(self, instance: "Instance") -> None:
        """Not one more line of it runs."""
        theirs = [gate for gate in self.gates if gate.instance is instance]
        self.gates = [gate for gate in self.gates if gate.instance is not instance]
        self.adrift += [gate.arrive for gate in theirs if gate.arrive is not None]


class GatedLog:
    """The store as one instance reaches it."""

    def __init__(self, world: World, instance: "Instance") -> None:
        self._world = world
        self._instance = instance

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        store = self._world.store

        def arrive() -> None:
            store.create(stream, slot, record)

        if not await self._world.gate(self._instance, "append", arrive):
            raise UnknownOutcomeError(stream, slot, "given up before an answer came")
        outcome = await store.append(stream, slot, record)
        if not await self._world.gate(self._instance, "append answered"):
            raise UnknownOutcomeError(stream, slot, "its answer is lost")
        return outcome

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        return await self._answered("read", await self._world.store.read(stream, after, limit))

    async def save_snapshot(self, stream: str, slot: int, state: bytes) -> None:
        await self._answered("snapshot", None)
        await self._world.store.save_snapshot(stream, slot, state)

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None:
        return await self._answered("load", await self._world.store.latest_snapshot(stream))

    async def streams(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        return await self._world.store.streams(prefix, after, limit)

    async def check(self) -> None:
        """It can always be used; its calls fail one by one."""

    async def _answered(self, what: str, answer: T) -> T:
        """An answer that is old by the time it comes, or never comes."""
        if not await self._world.gate(self._instance, what):
            raise SlotLogError(f"{what}: no answer")
        return answer


class GatedTransport(MemoryTransport):
    """The broker as one instance reaches it; the test delivers by hand."""

    def __init__(self, world: World, instance: "Instance") -> None:
        super().__init__()
        self._world = world
        self._instance = instance
        self.receiver: Receiver | None = None

    async def publish(self, topic: str, wires: Sequence[Wire]) -> None:
        del topic

        def arrive() -> None:
            self._world.published.extend(wires)

        while not await self._world.gate(self._instance, "publish", arrive):
            pass  # as the real one: it tries again until it is told that they are durable
        arrive()
        await self._world.gate(self._instance, "publish answered")

    def subscribe(
        self,
        subscription: str,
        receiver: Receiver,
        flow: FlowControl,
        on_break: OnBreak = unheeded,
    ) -> Subscription:
        self.receiver = receiver
        self.add(SPEC)
        return super().subscribe(subscription, receiver, flow, on_break)


@dataclass(frozen=True, slots=True)
class Kinds:
    """Of what an instance is made; a test puts a broken part in its place."""

    writer: Any = Writer
    bus: Any = Bus
    log: Any = GatedLog


class Instance:
    """One process of the service."""

    def __init__(self, world: World, kinds: Kinds) -> None:
        self._world = world
        self.transport = GatedTransport(world, self)
        self.writer: Writer[int] = kinds.writer(
            kinds.log(world, self),
            Counter(),
            service=Service.SCHEDULER,
            clock=lambda: NOW,
            bounds=Bounds(batch=3, snapshot_every=2),
        )
        router = Router()
        router.on(CancelRunV1)(self._on_cancel)
        options = BusOptions("one", [SPEC], max_failures=1_000_000)
        self.bus: Bus = kinds.bus(Service.SCHEDULER, router, self.transport, options)

    async def deliver(self, number: int) -> None:
        assert self.transport.receiver is not None, "it was not started"
        verdict = await self.transport.receiver(received(number))
        if verdict is Verdict.ACK:
            self._world.acked.append(number)

    async def _on_cancel(self, command: CancelRunV1, context: Context) -> Sequence[Wire]:
        return await self.writer.submit("acme", command, context.envelope)


def received(number: int) -> Received:
    envelope = Envelope(str(number), "run.cancel.v1", Kind.COMMAND, "gateway", NOW, "acme")
    wire = seal(envelope, ask(number))
    return Received("commands", f"m{number}", NOW, wire.attributes, wire.data)

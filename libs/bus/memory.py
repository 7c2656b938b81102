"""A broker in memory, for tests: the same promises, no network and nothing durable."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from contracts.envelope import Wire
from contracts.topology import SubscriptionSpec, Topology
from libs.bus.lanes import Lanes
from libs.bus.message import Received
from libs.bus.transport import FlowControl, OnBreak, Receiver, Subscription, Verdict, unheeded

REDELIVERY_SECONDS = 0.01


class MemoryTransport:
    """Topics and subscriptions of one event loop. Keeps what no one has acknowledged."""

    def __init__(self, topology: Topology | None = None) -> None:
        self._queues: dict[str, _Queue] = {}
        self._ids = itertools.count(1)
        self.on_break: dict[str, OnBreak] = {}
        """What is to be called when a pull breaks off, which none does by itself."""
        self.published: list[tuple[str, Wire]] = []
        """Everything ever published, for tests to look at."""
        for spec in topology.subscriptions if topology else ():
            self.add(spec)

    def add(self, spec: SubscriptionSpec) -> None:
        self._queues.setdefault(spec.name, _Queue(spec))

    async def publish(self, topic: str, wires: Sequence[Wire]) -> None:
        await asyncio.sleep(0)
        now = datetime.now(UTC)
        for wire in wires:
            self.published.append((topic, wire))
            number = str(next(self._ids))
            for queue in self._queues.values():
                if queue.spec.topic == topic and queue.spec.selects(wire.attributes):
                    queue.put(
                        Received(
                            queue.spec.name,
                            number,
                            now,
                            wire.attributes,
                            wire.data,
                            wire.ordering_key if queue.spec.ordered else "",
                        )
                    )

    def subscribe(
        self,
        subscription: str,
        receiver: Receiver,
        flow: FlowControl,
        on_break: OnBreak = unheeded,
    ) -> Subscription:
        del flow  # what is in memory is bounded by the test that put it there
        queue = self._queues[subscription]
        queue.open(receiver)
        self.on_break[subscription] = on_break
        return queue

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        self.add(spec)

    async def drop_subscription(self, name: str) -> None:
        self._queues.pop(name, None)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        """Nothing is held open."""


class _Queue:
    def __init__(self, spec: SubscriptionSpec) -> None:
        self.spec = spec
        self._unsettled: dict[str, Received] = {}
        self._lanes: Lanes | None = None

    @property
    def waiting_for(self) -> str:
        return ""

    def put(self, received: Received) -> None:
        self._unsettled[received.message_id] = received
        if self._lanes is not None:
            self._lanes.put(received)

    def open(self, receiver: Receiver) -> None:
        self._lanes = Lanes(receiver, self._settle)
        for received in list(self._unsettled.values()):
            self._lanes.put(received)

    async def drain(self, grace: float) -> None:
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            await lanes.drain(grace)

    async def _settle(self, received: Received, verdict: Verdict) -> None:
        if verdict is Verdict.ACK:
            self._unsettled.pop(received.message_id, None)
            return
        again = replace(received, attempt=received.attempt + 1, at=time.monotonic())
        self._unsettled[received.message_id] = again
        asyncio.get_running_loop().call_later(REDELIVERY_SECONDS, self._again, again)

    def _again(self, received: Received) -> None:
        if self._lanes is not None and received.message_id in self._unsettled:
            self._lanes.put(received)

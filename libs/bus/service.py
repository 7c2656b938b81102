"""The bus of one service process: subscriptions, middleware, handlers, publishing."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from contracts.catalogue import entry_of
from contracts.message import Service
from contracts.topology import SubscriptionSpec
from libs.bus.message import Context
from libs.bus.middleware.dead_letter import DeadLetters, Next
from libs.bus.middleware.dedupe import dedupe
from libs.bus.middleware.logging_context import logging_context
from libs.bus.middleware.retry import retry
from libs.bus.middleware.tracing import tracing
from libs.bus.publisher import Publisher
from libs.bus.requester import Requester
from libs.bus.router import Delivery, Router
from libs.bus.sink import BatchBounds, Sink
from libs.bus.transport import Break, FlowControl, Subscription, Transport
from libs.clock import Clock, system_clock
from libs.patience import NobodyWaitsError, waited_for

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BusOptions:
    """What may differ between services."""

    instance: str
    subscriptions: Sequence[SubscriptionSpec]
    max_failures: int = 20
    flow: FlowControl = field(default_factory=FlowControl)
    batches: BatchBounds = field(default_factory=BatchBounds)


class Bus:
    """Binds a router to a transport. Start once, drain once."""

    def __init__(
        self,
        service: Service,
        router: Router,
        transport: Transport,
        options: BusOptions,
        clock: Clock = system_clock,
    ) -> None:
        self._service = service
        self._router = router
        self._transport = transport
        self._options = options
        self._sink = Sink(router.sink, options.batches, _size) if router.sink else None
        self._running: list[Subscription] = []
        self._preparing: asyncio.Task[None] | None = None
        self.when_broken: list[Callable[[SubscriptionSpec, Break], None]] = []
        self.heard_at: dict[str, float] = {}
        """When something was received last of each service, by the loop's clock."""
        self.publisher = Publisher(service, transport, clock)
        self.requester = Requester(self.publisher, options.instance)

    async def start(self) -> None:
        """Begin to receive. Does not wait for the broker: see `waiting_for`."""
        then = tracing(logging_context(dedupe(retry(self._handle))))
        durable = [s for s in self._options.subscriptions if not s.expires_after_seconds]
        for spec in durable:
            self._subscribe(spec, then)
        self._preparing = asyncio.create_task(self._open_short_lived(then))

    async def _open_short_lived(self, then: Next) -> None:
        """Subscriptions that expire are this instance's own, to make and to drop."""
        for spec in self._short_lived:
            await self._transport.ensure_subscription(spec)
            self._subscribe(spec, then)

    def _subscribe(self, spec: SubscriptionSpec, then: Next) -> None:
        receiver = DeadLetters(
            self._transport,
            self.publisher,
            then,
            spec,
            max_failures=self._options.max_failures,
        )
        flow = replace(self._options.flow, in_order=spec.ordered)
        broken = partial(self._broken, spec)
        self._running.append(self._transport.subscribe(spec.name, receiver, flow, broken))

    def _broken(self, spec: SubscriptionSpec, how: Break) -> None:
        for heed in self.when_broken:
            heed(spec, how)

    @property
    def _short_lived(self) -> list[SubscriptionSpec]:
        return [s for s in self._options.subscriptions if s.expires_after_seconds]

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What keeps this service from sending or receiving; empty when nothing does."""
        subscriptions = (s.waiting_for for s in self._running)
        found = (*self._transport.waiting_for, *filter(None, subscriptions))
        if not found and len(self._running) < len(self._options.subscriptions):
            return ("its subscriptions to be created",)
        return tuple(dict.fromkeys(found))

    def unrecorded(self) -> Iterator[Delivery]:
        """What waits to be recorded and is in no batch yet."""
        return self._sink.waiting if self._sink else iter(())

    async def drain(self, grace: float) -> None:
        """Stop receiving, finish what was begun, and give back what cannot be finished."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await asyncio.gather(*(s.drain(grace) for s in self._running))
        for spec in self._short_lived:
            await self._transport.drop_subscription(spec.name)
        await self._transport.close()

    async def _handle(self, delivery: Delivery) -> None:
        self.heard_at[delivery.envelope.source] = asyncio.get_running_loop().time()
        self.requester.offer(delivery.envelope, delivery.message)
        if self._sink is None or not entry_of(delivery.envelope.type).recorded:
            await self._answer(delivery)
            return
        recorded = self._sink.put(delivery)
        await self._answer(delivery)
        await recorded

    async def _answer(self, delivery: Delivery) -> None:
        handler = self._router.handler_for(delivery.message)
        if handler is None:
            return  # selected by a filter that had to be wider than what we handle
        context = Context(delivery.envelope, delivery.received.attempt)
        try:
            with waited_for(_until(delivery)):
                emits = await handler(delivery.message, context)
        except NobodyWaitsError:
            LOG.info("%s is left: nobody waits for its answer any more", delivery.envelope.type)
            return
        if emits:
            await self.publisher.send(*emits, cause=delivery.envelope, seed=self._service.value)


def _until(delivery: Delivery) -> float | None:
    """When nobody waits any more. What it waited before it came is not seen, as clocks differ."""
    patience = delivery.envelope.patience
    return None if patience is None else delivery.received.at + patience.total_seconds()


def _size(delivery: Delivery) -> int:
    return len(delivery.received.data)

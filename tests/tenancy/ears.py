"""Hears everything that is published, dead letters too, and keeps it as it came."""

import asyncio
import threading
from contextlib import suppress
from typing import Self

from contracts.catalogue import CONSUMING_SERVICES, topic_of
from contracts.envelope import Wire
from contracts.message import Service
from contracts.topology import SubscriptionSpec, dead_letters_of, durable_subscriptions
from libs.bus.message import Received
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.transport import FlowControl, Verdict


class Ears:
    """Listens in a thread of its own while its block runs."""

    def __init__(self, project: str, emulator_host: str) -> None:
        self._settings = PubSubSettings(project_id=project, emulator_host=emulator_host)
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)
        self.heard: list[Received] = []

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(90)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    @property
    def dead(self) -> list[Received]:
        return [one for one in self.heard if "dead-reason" in one.attributes]

    def types(self) -> set[str]:
        return {one.attributes.get("ce-type", "") for one in self.heard}

    def first(self, type_: str) -> Received:
        """Raises `AssertionError` while there is none."""
        found = [one for one in self.heard if one.attributes.get("ce-type") == type_]
        assert found, type_
        return found[0]

    def publish(self, service: Service, attributes: dict[str, str], data: bytes) -> None:
        """Say something that no service of ours would."""
        asyncio.run(self._publish(service, Wire(attributes, data, "")))

    async def _publish(self, service: Service, wire: Wire) -> None:
        transport = PubSubTransport(self._settings)
        await transport.publish(topic_of(service), [wire])
        await transport.close()

    async def _listen(self) -> None:
        transport = PubSubTransport(self._settings)
        running = []
        for service in Service:
            spec = SubscriptionSpec(f"ears-{service.value}", topic_of(service), ordered=False)
            await transport.ensure_subscription(spec)
            running.append(transport.subscribe(spec.name, self._hear, FlowControl()))
        for consumer in CONSUMING_SERVICES:
            for subscription in durable_subscriptions(consumer):
                name = dead_letters_of(subscription.name)
                running.append(transport.subscribe(name, self._hear, FlowControl()))
        self._ready.set()
        await asyncio.to_thread(self._stop.wait)
        for subscription_ in running:
            with suppress(TimeoutError):
                await subscription_.drain(2)
        await transport.close()

    async def _hear(self, received: Received) -> Verdict:
        self.heard.append(received)
        return Verdict.ACK

"""A broker with topics and subscriptions, in memory or as the emulator."""

import itertools
from dataclasses import dataclass, field

import grpc
from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from contracts.topology import Clause, SubscriptionSpec
from libs.bus.memory import MemoryTransport
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.transport import Transport

PROJECT = "project-one"
NUMBERS = itertools.count(1)


def new_spec(selects: tuple[str, str] | None) -> SubscriptionSpec:
    number = next(NUMBERS)
    clauses = (Clause(*selects),) if selects else ()
    return SubscriptionSpec(
        f"sub-{number}",
        f"topic-{number}",
        clauses,
        ack_deadline_seconds=10,
        retention_seconds=600,
    )


@dataclass(slots=True)
class MemoryBroker:
    transport: Transport = field(default_factory=MemoryTransport)

    async def topic(self, name: str) -> None:
        """Topics need no making here."""

    async def subscription(self, selects: tuple[str, str] | None = None) -> SubscriptionSpec:
        spec = new_spec(selects)
        await self.transport.ensure_subscription(spec)
        return spec

    def another(self) -> Transport:
        return self.transport


class PubSubBroker:
    def __init__(self, port: int) -> None:
        self._where = f"127.0.0.1:{port}"
        channel = grpc.insecure_channel(self._where)
        self._admin = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self.transport = self.another()

    async def topic(self, name: str) -> None:
        try:
            self._admin.create_topic(name=f"projects/{PROJECT}/topics/{name}")
        except AlreadyExists:
            return  # another test made it

    async def subscription(self, selects: tuple[str, str] | None = None) -> SubscriptionSpec:
        spec = new_spec(selects)
        await self.topic(spec.topic)
        await self.transport.ensure_subscription(spec)
        return spec

    def pull_and_die(self, subscription: str) -> bytes:
        """Take a message as a process does that never comes back to it."""
        channel = grpc.insecure_channel(self._where)
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        path = f"projects/{PROJECT}/subscriptions/{subscription}"
        (pulled,) = client.pull(subscription=path, max_messages=1).received_messages
        channel.close()
        return bytes(pulled.message.data)

    def another(self) -> PubSubTransport:
        return PubSubTransport(PubSubSettings(project_id=PROJECT, emulator_host=self._where))


Broker = PubSubBroker | MemoryBroker

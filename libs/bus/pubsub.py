"""Pub/Sub as a transport, on the stubs inside Google's client.

The high-level client spends most of its time on wrapped objects, a future and a
lock per message, and thread hand-offs; this one keeps bare protobuf on one event
loop. See docs/decisions/0005-bus-on-the-official-stubs.md.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.types import pubsub as types
from pydantic import BaseModel, ConfigDict

from contracts.envelope import Wire
from contracts.topology import SubscriptionSpec
from libs.bus.pubsub_publish import TopicBatcher
from libs.bus.pubsub_subscribe import StreamingSubscription
from libs.bus.retrying import Backoff
from libs.bus.transport import FlowControl, OnBreak, Receiver, Subscription, unheeded

LOG = logging.getLogger(__name__)
GOOGLE = "pubsub.googleapis.com:443"
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
CALL_SECONDS = 10.0


class PubSubSettings(BaseModel):
    """Which project, and where when it is not Google's."""

    model_config = ConfigDict(frozen=True)

    project_id: str
    emulator_host: str = ""


class PubSubTransport:
    """Publishes and pulls over one channel. For one event loop."""

    def __init__(self, settings: PubSubSettings) -> None:
        self._project = settings.project_id
        self._where = settings.emulator_host or GOOGLE
        self._channel = _channel(settings.emulator_host)
        self._topics: dict[str, TopicBatcher] = {}

    async def publish(self, topic: str, wires: Sequence[Wire]) -> None:
        batcher = self._topics.get(topic)
        if batcher is None:
            path = f"projects/{self._project}/topics/{topic}"
            batcher = self._topics[topic] = TopicBatcher(self._channel, path, self._where)
        await batcher.publish(wires)

    def subscribe(
        self,
        subscription: str,
        receiver: Receiver,
        flow: FlowControl,
        on_break: OnBreak = unheeded,
    ) -> Subscription:
        path = f"projects/{self._project}/subscriptions/{subscription}"
        return StreamingSubscription(
            self._channel, path, receiver, flow, self._where, on_break=on_break
        )

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        create = self._unary("Subscriber/CreateSubscription", types.Subscription)
        backoff = Backoff()
        while True:
            try:
                await create(subscription_message(self._project, spec), timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                    return
                LOG.warning("creating %s: %s %s", spec.name, error.code(), error.details())
                await backoff.pause()
            else:
                return

    async def drop_subscription(self, name: str) -> None:
        path = f"projects/{self._project}/subscriptions/{name}"
        delete = self._unary("Subscriber/DeleteSubscription", types.Subscription)
        try:
            await delete(pb(types.DeleteSubscriptionRequest)(subscription=path), timeout=2.0)
        except grpc.aio.AioRpcError as error:
            LOG.warning("%s was not deleted and will expire: %s", name, error.code())

    @property
    def waiting_for(self) -> tuple[str, ...]:
        return tuple(filter(None, (batcher.waiting_for for batcher in self._topics.values())))

    async def close(self) -> None:
        """Wait for what is being published, then hang up."""
        await asyncio.gather(*(batcher.flush() for batcher in self._topics.values()))
        await self._channel.close()

    def _unary(self, method: str, answer: Any) -> Callable[..., Awaitable[Any]]:
        call: Callable[..., Awaitable[Any]] = self._channel.unary_unary(
            f"/google.pubsub.v1.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb(answer).FromString,
        )
        return call


def pb(wrapped: Any) -> Any:
    """The bare protobuf class inside a wrapped one."""
    return wrapped._meta.pb  # noqa: SLF001  proto-plus keeps it there and offers no other way


def subscription_message(project: str, spec: SubscriptionSpec) -> Any:
    """A subscription as Pub/Sub's own message."""
    found = pb(types.Subscription)(
        name=f"projects/{project}/subscriptions/{spec.name}",
        topic=f"projects/{project}/topics/{spec.topic}",
        ack_deadline_seconds=spec.ack_deadline_seconds,
        enable_message_ordering=spec.ordered,
        retain_acked_messages=spec.retain_acked,
        filter=spec.filter,
        message_retention_duration=Duration(seconds=spec.retention_seconds),
        retry_policy=pb(types.RetryPolicy)(
            minimum_backoff=Duration(seconds=spec.min_backoff_seconds),
            maximum_backoff=Duration(seconds=spec.max_backoff_seconds),
        ),
        expiration_policy=pb(types.ExpirationPolicy)(
            ttl=Duration(seconds=spec.expires_after_seconds) if spec.expires_after_seconds else None
        ),
    )
    if spec.dead_letter_topic:
        found.dead_letter_policy.dead_letter_topic = (
            f"projects/{project}/topics/{spec.dead_letter_topic}"
        )
        found.dead_letter_policy.max_delivery_attempts = spec.max_delivery_attempts
    return found


def _channel(emulator_host: str) -> Any:
    if emulator_host:
        return grpc.aio.insecure_channel(emulator_host, options=CHANNEL_OPTIONS)
    return PublisherGrpcAsyncIOTransport.create_channel(GOOGLE, options=CHANNEL_OPTIONS)

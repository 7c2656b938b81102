"""What a bus can hardly go below: Google's generated clients, and stubs with bare protobuf.

Both publish and acknowledge so many messages a call, some calls at a time. Neither extends leases,
keeps the order of messages over a call that failed, or tells each publisher of its own message.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient
from google.pubsub_v1.types import pubsub as types

from libs.bus.pubsub import pb
from libs.bus.pubsub_subscribe import LEASE_SECONDS
from libs.bus.transport import FlowControl

BATCH, CALLS = 100, 8
"""Messages a call, and calls at a time."""
Call = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Client:
    publish: Call
    acknowledge: Call
    pull: Call
    of: Callable[[Any], Any]
    """What it takes for a type of message."""


Opened = AbstractAsyncContextManager[Client]


@asynccontextmanager
async def generated() -> AsyncIterator[Client]:
    async with PublisherAsyncClient() as publisher, SubscriberAsyncClient() as subscriber:
        calls = publisher.publish, subscriber.acknowledge, subscriber.streaming_pull
        yield Client(*calls, of=lambda kind: kind)


@asynccontextmanager
async def bare() -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"]) as channel:

        def stub(open_: Any, method: str, request: Any, answer: Any) -> Any:
            return open_(
                f"/google.pubsub.v1.{method}",
                request_serializer=pb(request).SerializeToString,
                response_deserializer=answer.FromString,
            )

        publishing = types.PublishRequest, pb(types.PublishResponse)
        pulling = types.StreamingPullRequest, pb(types.StreamingPullResponse)
        stream = stub(channel.stream_stream, "Subscriber/StreamingPull", *pulling)

        async def pull(requests: Any) -> Any:
            return stream(requests)

        unary = channel.unary_unary
        yield Client(
            stub(unary, "Publisher/Publish", *publishing),
            stub(unary, "Subscriber/Acknowledge", types.AcknowledgeRequest, Empty),
            pull,
            of=pb,
        )


async def publish(client: Client, topic: str, bodies: list[bytes], batch: int = BATCH) -> None:
    request, message = client.of(types.PublishRequest), client.of(types.PubsubMessage)
    left = iter(range(0, len(bodies), batch))

    async def many() -> None:
        for start in left:
            messages = [message(data=body) for body in bodies[start : start + batch]]
            await client.publish(request(topic=topic, messages=messages))

    await asyncio.gather(*(many() for _ in range(CALLS)))


async def consume(client: Client, path: str, count: int, arrived: Callable[[], None]) -> None:
    """Until all are acknowledged; says when the last of them has come."""
    stream = await client.pull(_first(client, path))
    request = client.of(types.AcknowledgeRequest)

    async def acknowledge(ids: list[str]) -> None:
        await client.acknowledge(request(subscription=path, ack_ids=ids))

    async with asyncio.TaskGroup() as settling:
        async for response in stream:
            ids = [one.ack_id for one in response.received_messages if one.message.data]
            for start in range(0, len(ids), BATCH):
                settling.create_task(acknowledge(ids[start : start + BATCH]))
            count -= len(ids)
            if count <= 0:
                break
        arrived()
    stream.cancel()


async def _first(client: Client, path: str) -> AsyncIterator[Any]:
    flow = FlowControl()
    yield client.of(types.StreamingPullRequest)(
        subscription=path,
        stream_ack_deadline_seconds=LEASE_SECONDS,
        max_outstanding_messages=flow.max_messages,
        max_outstanding_bytes=flow.max_bytes,
    )
    await asyncio.Event().wait()  # half-closing would end the stream

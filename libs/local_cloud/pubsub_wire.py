"""The bare protobuf classes of Pub/Sub: several times cheaper than the wrapped ones."""

from typing import Any

from google.pubsub_v1.types import pubsub as types


def bare(wrapped: Any) -> Any:
    return wrapped._meta.pb  # noqa: SLF001  proto-plus offers no other way


TOPIC = bare(types.Topic)
SUBSCRIPTION = bare(types.Subscription)
SNAPSHOT = bare(types.Snapshot)
MESSAGE = bare(types.PubsubMessage)
RECEIVED = bare(types.ReceivedMessage)
STREAM_RESPONSE = bare(types.StreamingPullResponse)
ACTIVE = int(types.Subscription.State.ACTIVE)

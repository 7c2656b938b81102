"""The RPCs of Subscriber."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1.types import pubsub as types

from libs.local_cloud.faults import Faults
from libs.local_cloud.pubsub_broker import Broker
from libs.local_cloud.pubsub_lanes import Consumer
from libs.local_cloud.pubsub_rules import (
    INVALID,
    SNAPSHOT_FIELDS,
    SUBSCRIPTION_FIELDS,
    check_attached,
    check_lease,
    check_new,
    check_subscription,
    complete_subscription,
    found,
    merged,
    page,
)
from libs.local_cloud.pubsub_stream import Stream, check_alive, invalid_ack_ids
from libs.local_cloud.pubsub_subscription import SubscriptionState
from libs.local_cloud.pubsub_wire import ACTIVE, SNAPSHOT, bare
from libs.local_cloud.rpc import RpcError

PULL_SECONDS = 20.0
ANSWER_SECONDS = 0.5  # what an answer may need to reach its caller
MAX_PULL = 1000


class SubscriberRpcs:
    def __init__(self, broker: Broker, faults: Faults) -> None:
        self._broker = broker
        self._faults = faults

    def _sub(self, name: str) -> SubscriptionState:
        return found(self._broker.subscriptions, name)

    def CreateSubscription(self, config: Any, _: Any) -> Any:
        check_new(self._broker.subscriptions, "subscriptions", config.name)
        found(self._broker.topics, config.topic)
        complete_subscription(config)
        check_subscription(config, self._broker.topics)
        config.state = ACTIVE
        self._broker.add_subscription(config)
        return config

    def GetSubscription(self, request: Any, _: Any) -> Any:
        return self._sub(request.subscription).config

    def UpdateSubscription(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription.name)
        changed = merged(
            request.update_mask, request.subscription, state.config, SUBSCRIPTION_FIELDS
        )
        complete_subscription(changed)
        check_subscription(changed, self._broker.topics)
        state.config = changed
        self._broker.save_subscription(state)
        return changed

    def ListSubscriptions(self, request: Any, _: Any) -> Any:
        known = self._broker.subscriptions
        names, token = page(known, f"{request.project}/", request)
        return bare(types.ListSubscriptionsResponse)(
            subscriptions=[known[name].config for name in names], next_page_token=token
        )

    def DeleteSubscription(self, request: Any, _: Any) -> Any:
        self._broker.delete_subscription(self._sub(request.subscription))
        return empty_pb2.Empty()

    def ModifyPushConfig(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        state.config.push_config.CopyFrom(request.push_config)
        self._broker.save_subscription(state)
        return empty_pb2.Empty()

    async def Pull(self, request: Any, context: Any) -> Any:
        """Wait for the first messages, but answer before the caller gives up."""
        state = self._sub(request.subscription)
        if request.max_messages < 1:
            raise RpcError(INVALID, "Invalid max_messages given: must be positive.")
        check_attached(state.config)
        most, puller = min(request.max_messages, MAX_PULL), Consumer()
        given = state.take(most, puller)
        if not given and not request.return_immediately:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_patience(context)):
                    given = await _wait(state, most, puller)
        return bare(types.PullResponse)(received_messages=given)

    def Acknowledge(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        unknown = state.acknowledge(request.ack_ids)
        self._broker.store.flush()  # an answer is a promise; a stream gives none
        self._confirm(state, unknown)
        return empty_pb2.Empty()

    def ModifyAckDeadline(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        check_lease(request.ack_deadline_seconds)
        seconds = request.ack_deadline_seconds
        self._confirm(state, [a for a in request.ack_ids if not state.modify(a, seconds)])
        return empty_pb2.Empty()

    def _confirm(self, state: SubscriptionState, unknown: Iterable[str]) -> None:
        """Exactly-once delivery tells late acknowledgements apart; the rest is best effort."""
        bad = list(unknown)
        if bad and state.config.enable_exactly_once_delivery:
            raise invalid_ack_ids(bad)

    async def StreamingPull(self, _: Any, context: Any) -> None:
        first = await context.read()
        if first is grpc.aio.EOF:
            raise RpcError(INVALID, "A stream's first request names its subscription.")
        state = self._sub(first.subscription)
        check_attached(state.config)
        await Stream(state, first, context, self._faults).run()

    def CreateSnapshot(self, request: Any, _: Any) -> Any:
        check_new(self._broker.snapshots, "snapshots", request.name)
        state = self._sub(request.subscription)
        snapshot = SNAPSHOT(name=request.name, labels=request.labels)
        self._broker.add_snapshot(snapshot, state)
        return snapshot

    def GetSnapshot(self, request: Any, _: Any) -> Any:
        return found(self._broker.snapshots, request.snapshot)

    def UpdateSnapshot(self, request: Any, _: Any) -> Any:
        snapshot = found(self._broker.snapshots, request.snapshot.name)
        changed = merged(request.update_mask, request.snapshot, snapshot, SNAPSHOT_FIELDS)
        self._broker.save_snapshot(changed)
        return changed

    def ListSnapshots(self, request: Any, _: Any) -> Any:
        known = self._broker.snapshots
        names, token = page(known, f"{request.project}/", request)
        return bare(types.ListSnapshotsResponse)(
            snapshots=[known[name] for name in names], next_page_token=token
        )

    def DeleteSnapshot(self, request: Any, _: Any) -> Any:
        found(self._broker.snapshots, request.snapshot)
        self._broker.delete_snapshot(request.snapshot)
        return empty_pb2.Empty()

    def Seek(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        if request.WhichOneof("target") is None:
            raise RpcError(INVALID, "A seek needs a time or a snapshot.")
        if request.snapshot:
            snapshot = found(self._broker.snapshots, request.snapshot)
            if snapshot.topic != state.config.topic:
                raise RpcError(
                    grpc.StatusCode.FAILED_PRECONDITION, "The snapshot is of another topic."
                )
            self._broker.seek_to_snapshot(state, snapshot.name)
        else:
            self._broker.seek_to_time(state, request.time.ToNanoseconds() / 1e9)
        return bare(types.SeekResponse)()


async def _wait(state: SubscriptionState, most: int, puller: Consumer) -> list[Any]:
    while True:
        await state.changed()
        check_alive(state)
        if given := state.take(most, puller):
            return given


def _patience(context: Any) -> float:
    left = context.time_remaining()
    return PULL_SECONDS if left is None else float(min(PULL_SECONDS, max(0, left - ANSWER_SECONDS)))

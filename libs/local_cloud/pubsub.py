"""Pub/Sub on a loopback port, for Google's own clients.

python -m libs.local_cloud.pubsub --port 8085 --state-dir .local/pubsub
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import empty_pb2
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import pubsub as types

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running, run
from libs.local_cloud.pubsub_filter import compile_filter
from libs.local_cloud.pubsub_push import Pushers
from libs.local_cloud.pubsub_store import Store
from libs.local_cloud.pubsub_subscription import Consumer, Hooks, Item, SubscriptionState
from libs.local_cloud.rpc import RpcError, Service, listen

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DELETED_TOPIC = "_deleted-topic_"
MAX_MESSAGES, MAX_BYTES = 1000, 10_000_000
LEAST_DEADLINE, MOST_DEADLINE = 10, 600
WEEK_SECONDS = 604_800
PRUNE_SECONDS = 30.0
PULL_WAIT = 20.0
_NAME = re.compile(r"projects/[^/]+/(topics|subscriptions|snapshots)/[A-Za-z][\w.~+%-]{2,254}")


def _pb(wrapped: Any) -> Any:
    return wrapped._meta.pb  # noqa: SLF001  bare protobuf: proto-plus offers no other way


TOPIC, SUBSCRIPTION, MESSAGE = _pb(types.Topic), _pb(types.Subscription), _pb(types.PubsubMessage)
STREAM_RESPONSE = _pb(types.StreamingPullResponse)


class Emulator:
    """All RPCs of Publisher and Subscriber, over one store. For one event loop."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._pushers = Pushers()
        self._topics = {name: TOPIC.FromString(pb) for name, pb in store.resources("topic")}
        self._subs: dict[str, SubscriptionState] = {}
        self._of_topic: dict[str, list[SubscriptionState]] = {}
        self._snapshots: dict[str, tuple[str, list[int], float]] = {}
        self._policies: dict[str, Any] = {}
        for _, body in store.resources("subscription"):
            self._open(SUBSCRIPTION.FromString(body))

    def _open(self, config: Any) -> SubscriptionState:
        name = config.name
        state = SubscriptionState(
            config,
            Hooks(
                load=self._load,
                settled=lambda ids: self._settled(config, ids),
                failed=lambda ids: self._store.delivered(name, ids),
                dead_letter=lambda item: self._dead_letter(config, item),
                faults=self._faults,
            ),
        )
        self._subs[name] = state
        self._index()
        for id_, attempts, body in self._store.pending(name):
            state.put(id_, MESSAGE.FromString(body), attempts)
        self._pushers.follow(state)
        return state

    def _index(self) -> None:
        self._of_topic = {}
        for state in self._subs.values():
            self._of_topic.setdefault(state.config.topic, []).append(state)

    def _load(self, id_: int) -> Any:
        body = self._store.body(id_)
        return None if body is None else MESSAGE.FromString(body)

    def _settled(self, config: Any, ids: Sequence[int]) -> None:
        keep = config.retain_acked_messages or self._retains(config.topic)
        self._store.acknowledge(config.name, ids, keep=keep)

    def _retains(self, topic: str) -> bool:
        found = self._topics.get(topic)
        if found is not None and found.HasField("message_retention_duration"):
            return True
        if any(of == topic for of, _, _ in self._snapshots.values()):
            return True
        return any(s.config.retain_acked_messages for s in self._of_topic.get(topic, ()))

    def _dead_letter(self, config: Any, item: Item) -> None:
        topic = config.dead_letter_policy.dead_letter_topic
        original = item.message if item.message is not None else self._load(item.id)
        if topic in self._topics and original is not None:
            message = MESSAGE()
            message.CopyFrom(original)
            _, project, _, name = config.name.split("/")
            prefix = "CloudPubSubDeadLetterSource"
            message.attributes[f"{prefix}Subscription"] = name
            message.attributes[f"{prefix}SubscriptionProject"] = project
            message.attributes[f"{prefix}DeliveryCount"] = str(item.attempts)
            message.attributes[f"{prefix}TopicPublishTime"] = original.publish_time.ToJsonString()
            self._publish(topic, [message])
        self._settled(config, [item.id])

    def _publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        now = time.time_ns()
        subscribers = [s for s in self._of_topic.get(topic, ()) if not s.config.detached]
        rows, pending, puts = [], [], []
        for message in messages:
            id_ = self._store.take_id()
            message.message_id = str(id_)
            message.publish_time.FromNanoseconds(now)
            rows.append((id_, message.SerializeToString()))
            for state in subscribers:
                if state.selects is None or state.selects(message.attributes):
                    pending.append((state.config.name, id_))
                    puts.append((state, id_, message))
        self._store.add(topic, rows, pending, keep=self._retains(topic))
        for state, id_, message in puts:
            state.put(id_, message)
        return [message.message_id for message in messages]

    def _topic(self, name: str) -> Any:
        return _found(self._topics, name)

    def _sub(self, name: str) -> SubscriptionState:
        state: SubscriptionState = _found(self._subs, name)
        return state

    # IAM, which every resource has

    def SetIamPolicy(self, request: Any, _: Any) -> Any:
        self._policies[request.resource] = request.policy
        return request.policy

    def GetIamPolicy(self, request: Any, _: Any) -> Any:
        return self._policies.get(request.resource, policy_pb2.Policy())

    def TestIamPermissions(self, request: Any, _: Any) -> Any:
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)

    # Publisher

    def CreateTopic(self, topic: Any, _: Any) -> Any:
        _check_new(self._topics, topic.name)
        self._topics[topic.name] = topic
        self._store.save("topic", topic)
        return topic

    def GetTopic(self, request: Any, _: Any) -> Any:
        return self._topic(request.topic)

    def UpdateTopic(self, request: Any, _: Any) -> Any:
        topic = self._topic(request.topic.name)
        _merge(request.update_mask.paths, request.topic, topic)
        self._store.save("topic", topic)
        return topic

    def ListTopics(self, request: Any, _: Any) -> Any:
        page, token = _page(self._topics, request.project, request)
        return _pb(types.ListTopicsResponse)(
            topics=[self._topics[n] for n in page], next_page_token=token
        )

    def ListTopicSubscriptions(self, request: Any, _: Any) -> Any:
        self._topic(request.topic)
        names = {s.config.name: s for s in self._of_topic.get(request.topic, ())}
        page, token = _page(names, "projects", request)
        return _pb(types.ListTopicSubscriptionsResponse)(subscriptions=page, next_page_token=token)

    def ListTopicSnapshots(self, request: Any, _: Any) -> Any:
        self._topic(request.topic)
        names = {n: s for n, s in self._snapshots.items() if s[0] == request.topic}
        page, token = _page(names, "projects", request)
        return _pb(types.ListTopicSnapshotsResponse)(snapshots=page, next_page_token=token)

    def DeleteTopic(self, request: Any, _: Any) -> Any:
        self._topic(request.topic)
        del self._topics[request.topic]
        self._store.forget(request.topic)
        for state in self._of_topic.get(request.topic, ()):
            state.config.topic = DELETED_TOPIC
            self._store.save("subscription", state.config)
        self._index()
        return empty_pb2.Empty()

    def Publish(self, request: Any, _: Any) -> Any:
        self._topic(request.topic)
        _check_messages(request.messages)
        ids = self._publish(request.topic, request.messages)
        return _pb(types.PublishResponse)(message_ids=ids)

    def DetachSubscription(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        state.config.detached = True
        self._store.save("subscription", state.config)
        self._store.replace_pending(state.config.name, [])
        state.clear()
        state.wake.set()
        return _pb(types.DetachSubscriptionResponse)()

    # Subscriber

    def CreateSubscription(self, config: Any, _: Any) -> Any:
        _check_new(self._subs, config.name)
        self._topic(config.topic)
        config.ack_deadline_seconds = config.ack_deadline_seconds or LEAST_DEADLINE
        if not LEAST_DEADLINE <= config.ack_deadline_seconds <= MOST_DEADLINE:
            raise RpcError(INVALID, "Invalid ack deadline given: must be between 10 and 600.")
        if config.filter:
            compile_filter(config.filter)
        if not config.HasField("message_retention_duration"):
            config.message_retention_duration.seconds = WEEK_SECONDS
        config.state = types.Subscription.State.ACTIVE
        self._store.save("subscription", config)
        self._open(config)
        return config

    def GetSubscription(self, request: Any, _: Any) -> Any:
        return self._sub(request.subscription).config

    def UpdateSubscription(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription.name)
        if "filter" in request.update_mask.paths:
            raise RpcError(INVALID, "The filter of a subscription cannot be changed.")
        _merge(request.update_mask.paths, request.subscription, state.config)
        self._pushers.follow(state)
        self._store.save("subscription", state.config)
        return state.config

    def ListSubscriptions(self, request: Any, _: Any) -> Any:
        page, token = _page(self._subs, request.project, request)
        return _pb(types.ListSubscriptionsResponse)(
            subscriptions=[self._subs[n].config for n in page], next_page_token=token
        )

    def DeleteSubscription(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        del self._subs[request.subscription]
        self._pushers.stop(request.subscription)
        self._store.forget(request.subscription)
        self._index()
        state.clear()
        state.wake.set()
        return empty_pb2.Empty()

    def ModifyPushConfig(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        state.config.push_config.CopyFrom(request.push_config)
        self._pushers.follow(state)
        self._store.save("subscription", state.config)
        return empty_pb2.Empty()

    async def Pull(self, request: Any, context: Any) -> Any:
        state = self._sub(request.subscription)
        if request.max_messages < 1:
            raise RpcError(INVALID, "max_messages must be positive.")
        _check_attached(state)
        puller = Consumer()
        wait = 0.0 if request.return_immediately else min(PULL_WAIT, _remaining(context))
        end = time.monotonic() + wait
        found = state.take(request.max_messages, puller)
        while not found and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.wake.wait(), left)
            found = state.take(request.max_messages, puller)
            if not found and state.wake.is_set():
                await asyncio.sleep(0.01)  # what there is belongs to a key that is out
        return _pb(types.PullResponse)(received_messages=found)

    def Acknowledge(self, request: Any, _: Any) -> Any:
        self._sub(request.subscription).acknowledge(request.ack_ids)
        return empty_pb2.Empty()

    def ModifyAckDeadline(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        if not 0 <= request.ack_deadline_seconds <= MOST_DEADLINE:
            raise RpcError(INVALID, "Invalid ack deadline given: must be between 0 and 600.")
        for ack_id in request.ack_ids:
            state.modify(ack_id, request.ack_deadline_seconds)
        return empty_pb2.Empty()

    async def StreamingPull(self, _: Any, context: Any) -> None:
        first = await context.read()
        state = self._sub(first.subscription)
        _check_attached(state)
        stream = _Stream(state, first, context, lambda: self._subs.get(first.subscription))
        await stream.run(self._faults)

    # Snapshots

    def CreateSnapshot(self, request: Any, _: Any) -> Any:
        _check_new(self._snapshots, request.name)
        state = self._sub(request.subscription)
        waiting = [id_ for id_, _, _ in self._store.pending(state.config.name)]
        self._snapshots[request.name] = (state.config.topic, waiting, time.time())
        return self._snapshot(request.name)

    def GetSnapshot(self, request: Any, _: Any) -> Any:
        return self._snapshot(request.snapshot)

    def ListSnapshots(self, request: Any, _: Any) -> Any:
        page, token = _page(self._snapshots, request.project, request)
        return _pb(types.ListSnapshotsResponse)(
            snapshots=[self._snapshot(n) for n in page], next_page_token=token
        )

    def DeleteSnapshot(self, request: Any, _: Any) -> Any:
        _found(self._snapshots, request.snapshot)
        del self._snapshots[request.snapshot]
        return empty_pb2.Empty()

    def Seek(self, request: Any, _: Any) -> Any:
        state = self._sub(request.subscription)
        if request.snapshot:
            topic, waiting, at = _found(self._snapshots, request.snapshot)
            ids = sorted({*waiting, *self._store.since(topic, at)})
        else:
            ids = self._store.since(state.config.topic, request.time.ToNanoseconds() / 1e9)
        self._store.replace_pending(state.config.name, ids)
        state.clear()
        for id_, attempts, body in self._store.pending(state.config.name):
            state.put(id_, MESSAGE.FromString(body), attempts)
        return _pb(types.SeekResponse)()

    def _snapshot(self, name: str) -> Any:
        topic, _, _ = _found(self._snapshots, name)
        return _pb(types.Snapshot)(name=name, topic=topic)

    async def close(self) -> None:
        await self._pushers.close()

    async def prune_for_ever(self) -> None:
        """Drop retained messages that have grown too old."""
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            for name, topic in self._topics.items():
                kept = topic.message_retention_duration.seconds or WEEK_SECONDS
                self._store.prune(name, time.time() - kept)


class _Stream:
    """One streaming pull."""

    def __init__(
        self, state: SubscriptionState, first: Any, context: Any, current: Callable[[], Any]
    ) -> None:
        self._state = state
        self._first = first
        self._context = context
        self._current = current
        self._freed = asyncio.Event()
        self._consumer = Consumer(
            first.max_outstanding_messages or MAX_MESSAGES,
            first.max_outstanding_bytes or 10 * MAX_BYTES,
            first.stream_ack_deadline_seconds,
        )
        config = state.config
        self._exactly_once = config.enable_exactly_once_delivery
        self._properties = STREAM_RESPONSE.SubscriptionProperties(
            exactly_once_delivery_enabled=self._exactly_once,
            message_ordering_enabled=config.enable_message_ordering,
        )

    async def run(self, faults: Faults) -> None:
        tasks = {asyncio.create_task(self._read()), asyncio.create_task(self._write(faults))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            self._state.release_consumer(self._consumer)

    async def _read(self) -> None:
        await self._settle(self._first)
        while (request := await self._context.read()) is not grpc.aio.EOF:
            if request.stream_ack_deadline_seconds:
                self._consumer.lease = request.stream_ack_deadline_seconds
            await self._settle(request)

    async def _settle(self, request: Any) -> None:
        unknown = set(self._state.acknowledge(request.ack_ids))
        changes = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
        unchanged = {a for a, seconds in changes if not self._state.modify(a, seconds)}
        self._freed.set()
        if self._exactly_once and (request.ack_ids or request.modify_deadline_ack_ids):
            await self._confirm(request, unknown, unchanged)

    async def _confirm(self, request: Any, unknown: set[str], unchanged: set[str]) -> None:
        response = STREAM_RESPONSE(subscription_properties=self._properties)
        _fill(response.acknowledge_confirmation, request.ack_ids, unknown)
        _fill(response.modify_ack_deadline_confirmation, request.modify_deadline_ack_ids, unchanged)
        await self._context.write(response)

    async def _write(self, faults: Faults) -> None:
        await self._context.write(STREAM_RESPONSE(subscription_properties=self._properties))
        while True:
            await self._state.wake.wait()
            if self._current() is not self._state:
                raise RpcError(grpc.StatusCode.NOT_FOUND, "Subscription does not exist")
            _check_attached(self._state)
            await faults.delay()
            self._freed.clear()
            found = self._state.take(500, self._consumer)
            if found:
                await self._context.write(
                    STREAM_RESPONSE(
                        received_messages=found, subscription_properties=self._properties
                    )
                )
            elif self._state.wake.is_set():
                await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        """Messages wait, but this stream is full or their keys are out elsewhere."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), 0.05)


def _fill(confirmation: Any, ids: Sequence[str], bad: set[str]) -> None:
    confirmation.ack_ids.extend(id_ for id_ in ids if id_ not in bad)
    confirmation.invalid_ack_ids.extend(bad)


def _found(known: Any, name: str) -> Any:
    if name not in known:
        short = name.rpartition("/")[2]
        raise RpcError(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={short}).")
    return known[name]


def _check_new(known: Any, name: str) -> None:
    if not _NAME.fullmatch(name) or name.rpartition("/")[2].startswith("goog"):
        raise RpcError(INVALID, f"Invalid resource name given (name={name}).")
    if name in known:
        short = name.rpartition("/")[2]
        raise RpcError(
            grpc.StatusCode.ALREADY_EXISTS,
            f"Resource already exists in the project (resource={short}).",
        )


def _check_messages(messages: Sequence[Any]) -> None:
    if not messages:
        raise RpcError(INVALID, "The publish request contains no messages.")
    if len(messages) > MAX_MESSAGES:
        raise RpcError(INVALID, f"A publish takes at most {MAX_MESSAGES} messages.")
    if any(not message.data and not message.attributes for message in messages):
        raise RpcError(INVALID, "Some messages in the batch are empty.")
    if sum(message.ByteSize() for message in messages) > MAX_BYTES:
        raise RpcError(INVALID, f"A publish takes at most {MAX_BYTES} bytes.")


def _check_attached(state: SubscriptionState) -> None:
    if state.config.detached:
        raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, "The subscription is detached.")


def _page(known: Any, parent: str, request: Any) -> tuple[list[str], str]:
    names = sorted(n for n in known if n.startswith(f"{parent}/") and n > request.page_token)
    size = request.page_size or 1000
    return names[:size], names[size - 1] if len(names) > size else ""


def _merge(paths: Sequence[str], source: Any, target: Any) -> None:
    if not paths:
        raise RpcError(INVALID, "The update_mask in the request is empty.")
    for path in paths:
        name = path.partition(".")[0]
        field = target.DESCRIPTOR.fields_by_name.get(name)
        if field is None or name == "name":
            raise RpcError(INVALID, f"Invalid update_mask provided: {path!r}.")
        partial = type(source)()
        partial.CopyFrom(source)
        for other in source.DESCRIPTOR.fields_by_name:
            if other != name:
                partial.ClearField(other)
        target.ClearField(name)
        target.MergeFrom(partial)


def _remaining(context: Any) -> float:
    """Time until the caller's deadline, less what an answer needs to reach it."""
    left = context.time_remaining()
    return PULL_WAIT if left is None else max(0.0, left - 0.5)


async def start(options: Options, faults: Faults) -> Running:
    store = Store(options.state_dir)
    emulator = Emulator(store, faults)
    server, port = await listen(
        HOST,
        options.port,
        Service(PublisherGrpcTransport, emulator, faults, bare=True),
        Service(SubscriberGrpcTransport, emulator, faults, bare=True),
    )
    pruning = asyncio.create_task(emulator.prune_for_ever())

    async def stop() -> None:
        pruning.cancel()
        await emulator.close()
        await server.stop(0.2)
        store.close()

    return Running({"grpc": port}, stop)


if __name__ == "__main__":
    run("pubsub", start)

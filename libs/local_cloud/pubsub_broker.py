"""Topics and subscriptions as one whole: what a publish, a seek or a failure does."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from libs.local_cloud.faults import Faults
from libs.local_cloud.pubsub_push import Pushers
from libs.local_cloud.pubsub_store import Store
from libs.local_cloud.pubsub_subscription import SubscriptionState, all_selected
from libs.local_cloud.pubsub_wire import MESSAGE, SNAPSHOT, SUBSCRIPTION, TOPIC

LOG = logging.getLogger(__name__)
DELETED_TOPIC = "_deleted-topic_"
WEEK_SECONDS = 604_800
SWEEP_SECONDS = 30.0
FLUSH_SECONDS = 0.02
ROOM_SECONDS = 0.5
"""Until a disk that was full is tried again."""
_SOURCE = "CloudPubSubDeadLetterSource"


class Broker:
    """What publisher and subscriber calls act on. For one event loop.

    Every change is in the store before its method returns.
    """

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.topics = {t.name: t for t in map(TOPIC.FromString, store.resources("topic"))}
        self.snapshots = {s.name: s for s in map(SNAPSHOT.FromString, store.resources("snapshot"))}
        self.subscriptions: dict[str, SubscriptionState] = {}
        self.faults = faults
        self._pushers = Pushers()
        self._of_topic: dict[str, list[SubscriptionState]] = {}
        self._retained: dict[str, int] = {}
        for body in store.resources("subscription"):
            self._open(SUBSCRIPTION.FromString(body))

    def of_topic(self, topic: str) -> list[SubscriptionState]:
        return self._of_topic.get(topic, [])

    # Resources

    def save_topic(self, topic: Any) -> None:
        self.topics[topic.name] = topic
        self.store.save("topic", topic)
        self._index()

    def delete_topic(self, name: str) -> None:
        """Subscriptions stay with what they have, on a topic that nobody can publish to."""
        del self.topics[name]
        self.store.forget(name)
        for state in self.of_topic(name):
            state.config.topic = DELETED_TOPIC
            self.store.save("subscription", state.config)
        self._index()
        self.sweep()

    def add_subscription(self, config: Any) -> None:
        self.store.save("subscription", config)
        self._open(config)

    def save_subscription(self, state: SubscriptionState) -> None:
        self.store.save("subscription", state.config)
        self._index()
        self._pushers.follow(state)

    def delete_subscription(self, state: SubscriptionState) -> None:
        name = state.config.name
        del self.subscriptions[name]
        self._pushers.stop(name)
        self.store.forget(name)
        state.delete()
        self._index()
        self.sweep()

    def detach(self, state: SubscriptionState) -> None:
        """Nothing more is delivered, and what waited is dropped."""
        state.config.detached = True
        self.save_subscription(state)
        self._rewind(state, at=float("inf"))

    def add_snapshot(self, snapshot: Any, state: SubscriptionState) -> None:
        now = time.time()
        snapshot.topic = state.config.topic
        snapshot.expire_time.FromNanoseconds(int((now + WEEK_SECONDS) * 1e9))
        self.store.hold(snapshot.name, state.config.name, now)
        self.save_snapshot(snapshot)

    def save_snapshot(self, snapshot: Any) -> None:
        self.snapshots[snapshot.name] = snapshot
        self.store.save("snapshot", snapshot)
        self._index()

    def delete_snapshot(self, name: str) -> None:
        del self.snapshots[name]
        self.store.forget(name)
        self._index()
        self.sweep()

    # Messages

    def publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        """Store messages and hand them on; returns their ids once they are durable."""
        now, at = time.time_ns(), Timestamp()
        at.FromNanoseconds(now)
        retained = topic in self._retained
        rows: list[tuple[int, bytes]] = []
        pending: list[tuple[str, int]] = []
        puts: list[tuple[SubscriptionState, int, Any, int]] = []
        for message in messages:
            id_ = self.store.take_id()
            message.message_id = str(id_)
            message.publish_time.CopyFrom(at)
            takers = self._takers(topic, message)
            if takers or retained:
                body = message.SerializeToString()
                rows.append((id_, body))
                pending += [(state.config.name, id_) for state in takers]
                puts += [(state, id_, message, len(body)) for state in takers]
        if rows:
            self.store.add(topic, now / 1e9, rows, pending)
        for state, id_, message, size in puts:
            state.put(id_, message, size)
        return [message.message_id for message in messages]

    def seek_to_time(self, state: SubscriptionState, at: float) -> None:
        self._rewind(state, at)

    def seek_to_snapshot(self, state: SubscriptionState, snapshot: str) -> None:
        self._rewind(state, self.store.made_at(snapshot), snapshot)

    # What subscriptions ask for

    def body(self, id_: int) -> bytes:
        return self.store.body(id_)

    def page(self, sub: str, after: int, size: int) -> list[tuple[int, int, bytes]]:
        return self.store.page(sub, after, size)

    def failed(self, sub: str, ids: Sequence[int]) -> None:
        try:
            self.store.failed(sub, ids)
        except sqlite3.Error as error:
            LOG.warning("%d failed deliveries of %s were not counted: %s", len(ids), sub, error)

    def settled(self, config: Any, ids: Sequence[int]) -> None:
        keep = config.topic in self._retained
        if self.store.settle(config.name, ids, keep=keep):
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
        if config.enable_exactly_once_delivery:
            self.store.flush()  # this acknowledgement is a promise

    def bury(self, config: Any, message: Any, attempts: int) -> bool:
        topic = config.dead_letter_policy.dead_letter_topic
        if topic not in self.topics:
            return False
        _, project, _, name = config.name.split("/")
        published = message.publish_time.ToJsonString()
        buried = MESSAGE()
        buried.CopyFrom(message)
        buried.attributes[f"{_SOURCE}Subscription"] = name
        buried.attributes[f"{_SOURCE}SubscriptionProject"] = project
        buried.attributes[f"{_SOURCE}DeliveryCount"] = str(attempts)
        buried.attributes[f"{_SOURCE}TopicPublishTime"] = published
        try:
            self.publish(topic, [buried])
        except sqlite3.Error as error:
            LOG.warning("a dead letter of %s could not be kept: %s", config.name, error)
            return False
        return True

    # Keeping and forgetting

    def sweep(self) -> None:
        """Drop what nobody waits for and no topic retains."""
        for topic in self.store.topics():
            self.store.sweep(topic, time.time() - self._retained.get(topic, 0))

    async def sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with suppress(sqlite3.Error):  # the next one does it
                for topic, seconds in list(self._retained.items()):
                    self.store.sweep(topic, time.time() - seconds)

    async def close(self) -> None:
        await self._pushers.close()

    def _flush(self) -> None:
        if not self.store.try_flush():
            asyncio.get_running_loop().call_later(ROOM_SECONDS, self._flush)

    def _open(self, config: Any) -> None:
        state = SubscriptionState(config, self, self.faults)
        self.subscriptions[config.name] = state
        self._index()
        self._pushers.follow(state)

    def _index(self) -> None:
        """Note who reads which topic, and for how long each topic keeps its messages."""
        self._of_topic = {}
        self._retained = {}
        for name, topic in self.topics.items():
            self._retain(name, topic.message_retention_duration.seconds)
        for snapshot in self.snapshots.values():
            self._retain(snapshot.topic, WEEK_SECONDS)
        for state in self.subscriptions.values():
            config = state.config
            self._of_topic.setdefault(config.topic, []).append(state)
            if config.retain_acked_messages:
                self._retain(config.topic, config.message_retention_duration.seconds)

    def _retain(self, topic: str, seconds: int) -> None:
        if seconds and topic in self.topics:
            self._retained[topic] = max(seconds, self._retained.get(topic, 0))

    def _takers(self, topic: str, message: Any) -> list[SubscriptionState]:
        return [
            state
            for state in self._of_topic.get(topic, ())
            if not state.config.detached
            and (state.selects is None or state.selects(message.attributes))
        ]

    def _rewind(self, state: SubscriptionState, at: float, snapshot: str = "") -> None:
        config = state.config
        own = config.retain_acked_messages or bool(snapshot)
        topic = self.topics.get(config.topic)
        replays = own or (topic is not None and topic.HasField("message_retention_duration"))
        self.store.rewind(
            config.name, at, config.topic if replays else "", snapshot, all_selected(state)
        )
        state.restart()
        self.sweep()

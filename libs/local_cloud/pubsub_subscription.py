"""One subscription's deliveries: order, leases, redelivery, back-off, dead letters."""

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.pubsub_v1.types import pubsub as types

from libs.local_cloud.faults import Faults
from libs.local_cloud.pubsub_filter import Predicate, compile_filter

RECEIVED = types.ReceivedMessage._meta.pb  # noqa: SLF001  bare protobuf on the hot path
IN_MEMORY = 20_000  # beyond this many waiting, bodies stay in the store
DEFAULT_ATTEMPTS = 5
DEFAULT_BACKOFF = (10.0, 600.0)


@dataclass(slots=True, eq=False)
class Item:
    """A message on its way to one subscription."""

    id: int
    key: str
    size: int
    message: Any
    """None while the body stays in the store."""
    attempts: int = 0
    deadline: float = 0.0
    consumer: "Consumer | None" = None


@dataclass(slots=True, eq=False)
class Consumer:
    """One streaming pull: what it holds, and how much it may hold."""

    max_messages: int = 1 << 40
    max_bytes: int = 1 << 60
    lease: float = 0.0
    messages: int = 0
    bytes: int = 0

    @property
    def room(self) -> bool:
        return self.messages < self.max_messages and self.bytes < self.max_bytes


@dataclass(slots=True)
class Hooks:
    """What a subscription needs of the emulator around it."""

    load: Callable[[int], Any]
    settled: Callable[[Sequence[int]], None]
    failed: Callable[[Sequence[int]], None]
    dead_letter: Callable[[Item], None]
    faults: Faults


@dataclass(slots=True)
class _Key:
    """An ordering key: what waits, what is out, and whether it backs off."""

    waiting: deque[Item] = field(default_factory=deque)
    out: list[Item] = field(default_factory=list)
    blocked: bool = False


class SubscriptionState:
    """For one event loop. `wake` is set while there may be something to take."""

    def __init__(self, config: Any, hooks: Hooks) -> None:
        self.config = config
        self.selects: Predicate | None = compile_filter(config.filter) if config.filter else None
        self.wake = asyncio.Event()
        self._hooks = hooks
        self._queue: deque[Item] = deque()
        self._keys: dict[str, _Key] = {}
        self._ready: deque[str] = deque()
        self._out: dict[str, Item] = {}
        self._leases: list[tuple[float, str]] = []
        self._delayed: list[tuple[float, int, Item | None, str]] = []
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def backlog(self) -> int:
        return len(self._queue) + sum(len(key.waiting) for key in self._keys.values())

    def put(self, id_: int, message: Any, attempts: int = 0) -> None:
        key = message.ordering_key if self.config.enable_message_ordering else ""
        kept = message if len(self._queue) < IN_MEMORY else None
        item = Item(id_, key, len(message.data) + 200, kept, attempts)
        if key:
            self._lane(key).waiting.append(item)
        else:
            self._queue.append(item)
        self.wake.set()

    def take(self, most: int, consumer: Consumer) -> list[Any]:
        """Lease up to `most` messages to a consumer and return them as it receives them."""
        now = time.monotonic()
        self._end_backoffs(now)
        given = [*self._take_ordered(most, consumer, now)]
        while self._queue and len(given) < most and consumer.room:
            given.append(self._give(self._queue.popleft(), consumer, now))
        if not self._queue and not any(self._is_open(k, consumer) for k in self._ready):
            self.wake.clear()
        self._arm()
        return [delivery for delivery in given if delivery is not None]

    def acknowledge(self, ack_ids: Iterable[str]) -> list[str]:
        """Settle leases; returns the ids that are of no lease in force."""
        done, unknown = [], []
        for ack_id in ack_ids:
            item = self._out.pop(ack_id, None)
            if item is None:
                unknown.append(ack_id)
            else:
                self._release(item)
                done.append(item.id)
        if done:
            self._hooks.settled(done)
        return unknown

    def modify(self, ack_id: str, seconds: int) -> bool:
        if seconds == 0:
            return self.reject(ack_id)
        item = self._out.get(ack_id)
        if item is None:
            return False
        item.deadline = time.monotonic() + seconds
        heapq.heappush(self._leases, (item.deadline, ack_id))
        self._arm()
        return True

    def reject(self, ack_id: str) -> bool:
        """Take a message back; with a key, everything after it comes again in order."""
        item = self._out.pop(ack_id, None)
        if item is None:
            return False
        self._release(item)
        later = self._recall_after(item)
        self._hooks.failed([item.id])
        if self._is_dead(item):
            self._hooks.dead_letter(item)
            self._put_back(later, delay=0.0)
        else:
            self._put_back([item, *later], self._backoff(item))
        self.wake.set()
        self._arm()
        return True

    def release_consumer(self, consumer: Consumer) -> None:
        """A stream has ended: its leases run out by themselves, its keys are free."""
        for item in self._out.values():
            if item.consumer is consumer:
                item.consumer = None
        self.wake.set()

    def clear(self) -> None:
        """Forget every message; for a seek, which says anew what is due."""
        self._queue.clear()
        self._keys.clear()
        self._ready.clear()
        self._out.clear()
        self._leases.clear()
        self._delayed.clear()

    def _lane(self, key: str) -> _Key:
        lane = self._keys.get(key)
        if lane is None:
            lane = self._keys[key] = _Key()
            self._ready.append(key)
        return lane

    def _is_open(self, key: str, consumer: Consumer) -> bool:
        lane = self._keys[key]
        free = not lane.out or lane.out[0].consumer is consumer
        return bool(lane.waiting) and not lane.blocked and free

    def _take_ordered(self, most: int, consumer: Consumer, now: float) -> list[Any]:
        given: list[Any] = []
        for _ in range(len(self._ready)):
            if len(given) >= most or not consumer.room:
                break
            key = self._ready[0]
            self._ready.rotate(-1)
            lane = self._keys[key]
            while self._is_open(key, consumer) and len(given) < most and consumer.room:
                item = lane.waiting.popleft()
                lane.out.append(item)
                given.append(self._give(item, consumer, now))
        return given

    def _give(self, item: Item, consumer: Consumer, now: float) -> Any:
        item.attempts += 1
        item.consumer = consumer
        item.deadline = now + (consumer.lease or self.config.ack_deadline_seconds)
        consumer.messages += 1
        consumer.bytes += item.size
        ack_id = f"{item.id}:{next(self._numbers)}"
        self._out[ack_id] = item
        heapq.heappush(self._leases, (item.deadline, ack_id))
        message = item.message if item.message is not None else self._hooks.load(item.id)
        faults = self._hooks.faults
        if message is None or faults.hits(faults.plan.drop):
            return None
        if not item.key and faults.hits(faults.plan.duplicate):
            self._queue.append(Item(item.id, "", item.size, message, item.attempts))
        counted = bool(self.config.dead_letter_policy.dead_letter_topic)
        return RECEIVED(
            ack_id=ack_id,
            message=message,
            delivery_attempt=item.attempts if counted else 0,
        )

    def _release(self, item: Item) -> None:
        if item.consumer is not None:
            item.consumer.messages -= 1
            item.consumer.bytes -= item.size
        lane = self._keys.get(item.key) if item.key else None
        if lane is not None and item in lane.out:
            lane.out.remove(item)
            if not lane.out and not lane.waiting and not lane.blocked:
                del self._keys[item.key]
                self._ready.remove(item.key)
        self.wake.set()

    def _recall_after(self, item: Item) -> list[Item]:
        lane = self._keys.get(item.key) if item.key else None
        if lane is None:
            return []
        later = [other for other in lane.out if other.id > item.id]
        recalled = set(map(id, later))
        for ack_id in [a for a, other in self._out.items() if id(other) in recalled]:
            other = self._out.pop(ack_id)
            other.attempts -= 1
            if other.consumer is not None:
                other.consumer.messages -= 1
                other.consumer.bytes -= other.size
            lane.out.remove(other)
        return later

    def _is_dead(self, item: Item) -> bool:
        policy = self.config.dead_letter_policy
        most = policy.max_delivery_attempts or DEFAULT_ATTEMPTS
        return bool(policy.dead_letter_topic) and item.attempts >= most

    def _backoff(self, item: Item) -> float:
        if not self.config.HasField("retry_policy"):
            return 0.0
        policy = self.config.retry_policy
        shortest, longest = DEFAULT_BACKOFF
        if policy.HasField("minimum_backoff"):
            shortest = policy.minimum_backoff.ToTimedelta().total_seconds()
        if policy.HasField("maximum_backoff"):
            longest = policy.maximum_backoff.ToTimedelta().total_seconds()
        return float(min(shortest * 2 ** max(0, item.attempts - 1), longest))

    def _put_back(self, items: list[Item], delay: float) -> None:
        if not items:
            return
        due, first = time.monotonic() + delay, items[0]
        if first.key:
            lane = self._lane(first.key)
            lane.waiting.extendleft(reversed(items))
            if delay:
                lane.blocked = True
                heapq.heappush(self._delayed, (due, first.id, None, first.key))
        elif delay:
            heapq.heappush(self._delayed, (due, first.id, first, ""))
        else:
            self._queue.appendleft(first)

    def _end_backoffs(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            _, _, item, key = heapq.heappop(self._delayed)
            if item is not None:
                self._queue.appendleft(item)
            elif key in self._keys:
                self._keys[key].blocked = False

    def _arm(self) -> None:
        """Set one timer for whatever comes first: a lease's end or a back-off's."""
        while self._leases and not self._in_force(*self._leases[0]):
            heapq.heappop(self._leases)
        firsts = [heap[0][0] for heap in (self._leases, self._delayed) if heap]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if firsts:
            wait = max(0.0, min(firsts) - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _in_force(self, deadline: float, ack_id: str) -> bool:
        item = self._out.get(ack_id)
        return item is not None and item.deadline <= deadline

    def _tick(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._leases and self._leases[0][0] <= now:
            _, ack_id = heapq.heappop(self._leases)
            item = self._out.get(ack_id)
            if item is not None and item.deadline <= now:
                self.reject(ack_id)
        if self._delayed and self._delayed[0][0] <= now:
            self.wake.set()
        self._arm()

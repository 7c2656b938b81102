"""One subscription's deliveries: leases, redelivery, back-off, dead letters."""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from libs.local_cloud.faults import Faults
from libs.local_cloud.pubsub_filter import Predicate, compile_filter
from libs.local_cloud.pubsub_lanes import Consumer, Item, Waiting
from libs.local_cloud.pubsub_leases import Alarm, Leases
from libs.local_cloud.pubsub_retries import backoff, is_dead
from libs.local_cloud.pubsub_wire import MESSAGE, RECEIVED

IN_MEMORY = 20_000  # beyond this many waiting, messages are read from the store when due
CACHED_BYTES = 64_000_000  # beyond this much, only the bodies are
PAGE = 2_000
RESPONSE_BYTES = 8_000_000


class Backlog(Protocol):
    """What a subscription needs of the store and of the broker around it."""

    def body(self, id_: int) -> bytes: ...

    def page(self, sub: str, after: int, size: int) -> list[tuple[int, int, bytes]]: ...

    def settled(self, config: Any, ids: Sequence[int]) -> None: ...

    def failed(self, sub: str, ids: Sequence[int]) -> None: ...

    def bury(self, config: Any, message: Any, attempts: int) -> bool:
        """Send to the dead-letter topic; False when there is none to send to."""


class SubscriptionState:
    """For one event loop. What waits is read from the store page by page."""

    def __init__(self, config: Any, backlog: Backlog, faults: Faults) -> None:
        self.config = config
        self.selects: Predicate | None = compile_filter(config.filter) if config.filter else None
        self.is_deleted = False
        self._backlog = backlog
        self._faults = faults
        self._waiting = Waiting()
        self._leases = Leases()
        self._alarm = Alarm(self._on_alarm)
        self._delayed: list[tuple[float, int, Item]] = []
        self._cached = 0
        self._cursor = 0  # all up to this id has been read
        self._is_behind = True  # there may be more in the store after it
        self._change: asyncio.Event | None = None

    async def changed(self) -> None:
        """Wait until a `take` that gave nothing is worth another try."""
        if self._change is None:
            self._change = asyncio.Event()
        await self._change.wait()

    def wake(self) -> None:
        """Have everybody who waits look again."""
        if self._change is not None:
            self._change.set()
            self._change = None

    def put(self, id_: int, message: Any, size: int) -> None:
        """Add what has just been published and stored."""
        if not self._is_behind and self._waiting.count >= IN_MEMORY:
            self._is_behind = True
        if not self._is_behind:
            self._cursor = id_
            self._waiting.add(self._item(id_, message, size))
        self.wake()

    def take(self, most: int, consumer: Consumer) -> list[Any]:
        """Lease up to `most` messages to a consumer and return them as it receives them."""
        given: list[Any] = []
        room = RESPONSE_BYTES
        while len(given) < most and room > 0 and consumer.has_room:
            item = self._next(consumer)
            if item is None:
                break
            given += self._give(item, consumer)
            room -= item.size
        self._set_alarm()
        return given

    def acknowledge(self, ack_ids: Iterable[str]) -> list[str]:
        """Settle leases; returns the ids that are of no lease in force."""
        done: list[int] = []
        unknown: list[str] = []
        at_once = self.config.enable_exactly_once_delivery
        for ack_id in ack_ids:
            item = self._leases.end(ack_id)
            if item is None:
                unknown.append(ack_id)
            elif not item.is_copy:
                done += [one.id for one in self._waiting.settle(item, at_once=at_once)]
        if done:
            self._backlog.settled(self.config, done)
        self.wake()
        return unknown

    def modify(self, ack_id: str, seconds: int) -> bool:
        """Move a lease's end, or with 0 seconds take the message back."""
        if seconds == 0:
            return self.reject(ack_id)
        found = self._leases.extend(ack_id, self._alarm.now() + seconds)
        self._set_alarm()
        return found

    def reject(self, ack_id: str) -> bool:
        """Take a message back; with a key, everything after it comes again in order."""
        item = self._leases.end(ack_id)
        if item is None:
            return False
        self._fail([item])
        return True

    def release(self, consumer: Consumer) -> None:
        """A consumer has gone: what it holds comes again when the leases run out."""
        for item in self._leases:
            if item.consumer is consumer:
                item.consumer = None
        self.wake()

    def restart(self) -> None:
        """Forget every delivery and read anew what the store says is due."""
        self._leases.clear()
        self._waiting.clear()
        self._delayed.clear()
        self._alarm.cancel()
        self._cached, self._cursor, self._is_behind = 0, 0, True
        self.wake()

    def delete(self) -> None:
        self.is_deleted = True
        self.restart()

    def _item(self, id_: int, message: Any, size: int, attempts: int = 0) -> Item:
        key = message.ordering_key if self.config.enable_message_ordering else ""
        kept = message if self._cached < CACHED_BYTES else None
        self._cached += size if kept is not None else 0
        return Item(id_, key, size, kept, attempts)

    def _next(self, consumer: Consumer) -> Item | None:
        item = self._waiting.next(consumer)
        while item is None and self._is_behind:
            self._read_page()
            item = self._waiting.next(consumer)
        return item

    def _read_page(self) -> None:
        rows = self._backlog.page(self.config.name, self._cursor, PAGE)
        for id_, attempts, body in rows:
            message = MESSAGE.FromString(body)
            self._waiting.add(self._item(id_, message, len(body), attempts))
            self._cursor = id_
        self._is_behind = len(rows) == PAGE

    def _body(self, item: Item) -> Any:
        """Hand over the message; from now on the store alone has it."""
        message = item.message
        if message is None:
            return MESSAGE.FromString(self._backlog.body(item.id))
        item.message = None
        self._cached -= item.size
        return message

    def _give(self, item: Item, consumer: Consumer) -> list[Any]:
        item.attempts += 1
        self._lease(item, consumer)
        message, plan = self._body(item), self._faults.plan
        item.is_lost = self._faults.hits(plan.drop)
        if item.is_lost:
            return []
        received = [self._received(item, message)]
        promised_once = self.config.enable_exactly_once_delivery
        if not promised_once and self._faults.hits(plan.duplicate):
            copy = Item(item.id, "", item.size, None, item.attempts, is_copy=True)
            self._lease(copy, consumer)
            received.append(self._received(copy, message))
        return received

    def _lease(self, item: Item, consumer: Consumer) -> None:
        item.consumer = consumer
        item.is_acked = False
        consumer.messages += 1
        consumer.bytes += item.size
        seconds = consumer.lease or self.config.ack_deadline_seconds
        self._leases.give(item, self._alarm.now() + seconds)

    def _received(self, item: Item, message: Any) -> Any:
        if not self.config.dead_letter_policy.dead_letter_topic:
            return RECEIVED(ack_id=item.ack_id, message=message)
        return RECEIVED(ack_id=item.ack_id, message=message, delivery_attempt=item.attempts)

    def _fail(self, items: Iterable[Item]) -> None:
        failed: list[int] = []
        for item in items:
            if not item.is_copy:
                failed.append(item.id)
                self._come_again(item)
        if failed:
            self._backlog.failed(self.config.name, failed)
        self.wake()
        self._set_alarm()

    def _come_again(self, item: Item) -> None:
        later = self._waiting.recall(item)
        for other in later:
            self._leases.end(other.ack_id)
            other.attempts -= 1
        if self._is_buried(item):
            self._backlog.settled(self.config, [item.id])
            if later:
                self._waiting.put_back(later)
            return
        delay = backoff(self.config, item.attempts)
        if item.key or not delay:
            self._waiting.put_back([item, *later])
        if delay:
            if item.key:
                self._waiting.block(item.key)
            heapq.heappush(self._delayed, (self._alarm.now() + delay, item.id, item))

    def _is_buried(self, item: Item) -> bool:
        if not is_dead(self.config, item.attempts):
            return False
        message = MESSAGE.FromString(self._backlog.body(item.id))
        return self._backlog.bury(self.config, message, item.attempts)

    def _on_alarm(self) -> None:
        now = self._alarm.now()
        self._fail(self._leases.ended(now))  # one by one: a failure recalls later leases
        while self._delayed and self._delayed[0][0] <= now:
            item = heapq.heappop(self._delayed)[2]
            if item.key:
                self._waiting.unblock(item.key)
            else:
                self._waiting.put_back([item])
        self.wake()
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm.set(self._leases.first_end(), self._delayed[0][0] if self._delayed else None)


def all_selected(state: SubscriptionState) -> Callable[[bytes], bool]:
    """Say of a stored message whether a subscription's filter selects it."""
    selects = state.selects
    if selects is None:
        return lambda _: True
    return lambda body: selects(MESSAGE.FromString(body).attributes)

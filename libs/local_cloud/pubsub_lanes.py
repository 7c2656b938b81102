"""What waits for delivery: one queue, and a lane for each ordering key."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Consumer:
    """Somebody who takes messages: how much they hold, and how much they may hold."""

    max_messages: int = 1 << 40
    max_bytes: int = 1 << 60
    lease: float = 0.0
    messages: int = 0
    bytes: int = 0
    keys: deque[str] = field(default_factory=deque)
    """Keys that only this consumer may go on with, since it holds some of them."""

    @property
    def has_room(self) -> bool:
        return self.messages < self.max_messages and self.bytes < self.max_bytes


@dataclass(slots=True, eq=False)
class Item:
    """A message on its way to one subscription."""

    id: int
    key: str
    size: int
    message: Any  # None while the body stays in the store
    attempts: int = 0
    deadline: float = 0.0
    ack_id: str = ""
    consumer: Consumer | None = None
    is_copy: bool = False  # a duplicate that a fault plan asked for
    is_lost: bool = False  # a delivery that a fault plan withheld
    is_acked: bool = False  # acknowledged before something earlier of its key


@dataclass(slots=True, eq=False)
class _Lane:
    waiting: deque[Item] = field(default_factory=deque)
    out: deque[Item] = field(default_factory=deque)
    is_blocked: bool = False
    listed: deque[str] | None = None

    @property
    def is_open(self) -> bool:
        """Nothing overtakes a lost delivery: its lease has to run out first."""
        lost = bool(self.out) and self.out[-1].is_lost
        return bool(self.waiting) and not self.is_blocked and not lost


class Waiting:
    """Gives out messages so that one key's are always with one consumer, in order."""

    def __init__(self) -> None:
        self._queue: deque[Item] = deque()
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[str] = deque()
        self.count = 0

    def add(self, item: Item) -> None:
        self.count += 1
        if not item.key:
            self._queue.append(item)
            return
        lane = self._lanes.get(item.key)
        if lane is None:
            lane = self._lanes[item.key] = _Lane()
        lane.waiting.append(item)
        if lane.listed is None:
            self._list(item.key, lane)

    def next(self, consumer: Consumer) -> Item | None:
        """Take what this consumer may have next, or None."""
        item = self._next_of(consumer.keys, consumer) or self._next_of(self._ready, consumer)
        if item is None and self._queue:
            item = self._queue.popleft()
        if item is not None:
            self.count -= 1
        return item

    def settle(self, item: Item, *, at_once: bool) -> list[Item]:
        """Return what may now be forgotten.

        A message that is acknowledged before an earlier one of its key comes again
        with that one if it fails, unless acknowledgements are final `at_once`.
        """
        lane = self._lanes.get(item.key) if item.key else None
        if lane is None:
            return [item]
        item.is_acked = True
        done: list[Item] = []
        if at_once:
            lane.out.remove(item)
            done.append(item)
        while lane.out and lane.out[0].is_acked:
            done.append(lane.out.popleft())
        self._freed(item.key, lane)
        return done

    def recall(self, item: Item) -> list[Item]:
        """Take back a failed message; returns all that was given out after it, in order."""
        lane = self._lanes.get(item.key) if item.key else None
        if lane is None:
            return []
        later: deque[Item] = deque()
        while lane.out and (last := lane.out.pop()) is not item:
            later.appendleft(last)
        self._freed(item.key, lane)
        return list(later)

    def put_back(self, items: list[Item]) -> None:
        """Have items of one key, or one without, go first again."""
        self.count += len(items)
        key = items[0].key
        if not key:
            self._queue.extendleft(reversed(items))
            return
        lane = self._lanes.setdefault(key, _Lane())
        lane.waiting.extendleft(reversed(items))
        self._list(key, lane)

    def block(self, key: str) -> None:
        self._lanes[key].is_blocked = True

    def unblock(self, key: str) -> None:
        lane = self._lanes.get(key)
        if lane is not None:
            lane.is_blocked = False
            self._freed(key, lane)

    def clear(self) -> None:
        self._queue.clear()
        self._lanes.clear()
        self._ready.clear()
        self.count = 0

    def _next_of(self, keys: deque[str], consumer: Consumer) -> Item | None:
        while keys:
            key = keys[0]
            lane = self._lanes.get(key)
            if lane is None or lane.listed is not keys:
                keys.popleft()  # listed elsewhere since
                continue
            holder = lane.out[0].consumer if lane.out else consumer
            if not lane.is_open or holder is not consumer:
                keys.popleft()
                self._leave_to(holder, key, lane)
                continue
            item = lane.waiting.popleft()
            lane.out.append(item)
            item.consumer = consumer
            self._turn(keys, lane)
            return item
        return None

    def _turn(self, keys: deque[str], lane: _Lane) -> None:
        """Keys take turns, so that a long one does not hold up the rest."""
        if lane.waiting:
            keys.rotate(-1)
        else:
            keys.popleft()
            lane.listed = None

    def _leave_to(self, holder: Consumer | None, key: str, lane: _Lane) -> None:
        if holder is None or not lane.is_open:
            lane.listed = None  # until leases end
        else:
            lane.listed = holder.keys
            holder.keys.append(key)

    def _freed(self, key: str, lane: _Lane) -> None:
        if lane.waiting:
            if not lane.out or lane.listed is None:
                self._list(key, lane)
        elif not lane.out and not lane.is_blocked:
            del self._lanes[key]

    def _list(self, key: str, lane: _Lane) -> None:
        if lane.is_open and lane.listed is not self._ready:
            lane.listed = self._ready
            self._ready.append(key)

"""Messages that consumers hold, and the one timer that says what is due."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator

from libs.local_cloud.pubsub_lanes import Item


class Leases:
    """Who holds what, by acknowledgement id, until when."""

    def __init__(self) -> None:
        self._out: dict[str, Item] = {}
        self._ends: list[tuple[float, str]] = []
        self._numbers = itertools.count(1)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._out.values())

    def give(self, item: Item, until: float) -> None:
        item.ack_id = f"{item.id}:{next(self._numbers)}"
        self._out[item.ack_id] = item
        self._end_at(item, until)

    def extend(self, ack_id: str, until: float) -> bool:
        item = self._out.get(ack_id)
        if item is None:
            return False
        self._end_at(item, until)
        return True

    def end(self, ack_id: str) -> Item | None:
        """Take a lease back and give its room to the consumer again."""
        item = self._out.pop(ack_id, None)
        if item is not None and item.consumer is not None:
            item.consumer.messages -= 1
            item.consumer.bytes -= item.size
        return item

    def first_end(self) -> float | None:
        while self._ends and not self._is_in_force(*self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def ended(self, now: float) -> Iterator[Item]:
        while (first := self.first_end()) is not None and first <= now:
            item = self.end(self._ends[0][1])
            if item is not None:
                yield item

    def clear(self) -> None:
        for ack_id in list(self._out):
            self.end(ack_id)
        self._ends.clear()

    def _end_at(self, item: Item, until: float) -> None:
        item.deadline = until
        heapq.heappush(self._ends, (until, item.ack_id))

    def _is_in_force(self, deadline: float, ack_id: str) -> bool:
        item = self._out.get(ack_id)
        return item is not None and item.deadline == deadline


class Alarm:
    """One timer on the event loop, for the earliest time that was asked for."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        return self._loop.time()

    def set(self, *times: float | None) -> None:
        due = min((time for time in times if time is not None), default=None)
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        self.cancel()
        self._timer = self._loop.call_at(due, self._fire)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._ring()

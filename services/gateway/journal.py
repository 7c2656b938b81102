"""What happened in one run, in the one order that every instance tells it in.

Scheduler and executor publish on topics of their own, so their events arrive in
any order, late or twice. Each has a position that follows from what it says:
(attempt, phase, sequence). It is told when all that comes before it has been
told; what comes too late, of an attempt that was given up, is left out. So a
position means the same to another instance, and after a restart.
"""

from bisect import insort
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from contracts.envelope import Envelope
from contracts.message import Message
from contracts.runs import (
    AttemptFinishedV1,
    AttemptReturnedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
)

Position = tuple[int, int, int]
START: Position = (-1, 0, 0)
_BEGIN, _GOING, _END = 0, 1, 2
HOLD = timedelta(seconds=2)
"""How long an end waits here for what the executor said before it."""
GAP = timedelta(seconds=30)
"""How long what comes after a gap waits for what is missing; an end that can only follow from
what the executor said waits as long."""
HELD_BYTES = 1024
"""About what an event takes that is not told yet."""
QUIET = frozenset({"attempt.heartbeat.v1"})
"""Counted, for the order, and not told."""
_UNTOLD = {
    "definition",
    "datasets",
    "tenant_id",
    "max_bytes_billed",
    "lease_seconds",
    "begin_seconds",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of a run, live or as it was recorded."""

    event_id: str
    type: str
    time: datetime
    cause: str
    sequence: int
    message: Message | None
    """None for what holds a place in the order and is not told."""
    since: datetime
    """When it was heard here or recorded: since then, what belongs before it may come too."""

    @classmethod
    def of(cls, envelope: Envelope, message: Message, now: datetime) -> "Heard":
        return cls(
            envelope.id,
            envelope.type,
            envelope.time,
            envelope.causation_id,
            envelope.sequence,
            None if envelope.type in QUIET else message,
            now,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that has been told, as server-sent events carry it."""

    position: Position
    frame: bytes
    is_end: bool


@dataclass(slots=True)
class Journal:
    """One run's events, put in order. For one event loop."""

    entries: list[Entry] = field(default_factory=list)
    whole: bool = False
    """Whether its beginning was heard here, or fetched."""
    _bytes: int = 0
    _waiting: dict[Position, Heard] = field(default_factory=dict)
    _orphans: dict[tuple[str, int], Heard] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _attempts: dict[str, int] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _last: Position = START

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return self._bytes + HELD_BYTES * (len(self._waiting) + len(self._orphans))

    @property
    def has_ended(self) -> bool:
        return bool(self.entries) and self.entries[-1].is_end and not self._waiting

    @property
    def lacks_something(self) -> bool:
        """Whether what is recorded may help: a beginning, or what fills a gap."""
        return not self.whole or bool(self._waiting) or bool(self._orphans)

    def take(self, heard: Heard) -> None:
        """Give it its place; `release` tells it."""
        position = self._position(heard)
        if position is None:
            self._orphans.setdefault((heard.cause, heard.sequence), heard)
            return
        if position > self._last:
            self._waiting.setdefault(position, heard)
        elif position[0] == self._last[0]:
            self._keep(position, heard)  # too late for who follows now, not for who comes later
        if isinstance(heard.message, RunRequestedV1):
            self._adopt(heard.event_id, heard.message.attempt)

    def release(self, now: datetime) -> bool:
        """Tell what has nothing before it left to wait for; True when there was something."""
        before = len(self._told)
        while self._waiting:
            position = min(self._waiting)
            heard = self._waiting[position]
            if not self._is_next(position, heard, now - heard.since):
                break
            del self._waiting[position]
            self._tell(position, heard)
        return len(self._told) > before

    def after(self, position: Position) -> list[Entry]:
        """What was told behind a position."""
        found = len(self.entries)
        while found and self.entries[found - 1].position > position:
            found -= 1
        return self.entries[found:]

    def _position(self, heard: Heard) -> Position | None:
        match heard.message:
            case RunQueuedV1():
                return (0, _BEGIN, 0)
            case RunRejectedV1():
                return (0, _END, 0)
            case RunRequestedV1(attempt=attempt):
                return (attempt, _BEGIN, 0)
            case RunFinishedV1(attempt=attempt):
                return (attempt, _END, 0)
        attempt = self._attempts.get(heard.cause, -1)
        return None if attempt < 0 else (attempt, _GOING, heard.sequence)

    def _adopt(self, cause: str, attempt: int) -> None:
        self._attempts[cause] = attempt
        for key in [key for key in self._orphans if key[0] == cause]:
            self.take(self._orphans.pop(key))

    def _is_next(self, position: Position, heard: Heard, age: timedelta) -> bool:
        attempt, phase, sequence = position
        if phase == _GOING:
            follows = self._last == (attempt, _GOING, sequence - 1)
            first = sequence == 1 and self._last == (attempt, _BEGIN, 0)
            return follows or first or age > GAP
        if phase == _BEGIN:
            return attempt <= 1 or self._last[1] == _END or self._over(attempt - 1, age)
        if _follows_from_an_attempt(heard.message):
            return attempt in self._ended or age > GAP
        return attempt == 0 or self._over(attempt, age)

    def _over(self, attempt: int, age: timedelta) -> bool:
        return attempt in self._ended or age > HOLD

    def _tell(self, position: Position, heard: Heard) -> None:
        self._last = position
        if isinstance(heard.message, AttemptFinishedV1 | AttemptReturnedV1):
            self._ended.add(position[0])
        self._keep(position, heard)

    def _keep(self, position: Position, heard: Heard) -> None:
        if heard.message is None or heard.event_id in self._told:
            return
        self._told.add(heard.event_id)
        is_end = position[1] == _END
        entry = Entry(position, _frame(position, heard, heard.message), is_end)
        self._bytes += len(entry.frame)
        insort(self.entries, entry, key=lambda kept: kept.position)


def _follows_from_an_attempt(message: Message | None) -> bool:
    return isinstance(message, RunFinishedV1) and message.status is RunStatus.COMPLETED


def begins(message: Message) -> bool:
    """Whether who hears this has missed nothing of the run."""
    if isinstance(message, RunRequestedV1):
        return message.attempt == 1
    return isinstance(message, RunQueuedV1 | RunRejectedV1)


def parse_position(text: str) -> Position:
    """Raises `ValueError`."""
    attempt, phase, sequence = (int(part) for part in text.split("."))
    return (attempt, phase, sequence)


def _frame(position: Position, heard: Heard, message: Message) -> bytes:
    body = {
        "type": heard.type,
        "time": heard.time.isoformat(),
        **message.model_dump(mode="json", exclude=_UNTOLD, exclude_none=True),
    }
    name = ".".join(map(str, position))
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        name.encode(),
        heard.type.encode(),
        orjson.dumps(body),
    )

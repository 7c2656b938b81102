"""The slot log: an append-only log per stream with one atomic rule.

Slot n of a stream can be created once. Everything durable that a service
decides is such a record; see docs/decisions/0001-slot-log.md.

    SlotLogError
    ├── UnknownOutcomeError   the write may or may not have happened: read the slot
    ├── UnreadableRecordError a record of another format
    └── ExpiredError          only another release can read this stream
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson

from contracts.envelope import Wire
from libs.outages import OutageError

JsonObject = Mapping[str, Any]

FORMAT = 1


class SlotLogError(Exception):
    """Base of what a slot log raises."""


class UnknownOutcomeError(SlotLogError, OutageError):
    """An append whose reply was lost. Only reading the slot tells who won it."""

    def __init__(self, stream: str, slot: int, reason: str) -> None:
        self.stream, self.slot = stream, slot
        super().__init__(f"appending slot {slot} of {stream} has an unknown outcome: {reason}")


class UnreadableRecordError(SlotLogError):
    """A stored record that this release cannot read."""

    def __init__(self, found: object) -> None:
        super().__init__(f"record of format {found!r}: this release reads format {FORMAT}")


class ExpiredError(SlotLogError):
    """The log no longer begins at its first slot, and its snapshot is of another release."""

    def __init__(self, stream: str, slot: int) -> None:
        super().__init__(
            f"the snapshot of {stream} at slot {slot} was made by rules of another version, and"
            " records before it have expired: run the release that made it, or one that reads it"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What one input led to: the state's changes and the messages to publish."""

    cause: str
    facts: tuple[JsonObject, ...]
    emits: tuple[Wire, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """Inbox, outbox and state change of a batch of inputs, in one atomic write."""

    commit_id: str
    at: datetime
    entries: tuple[Entry, ...]

    def encode(self) -> bytes:
        body = {
            "format": FORMAT,
            "commit_id": self.commit_id,
            "at": self.at.isoformat(),
            "entries": [
                {
                    "cause": entry.cause,
                    "facts": list(entry.facts),
                    "emits": [_dump_wire(wire) for wire in entry.emits],
                }
                for entry in self.entries
            ],
        }
        return orjson.dumps(body)

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        body = orjson.loads(data)
        if body.get("format") != FORMAT:
            raise UnreadableRecordError(body.get("format"))
        entries = tuple(
            Entry(
                entry["cause"],
                tuple(entry["facts"]),
                tuple(_load_wire(wire) for wire in entry["emits"]),
            )
            for entry in body["entries"]
        )
        return cls(body["commit_id"], datetime.fromisoformat(body["at"]), entries)


@dataclass(frozen=True, slots=True)
class Written:
    """The slot is ours."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The slot was somebody's already."""

    existing: Record


class SlotLog(Protocol):
    """The port. Safe to share between tasks."""

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        """Create the slot, or learn what is in it; raises `UnknownOutcomeError`."""

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        """Return the contiguous records that follow slot `after`, oldest first."""

    async def oldest(self, stream: str) -> tuple[int, Record] | None:
        """Return the first record that there still is."""

    async def expire(self, stream: str, below: int, before: datetime) -> int:
        """Delete records made before, oldest first, of slots below; returns how many.

        Only what a snapshot covers may go: from then on it is all that is known of it.
        """

    async def save_snapshot(self, stream: str, slot: int, state: bytes) -> None:
        """Keep the state as of a slot; older snapshots but one may go."""

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None: ...

    async def streams(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Return a page of stream names below a prefix, in order."""

    async def check(self) -> None:
        """Raise `SlotLogError`, saying what is missing, unless the log can be used."""


def _dump_wire(wire: Wire) -> JsonObject:
    return {
        "attributes": dict(wire.attributes),
        "data": wire.data.decode(),
        "ordering_key": wire.ordering_key,
    }


def _load_wire(body: JsonObject) -> Wire:
    return Wire(body["attributes"], body["data"].encode(), body["ordering_key"])

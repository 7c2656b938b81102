"""The queue of inputs of one stream, with what is known of the stream."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic

from contracts.envelope import Wire
from contracts.message import Kind
from libs.slotlog.decider import S
from libs.slotlog.log import SlotLog, UnknownOutcomeError
from libs.slotlog.stream import Input, Stream

LOG = logging.getLogger(__name__)
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What keeps a writer's memory and records bounded."""

    batch: int = 100
    snapshot_every: int = 100
    streams: int = 10_000
    bytes: int = 160 << 20
    """Of all cached states, as they would be written; in memory they take some four times that."""
    inbox: int = 10_000


@dataclass(slots=True)
class Waiting:
    given: Input
    answer: "asyncio.Future[tuple[Wire, ...]]"


@dataclass(slots=True)
class Lane(Generic[S]):
    """One stream's queue of inputs, its cached state, and the task that works it off."""

    stream: Stream[S]
    loaded: bool = False
    known_at: datetime | None = None
    """When it was last known that nothing newer was written."""
    weight: int = 0
    """What it counts for among the bytes of all."""
    queue: list[Waiting] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: asyncio.Task[None] | None = None
    unknown: int = 0
    """How many appends for these inputs had an unknown outcome."""

    async def pause_after(self, error: UnknownOutcomeError) -> None:
        """A reply may be lost at any time; if the next is too, the log cannot be written now."""
        LOG.warning("%s", error)
        self.unknown += 1
        if self.unknown > 1:
            await asyncio.sleep(min(SHORTEST_PAUSE * 2 ** (self.unknown - 2), LONGEST_PAUSE))

    @property
    def idle(self) -> bool:
        return not self.queue and not self.lock.locked() and self.worker is None


def resolve(waiting: Waiting, wires: tuple[Wire, ...]) -> None:
    """A reply that is said again goes to who asks now."""
    if not waiting.answer.done():
        asker = waiting.given.envelope.reply_to
        waiting.answer.set_result(tuple(_addressed(wire, asker) for wire in wires))


def _addressed(wire: Wire, asker: str) -> Wire:
    if not asker or wire.attributes.get("ce-kind") != Kind.REPLY:
        return wire
    return replace(wire, attributes={**wire.attributes, "ce-replyto": asker})


def fail(batch: list[Waiting], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            with contextlib.suppress(asyncio.InvalidStateError):
                waiting.answer.set_exception(
                    error if isinstance(error, Exception) else asyncio.CancelledError()
                )


async def keep_snapshot(log: SlotLog, stream: str, slot: int, state: bytes) -> None:
    """Only a shorter way to a state: without it the records are read."""
    try:
        await log.save_snapshot(stream, slot, state)
    except Exception:
        LOG.exception("no snapshot of %s at slot %d; its log is read instead", stream, slot)

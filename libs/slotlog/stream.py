"""The cached state of one stream, and the rules by which a record changes it."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic
from uuid import NAMESPACE_URL, UUID, uuid5

from contracts.envelope import Envelope, Wire, seal
from contracts.message import Kind, Message, Service
from libs.slotlog.decider import Decider, Decision, S
from libs.slotlog.log import Entry, Record

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/slot-log")


@dataclass(frozen=True, slots=True)
class Input:
    """A message to decide, with the envelope it came in."""

    message: Message
    envelope: Envelope
    step: str = ""
    """Tells apart the decisions that one message needs, one after another."""

    @property
    def cause(self) -> str:
        return f"{self.envelope.id}/{self.step}" if self.step else self.envelope.id


class Stream(Generic[S]):
    """State and inbox of one stream as of its last known slot. Not thread-safe."""

    def __init__(self, decider: Decider[S], inbox_size: int) -> None:
        self._decider = decider
        self._inbox_size = inbox_size
        self._inbox: OrderedDict[str, int] = OrderedDict()
        self.state = decider.initial()
        self.slot = 0
        self.size = 0
        """Bytes of its state, about: exact when it was read or written whole."""
        self.whole = 0
        """How many there were when it was."""
        self.whole_at = 0
        """The slot of that."""

    def slot_of(self, cause: str) -> int | None:
        """Return the slot that answered an input, if it is among the last ones."""
        return self._inbox.get(cause)

    def apply(self, slot: int, record: Record) -> None:
        state = self.state
        for entry in record.entries:
            for fact in entry.facts:
                state = self._decider.evolve(state, self._decider.load_fact(fact))
        self.advance(slot, record, state)

    def advance(self, slot: int, record: Record, state: S) -> None:
        """Take a record whose outcome is known already."""
        self.state = state
        for entry in record.entries:
            self._inbox[entry.cause] = slot
            self.size += len(entry.cause) + sum(len(wire.data) for wire in entry.emits)
        while len(self._inbox) > self._inbox_size:
            self._inbox.popitem(last=False)
        self.slot = slot

    def dump(self) -> bytes:
        state = self._decider.dump_state(self.state)
        inbox = json.dumps(list(self._inbox.items()), separators=(",", ":")).encode()
        data = b'{"version":%d,"state":%b,"inbox":%b}' % (self._decider.version, state, inbox)
        self._is_whole(data)
        return data

    def load(self, slot: int, data: bytes) -> bool:
        """Take a snapshot; False when it was made by other rules and cannot be used."""
        body = json.loads(data)
        if body["version"] != self._decider.version:
            return False
        self.state = self._decider.load_state(body["state"])
        self._inbox = OrderedDict((cause, at) for cause, at in body["inbox"])
        self.slot = slot
        self._is_whole(data)
        return True

    def _is_whole(self, data: bytes) -> None:
        self.size = self.whole = len(data)
        self.whole_at = self.slot


def is_worth_recording(decision: Decision) -> bool:
    """Replies alone can be worked out again; facts and events must be kept."""
    return bool(decision.facts) or any(m.kind is not Kind.REPLY for m in decision.emits)


def seal_decision(  # noqa: PLR0913  each is one part of an envelope
    decision: Decision,
    given: Input,
    *,
    service: Service,
    seed: UUID,
    at: datetime,
    sequence: int,
) -> tuple[Wire, ...]:
    """Put what was decided into envelopes that answer their input."""
    return tuple(
        _seal(
            message,
            given.envelope,
            service=service,
            id_=str(uuid5(seed, str(index))),
            at=at,
            sequence=sequence + index,
        )
        for index, message in enumerate(decision.emits)
        if message.kind is not Kind.REPLY or given.envelope.reply_to
    )


def entry_for(decision: Decision, given: Input, wires: Sequence[Wire]) -> Entry:
    return Entry(
        given.cause,
        tuple(fact.model_dump(mode="json") for fact in decision.facts),
        tuple(wires),
    )


def _seal(  # noqa: PLR0913  each is one part of an envelope
    message: Message,
    cause: Envelope,
    *,
    service: Service,
    id_: str,
    at: datetime,
    sequence: int,
) -> Wire:
    envelope = Envelope(
        id=id_,
        type=message.wire_type,
        kind=message.kind,
        source=service.value,
        time=at,
        tenant_id=message.scope or "",
        correlation_id=cause.correlation_id or cause.id,
        causation_id=cause.id,
        sequence=sequence,
        to=message.to,
        reply_to=cause.reply_to if message.kind is Kind.REPLY else "",
        traceparent=cause.traceparent,
    )
    return seal(envelope, message)

"""What passes between a service and its bus."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from contracts.envelope import Envelope, Wire
from contracts.message import Message
from libs.telemetry.trace import Trace

BODY_BYTES = "dead-body-bytes"
"""Attribute of a dead letter that had to be kept without its body: how large that was."""


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery as the transport hands it over, not yet opened."""

    subscription: str
    message_id: str
    publish_time: datetime
    attributes: Mapping[str, str]
    data: bytes
    ordering_key: str = ""
    attempt: int = 1
    """How often this message has been delivered, counting from 1."""
    at: float = field(default_factory=time.monotonic, compare=False)
    """When it came, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know about the message beside its body."""

    envelope: Envelope
    attempt: int = 1


class Outgoing(NamedTuple):
    """A message with something of its envelope decided by the handler.

    An absent `id` is derived from the message that is being handled, so that a
    redelivery publishes the same ids again.
    """

    message: Message
    id: str = ""
    sequence: int = 0
    reply_to: str = ""
    """Of a question: the instance that waits for what comes of it, when it is not this one."""
    at: datetime | None = None
    """When it happened, where that is told later; and what it was part of then."""
    span: Trace | None = None
    within: float = 0.0
    """Of a question: how many seconds somebody waits for its answer."""


Emit = Message | Outgoing | Wire
"""What a handler may return. A `Wire` is published as it is."""

"""The envelope of every message: CloudEvents 1.0 in binary mode, as Pub/Sub attributes.

Cloud Scheduler can send only fixed attributes and a fixed body, so a message
without `ce-id` or `ce-time` takes Pub/Sub's own message id and publish time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contracts.message import Kind, Message

SPEC_VERSION = "1.0"
MOST_SEQUENCE_DIGITS = 18
CONTENT_TYPE = "application/json"


class EnvelopeError(ValueError):
    """An attribute that is missing or malformed; names it and what was expected."""

    def __init__(self, attribute: str, expected: str, found: str | None) -> None:
        self.attribute = attribute
        got = "it is missing" if found is None else f"found {found[:80]!r}"
        super().__init__(f"attribute {attribute}: expected {expected}, {got}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who said what, when, to whom and why."""

    id: str
    type: str
    kind: Kind
    source: str
    """The publishing service, e.g. `scheduler`."""
    time: datetime
    tenant_id: str = ""
    """Empty for messages that belong to no tenant."""
    correlation_id: str = ""
    """Shared by everything that one outside request caused."""
    causation_id: str = ""
    """The id of the message that this one answers or follows from."""
    sequence: int = 0
    """Grows within one source and tenant for decisions, within one run for steps."""
    to: str = ""
    reply_to: str = ""
    """On a question: the instance that waits. On a reply: the instance it goes to."""
    expires: datetime | None = None
    """On a question that changes nothing: until when somebody waits for its answer."""
    traceparent: str = ""

    @property
    def patience(self) -> timedelta | None:
        """How long its asker waits: by one clock, that of who asked. Commands are done anyway."""
        if self.expires is None or self.kind is not Kind.QUERY:
            return None
        return self.expires - self.time


@dataclass(frozen=True, slots=True)
class Wire:
    """A message as Pub/Sub carries it. Equal wires are the same message, sent again."""

    attributes: Mapping[str, str]
    data: bytes
    ordering_key: str = ""


def seal(envelope: Envelope, message: Message, ordering_key: str | None = None) -> Wire:
    """Put a message into its envelope; without a key of its own it is in its tenant's order."""
    optional = {
        "ce-tenantid": envelope.tenant_id,
        "ce-correlationid": envelope.correlation_id,
        "ce-causationid": envelope.causation_id,
        "ce-sequence": str(envelope.sequence) if envelope.sequence else "",
        "ce-to": envelope.to,
        "ce-replyto": envelope.reply_to,
        "ce-expirytime": _written(envelope.expires) if envelope.expires else "",
        "traceparent": envelope.traceparent,
    }
    attributes = {
        "content-type": CONTENT_TYPE,
        "ce-specversion": SPEC_VERSION,
        "ce-id": envelope.id,
        "ce-type": envelope.type,
        "ce-kind": envelope.kind.value,
        "ce-source": envelope.source,
        "ce-time": _written(envelope.time),
        **{name: value for name, value in optional.items() if value},
    }
    key = envelope.tenant_id if ordering_key is None else ordering_key
    return Wire(attributes, message.encode(), key)


def open_envelope(
    attributes: Mapping[str, str], *, message_id: str, publish_time: datetime
) -> Envelope:
    """Read the attributes; raises `EnvelopeError` for the first that cannot be used."""
    _check_version(attributes.get("ce-specversion", SPEC_VERSION))
    return Envelope(
        id=attributes.get("ce-id") or message_id,
        type=_required(attributes, "ce-type"),
        kind=_kind(attributes),
        source=_required(attributes, "ce-source"),
        time=_time("ce-time", attributes.get("ce-time")) or publish_time,
        tenant_id=attributes.get("ce-tenantid", ""),
        correlation_id=attributes.get("ce-correlationid", ""),
        causation_id=attributes.get("ce-causationid", ""),
        sequence=_sequence(attributes.get("ce-sequence")),
        to=attributes.get("ce-to", ""),
        reply_to=attributes.get("ce-replyto", ""),
        expires=_time("ce-expirytime", attributes.get("ce-expirytime")),
        traceparent=attributes.get("traceparent", ""),
    )


def _check_version(value: str) -> None:
    if value != SPEC_VERSION:
        raise EnvelopeError("ce-specversion", SPEC_VERSION, value)


def _required(attributes: Mapping[str, str], name: str) -> str:
    if value := attributes.get(name):
        return value
    raise EnvelopeError(name, "a value", None)


def _kind(attributes: Mapping[str, str]) -> Kind:
    value = _required(attributes, "ce-kind")
    try:
        return Kind(value)
    except ValueError:
        raise EnvelopeError("ce-kind", "one of " + ", ".join(Kind), value) from None


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(attribute: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise EnvelopeError(attribute, "an RFC 3339 time", value) from None
    if found.tzinfo is None:
        raise EnvelopeError(attribute, "a time with an offset", value)
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise EnvelopeError(attribute, "a time that exists in UTC", value) from None


def _sequence(value: str | None) -> int:
    if value is None:
        return 0
    if not (value.isascii() and value.isdecimal()) or len(value) > MOST_SEQUENCE_DIGITS:
        raise EnvelopeError(
            "ce-sequence", f"a whole number of at most {MOST_SEQUENCE_DIGITS} digits", value
        )
    return int(value)

"""What every message is: a frozen model with a wire type and a kind.

Producers are strict: a message is validated when it is made and unknown fields
are refused. Consumers are tolerant: `decode` ignores fields it does not know.
"""

from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.identifiers import TenantId

Utc = AwareDatetime

EVERY_SERVICE = "*"


class Service(StrEnum):
    """Who may publish. `TICKS` is Cloud Scheduler, which publishes and never consumes."""

    GATEWAY = "gateway"
    TENANT = "tenant"
    SCHEDULER = "scheduler"
    EXECUTOR = "executor"
    AUDIT_LOG = "audit-log"
    TICKS = "ticks"


class Kind(StrEnum):
    COMMAND = "command"
    EVENT = "event"
    QUERY = "query"
    REPLY = "reply"


class Part(BaseModel):
    """A value inside a message: frozen, strict when made, tolerant when decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse JSON, ignoring unknown fields at every depth; raises `ValidationError`."""
        return cls.model_validate_json(data, extra="ignore")

    def encode(self) -> bytes:
        return self.model_dump_json().encode()


class Message(Part):
    """Base of all messages. Subclasses name their wire type: `class X(Event, type="x.v1")`."""

    wire_type: ClassVar[str]
    kind: ClassVar[Kind]
    to: ClassVar[str] = ""
    """The one service a command or query is addressed to; empty for events and replies."""

    def __init_subclass__(cls, *, type: str = "", to: str = "", **rest: Any) -> None:  # noqa: A002  reads as the wire says
        super().__init_subclass__(**rest)
        if type:
            cls.wire_type = type
            cls.to = str(to)

    @classmethod
    def __pydantic_init_subclass__(cls, **rest: Any) -> None:
        """Take the class keywords that `__init_subclass__` has already used."""

    @property
    def scope(self) -> TenantId | None:
        """The tenant this message belongs to, whose messages are kept in order."""
        return getattr(self, "tenant_id", None)


class Command(Message):
    """Asks its one owner to change something; answered by an event or `command.refused.v1`."""

    kind = Kind.COMMAND


class Event(Message):
    """A fact, in the past tense, told to whoever cares."""

    kind = Kind.EVENT


class Query(Message):
    """Asks its owner for something and changes nothing; answered by a reply."""

    kind = Kind.QUERY


class Reply(Message):
    """Answers one question and goes to the instance that asked it."""

    kind = Kind.REPLY

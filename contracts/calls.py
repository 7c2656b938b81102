"""The audit trail: who did what to whom, and what came of it."""

from enum import StrEnum

from pydantic import Field

from contracts.identifiers import TenantId
from contracts.message import Event


class ActorKind(StrEnum):
    TENANT = "tenant"
    ADMIN = "admin"
    SELF = "self"
    """A guest who comes in by the open door."""


class CallOutcome(StrEnum):
    DONE = "done"
    ACCEPTED = "accepted"
    """Begun; what comes of it is told by events with the same trace."""
    REFUSED = "refused"
    FAILED = "failed"


class CallAnsweredV1(Event, type="call.answered.v1"):
    """Somebody whose key was good asked for a change over HTTP."""

    tenant_id: TenantId | None = None
    """Whom it is about; absent when it is about the platform."""
    actor: ActorKind
    key: str = Field(default="", max_length=64)
    """The end of a tenant's key, or the fingerprint of an operator's; never a key."""
    user_id: str = Field(default="", max_length=200)
    """What the client said of itself, which nobody has checked."""
    method: str
    route: str
    target: dict[str, str] = Field(default_factory=dict)
    """What the path named, e.g. `{"config_id": "nightly"}`."""
    outcome: CallOutcome
    status: int
    code: str = ""
    """Why, when it was refused or failed."""
    request_id: str = ""
    count: int = Field(default=1, ge=1)
    """How many calls it stands for: of those that were too many, one a minute is told."""

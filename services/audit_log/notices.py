"""A tenant's webhooks and what is due to them, as one stream says."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts.identifiers import RunId, TenantId, WebhookId
from contracts.message import Message, Utc
from contracts.webhooks import Notice, WebhookPart

REMEMBERED = 100


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


class Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Webhook(Value):
    url: str = Field(repr=False)
    notices: tuple[Notice, ...]
    description: str = ""
    is_active: bool = True
    version: int = 1
    previous_until: Utc | None = None
    """Until when the version before this one signs too."""
    earlier: dict[int, Utc] = Field(default_factory=dict)
    """Until when others still sign: each was promised its own time."""
    created_at: Utc
    dropped: int = 0
    """Notices that were never due, because too many were waiting."""

    def signing_versions(self, now: datetime) -> list[int]:
        """The newest first."""
        until = {**self.earlier, self.version - 1: self.previous_until}
        older = sorted(v for v, end in until.items() if end is not None and end > now)
        return [self.version, *reversed(older)]


class Due(Value):
    """A notice that is to be delivered."""

    webhook_id: WebhookId
    notice: Notice
    body: str
    run_id: RunId | None = None
    tries: int = 0
    next_at: Utc
    taken_by: str = ""


class State(Value):
    webhooks: dict[WebhookId, Webhook] = Field(default_factory=dict)
    due: dict[str, Due] = Field(default_factory=dict)
    past: dict[str, Due] = Field(default_factory=dict)
    """The last ones that were delivered or given up, to be sent again when asked for."""
    deleted: tuple[WebhookId, ...] = ()
    """The last ones: a command that comes late makes none of them anew."""
    told: dict[str, str] = Field(default_factory=dict)
    """What is told once in a period, with the period it was last told in."""

    def parts(self) -> Iterator[WebhookPart]:
        for webhook_id, webhook in self.webhooks.items():
            yield WebhookPart(
                webhook_id=webhook_id,
                host=host_of(webhook.url),
                notices=webhook.notices,
                description=webhook.description,
                is_active=webhook.is_active,
                secret_version=webhook.version,
                previous_secret_until=webhook.previous_until,
                waiting=sum(due.webhook_id == webhook_id for due in self.due.values()),
                dropped=webhook.dropped,
                created_at=webhook.created_at,
            )


class WebhookKept(Value):
    kind: Literal["webhook_kept"] = "webhook_kept"
    webhook_id: WebhookId
    webhook: Webhook


class WebhookDropped(Value):
    kind: Literal["webhook_dropped"] = "webhook_dropped"
    webhook_id: WebhookId


class DueSet(Value):
    kind: Literal["due_set"] = "due_set"
    notice_id: str
    due: Due


class DueEnded(Value):
    kind: Literal["due_ended"] = "due_ended"
    notice_id: str


class Told(Value):
    kind: Literal["told"] = "told"
    what: str
    period: str


AnyFact = Annotated[
    WebhookKept | WebhookDropped | DueSet | DueEnded | Told, Field(discriminator="kind")
]
FACTS: TypeAdapter[Value] = TypeAdapter(AnyFact)


class Tell(Message):
    """Not a contract: something has happened that webhooks may want to know of."""

    tenant_id: TenantId
    notice: Notice
    subject: str
    """The same for the same occurrence, so that it is told once."""
    at: Utc
    data: dict[str, Any]
    run_id: RunId | None = None
    published_at: Utc | None = None
    period: str = ""
    """With it, told once in this period, whatever is remembered of single notices."""


class Take(Message):
    """Not a contract: an instance is about to try."""

    tenant_id: TenantId
    notice_id: str
    by: str


class Tried(Message):
    """Not a contract: what came of a try."""

    tenant_id: TenantId
    notice_id: str
    by: str
    delivered: bool
    http_status: int = 0
    duration_ms: int = 0
    detail: str = ""
    sent_at: Utc


def evolve(state: State, fact: BaseModel) -> State:
    """Apply one fact; total over every kind of fact."""
    match fact:
        case WebhookKept(webhook_id=name, webhook=webhook):
            return state.model_copy(update={"webhooks": {**state.webhooks, name: webhook}})
        case WebhookDropped(webhook_id=name):
            return State(
                webhooks={k: v for k, v in state.webhooks.items() if k != name},
                due={k: v for k, v in state.due.items() if v.webhook_id != name},
                past={k: v for k, v in state.past.items() if v.webhook_id != name},
                deleted=(*state.deleted, name)[-REMEMBERED:],
                told=state.told,
            )
        case DueSet(notice_id=name, due=due):
            past = {k: v for k, v in state.past.items() if k != name}
            return state.model_copy(update={"due": {**state.due, name: due}, "past": past})
        case DueEnded(notice_id=name):
            left = {k: v for k, v in state.due.items() if k != name}
            kept = list({**state.past, name: state.due[name]}.items())[-REMEMBERED:]
            return state.model_copy(update={"due": left, "past": dict(kept)})
        case Told(what=what, period=period):
            return state.model_copy(update={"told": {**state.told, what: period}})
        case _:
            raise TypeError(fact)

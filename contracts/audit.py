"""Questions about what has been recorded."""

from pydantic import Field

from contracts.identifiers import TenantId
from contracts.message import Part, Query, Reply, Service, Utc


class EventRowPart(Part):
    """One recorded message."""

    event_id: str
    event_type: str
    source: str
    event_time: Utc
    sequence: int = 0
    correlation_id: str = ""
    causation_id: str = ""
    data: str
    """The message's JSON, as it was published."""


class ListEventsV1(Query, type="event.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    event_type: str = ""
    correlation_id: str = ""
    from_time: Utc | None = None
    to_time: Utc | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=200)


class EventListV1(Reply, type="event.page.v1"):
    tenant_id: TenantId
    events: tuple[EventRowPart, ...]
    next_after: str = ""

"""Questions about what has been recorded."""

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Event, Kind, Part, Query, Reply, Service, Utc

PLATFORM = TenantId("system")
"""Asked for in a tenant's place: what concerns no tenant. None may have this name."""
CLOCKS_DIFFER = timedelta(hours=1)
"""By at most how much a message may seem to be recorded before it was sent."""


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
    """The message's JSON, as it was published, without ciphertext."""
    kind: str = ""
    tenant_id: str = ""
    run_id: str = ""
    traceparent: str = ""
    recorded_at: Utc | None = None
    chain_id: str = ""
    """The hash chain of one writer and tenant; see services/audit_log/chain.py."""
    chain_position: int = 0
    previous_hash: str = ""
    row_hash: str = ""


class EventOrder(StrEnum):
    TIME = "time"
    """Each message once, as it happened."""
    CHAIN = "chain"
    """Every row as written, chain after chain, to be verified."""


class ListEventsV1(Query, type="event.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    event_type: str = ""
    correlation_id: str = ""
    from_time: Utc | None = None
    to_time: Utc | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)
    run_id: RunId | None = None
    event_kind: Kind | None = None
    source: str = ""
    order: EventOrder = EventOrder.TIME


class EventListV1(Reply, type="event.page.v1"):
    tenant_id: TenantId
    events: tuple[EventRowPart, ...]
    next_after: str = ""
    continues: bool = False
    """The data of the last event is too long for one reply: the next page has more of it."""


class UsagePart(Part):
    """What a tenant ran on one day."""

    day: date
    runs: int
    """Those that count against the limits: admitted and not refunded."""
    succeeded: int
    failed: int
    runs_this_month: int
    """Up to and including this day."""
    refunded: int = 0
    """Admitted, and given back because the platform could not run them."""


class ListUsageV1(Query, type="usage.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    from_date: date | None = None
    to_date: date | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)


class UsageListV1(Reply, type="usage.page.v1"):
    """Newest day first."""

    tenant_id: TenantId
    days: tuple[UsagePart, ...]
    next_after: str = ""


class CostGroup(StrEnum):
    DAY = "day"
    PIPELINE = "pipeline"
    RUN = "run"
    STEP = "step"


class RunCostPart(Part):
    """What the platform itself spent in BigQuery; a field is empty unless grouped by it."""

    day: date | None = None
    config_id: ConfigId | None = None
    run_id: RunId | None = None
    step_id: str = ""
    runs: int
    steps: int
    bytes_billed: int
    slot_ms: int
    duration_ms: int
    cost: Decimal
    currency: str = "USD"


class ListRunCostsV1(Query, type="run_cost.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    group_by: CostGroup = CostGroup.PIPELINE
    config_id: ConfigId | None = None
    run_id: RunId | None = None
    from_date: date | None = None
    to_date: date | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)


class RunCostListV1(Reply, type="run_cost.page.v1"):
    tenant_id: TenantId
    costs: tuple[RunCostPart, ...]
    next_after: str = ""


class ListLineageV1(Query, type="lineage.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    run_id: RunId | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)
    from_time: Utc | None = None
    """When absent: 30 days before `to_time`, or before now; of a run, since it began."""
    to_time: Utc | None = None


class LineageListV1(Reply, type="lineage.page.v1"):
    """Newest first."""

    tenant_id: TenantId
    events: tuple[dict[str, JsonValue], ...]
    """OpenLineage run events, one for each step that has ended."""
    next_after: str = ""


class DeadLetterPart(Part):
    """A message that a service gave up, and why."""

    service: Service
    subscription: str
    message_type: str = ""
    message_id: str
    """The message's own, or Pub/Sub's when it has none that can be read."""
    tenant_id: TenantId | None = None
    """Whose message it was, as far as its envelope could be read."""
    reason: str
    """Names fields and classes, never values."""
    error: str
    """The class of what went wrong."""
    attempt: int
    """Its last delivery, counting from 1."""


class MessageAbandonedV1(Event, type="message.abandoned.v1"):
    """Of the platform, whoever's message it was: reasons are for operators."""

    letter: DeadLetterPart


class DeadLetterRowPart(DeadLetterPart):
    given_up_at: Utc


class ListDeadLettersV1(Query, type="dead_letter.list.v1", to=Service.AUDIT_LOG):
    """Of all tenants."""

    service: Service | None = None
    message_type: str = ""
    from_time: Utc | None = None
    """When absent: 30 days before `to_time`, or before now."""
    to_time: Utc | None = None
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)


class DeadLetterListV1(Reply, type="dead_letter.page.v1"):
    """Newest first."""

    letters: tuple[DeadLetterRowPart, ...]
    next_after: str = ""

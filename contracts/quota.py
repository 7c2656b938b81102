"""Messages about what a tenant may still run."""

from pydantic import Field

from contracts.identifiers import TenantId
from contracts.message import Event, Part, Query, Reply, Service, Utc
from contracts.tenants import LimitsPart


class GetQuotaV1(Query, type="quota.get.v1", to=Service.SCHEDULER):
    tenant_id: TenantId


class QuotaV1(Reply, type="quota.v1"):
    tenant_id: TenantId
    plan: str
    limits: LimitsPart
    used_today: int
    used_this_month: int
    running: int
    queued: int
    day_resets_at: Utc
    month_resets_at: Utc
    suspended: bool = False
    reserved_today: int = 0
    """Of `used_today`: admitted and not ended yet."""
    reserved_this_month: int = 0
    left_today: int = 0
    left_this_month: int = 0
    queue_limit: int = 0


class QuotaReachedV1(Event, type="quota.reached.v1"):
    """A run that was admitted used a limit up to so many percent."""

    tenant_id: TenantId
    limit: str
    """`daily` or `monthly`."""
    percent: int = Field(ge=1, le=100)
    used: int = Field(ge=0)
    most: int = Field(ge=0)
    period: str
    """The day or the month, as `2026-03-14` or `2026-03`."""
    resets_at: Utc
    reached_at: Utc


class GetSchedulerStatusV1(Query, type="scheduler.get_status.v1", to=Service.SCHEDULER):
    """Asks for a page of tenants and what each has of the platform."""

    after: TenantId | None = None
    limit: int = Field(default=50, ge=1, le=200)


class TenantSharePart(Part):
    """What one tenant has of the work that runs, and why it has no more."""

    tenant_id: TenantId
    plan: str
    weight: int
    """Its part, beside the other tenants', of the places that the platform has."""
    running: int
    waiting: int
    share: float
    """Its part of all running work, 0 to 1; of this page's when there is no limit over all."""
    blocking_limit: str = ""
    oldest_wait_seconds: float = 0
    expected_start_at: Utc | None = None
    """Of the run that is first in its queue."""


class SchedulerStatusV1(Reply, type="scheduler.status.v1"):
    max_running: int = 0
    """Places for running work over all tenants; 0 is without limit."""
    running: int
    waiting: int
    """Both over all tenants when there is a limit, else over this page."""
    tenants: tuple[TenantSharePart, ...]
    next_after: TenantId | None = None

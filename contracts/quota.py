"""Messages about what a tenant may still run."""

from contracts.identifiers import TenantId
from contracts.message import Query, Reply, Service, Utc
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

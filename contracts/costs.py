"""Messages about what a tenant's clouds and services cost, from its FOCUS tables."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from contracts.identifiers import TenantId
from contracts.message import Part, Query, Reply, Service, Utc

TAG = "tag:"
_TAG = re.compile(TAG + r'[^"\\\x00-\x1f]{1,128}')
MOST_ROWS = 1000


class Dimension(StrEnum):
    """What charges are grouped by, beside a tag of theirs (`tag:NAME`)."""

    SERVICE = "service"
    CATEGORY = "category"
    ACCOUNT = "account"
    BILLING_ACCOUNT = "billing_account"
    REGION = "region"
    PROVIDER = "provider"
    SOURCE = "source"
    CHARGE = "charge"
    RESOURCE = "resource"
    DAY = "day"
    MONTH = "month"


DIMENSIONS = ", ".join([*Dimension, f"{TAG}NAME"])
"""All of them, to be told."""


def is_dimension(name: str) -> bool:
    return name in frozenset(Dimension) or _TAG.fullmatch(name) is not None


class CostRowPart(Part):
    """Sums of the charges that agree in what was asked to group by."""

    keys: tuple[str, ...]
    """One for each dimension; empty where charges have none."""
    currency: str
    billed_cost: Decimal
    effective_cost: Decimal
    list_cost: Decimal
    contracted_cost: Decimal
    charges: int


class GetCostV1(Query, type="cost.get.v1", to=Service.EXECUTOR):
    tenant_id: TenantId
    group_by: tuple[str, ...] = Field(default=("service",), max_length=4)
    """Each one a `Dimension` or a tag, e.g. `service`, `month`, `tag:team`."""
    from_date: date
    to_date: date
    """Both inclusive: days in which charges began."""
    provider: str = ""
    """As `x_provider` names it, e.g. `aws`."""
    limit: int = Field(default=200, ge=1, le=MOST_ROWS)


class CostV1(Reply, type="cost.v1"):
    """Ordered by effective cost, the dearest first."""

    tenant_id: TenantId
    groups: tuple[CostRowPart, ...]
    truncated: bool = False
    """Whether there are more rows than were asked for."""


class CostChangePart(Part):
    """One new version of a billing period that had been loaded before."""

    provider: str
    billing_account_id: str
    billing_period: date
    currency: str
    version: int
    billed_before: Decimal
    billed_after: Decimal
    effective_before: Decimal
    effective_after: Decimal
    period_closed: bool
    """Whether the period had ended when this version came."""
    loaded_at: Utc


class GetCostChangesV1(Query, type="cost_changes.get.v1", to=Service.EXECUTOR):
    tenant_id: TenantId
    billing_period: date | None = None
    """The first day of the month in which it begins; none asks for the changes of all periods."""
    limit: int = Field(default=200, ge=1, le=MOST_ROWS)


class CostChangesV1(Reply, type="cost_changes.v1"):
    """The newest first."""

    tenant_id: TenantId
    changes: tuple[CostChangePart, ...]


class GetCostSourcesV1(Query, type="cost_sources.get.v1", to=Service.EXECUTOR):
    tenant_id: TenantId
    loaded_since: Utc
    """Sources of which nothing was loaded since are left out, and their loads are not read."""


class CostSourcePart(Part):
    """By what bills cost comes, as `x_provider` names them."""

    source: str
    newest_period: date
    """The first day of the newest billing period that was loaded."""
    loaded_at: Utc
    """When it was last loaded, of whatever period."""


class CostSourcesV1(Reply, type="cost_sources.v1"):
    """In the order of their names."""

    tenant_id: TenantId
    sources: tuple[CostSourcePart, ...]

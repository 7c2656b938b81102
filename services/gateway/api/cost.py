"""Endpoints for what a tenant's clouds cost, and which billing periods have changed."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from contracts.costs import (
    DIMENSIONS,
    MOST_ROWS,
    CostChangePart,
    CostChangesV1,
    CostRowPart,
    CostSourcePart,
    CostSourcesV1,
    CostV1,
    GetCostChangesV1,
    GetCostSourcesV1,
    GetCostV1,
    is_dimension,
)
from contracts.message import Part
from libs.clock import earlier
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import READING_SECONDS, Edge
from services.gateway.api.endpoint import Call, Query, Who, endpoint
from services.gateway.api.moments import Day

DAYS = 30
SOURCES_FORGOTTEN = timedelta(days=730)
COST_EXAMPLE: dict[str, Any] = {
    "from_date": "2026-03-01",
    "to_date": "2026-03-31",
    "group_by": ["service"],
    "costs": [
        {
            "group": {"service": "Amazon Elastic Compute Cloud"},
            "currency": "USD",
            "billed_cost": "812.440000000000000000",
            "effective_cost": "640.123300000000000000",
            "list_cost": "990.000000000000000000",
            "contracted_cost": "871.200000000000000000",
            "charges": 1488,
        }
    ],
    "truncated": False,
}
CHANGES_EXAMPLE: dict[str, Any] = {
    "changes": [
        {
            "provider": "aws",
            "billing_account_id": "012345678901",
            "billing_period": "2026-03-01",
            "currency": "USD",
            "version": 2,
            "billed_before": "4031.20",
            "billed_after": "4007.75",
            "effective_before": "3980.11",
            "effective_after": "3956.66",
            "period_closed": True,
            "loaded_at": "2026-04-03T09:27:31Z",
            "billed_delta": "-23.45",
            "effective_delta": "-23.45",
        }
    ]
}
SOURCES_EXAMPLE: dict[str, Any] = {
    "sources": [
        {"source": "aws", "newest_period": "2026-03-01", "loaded_at": "2026-04-03T09:27:31Z"}
    ]
}


def _listed(value: Any) -> Any:
    return tuple(value.split(",")) if isinstance(value, str) else value


class CostQuery(Query):
    group_by: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=("service",),
        max_length=4,
        description=f"Up to four, with commas between: {DIMENSIONS}. The source is by what bill.",
    )
    from_date: Day | None = Field(default=None, alias="from")
    """First day; thirty days before the last one unless said."""
    to_date: Day | None = Field(default=None, alias="to")
    """Last day; today unless said."""
    provider: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,40})?$")
    """Only what came by this provider's bill, e.g. aws."""
    limit: int = Field(default=200, ge=1, le=MOST_ROWS)


class ChangesQuery(Query):
    period: str = Field(default="", pattern=r"^([1-9][0-9]{3}-(0[1-9]|1[0-2]))?$")
    """A month such as 2026-01, of billing periods that begin in it; all of them unless said."""
    limit: int = Field(default=200, ge=1, le=MOST_ROWS)


class GroupShown(Part):
    """Sums of the charges that agree in what they were grouped by."""

    group: dict[str, str]
    currency: str
    billed_cost: Decimal
    effective_cost: Decimal
    list_cost: Decimal
    contracted_cost: Decimal
    charges: int


class CostShown(Part):
    model_config = ConfigDict(json_schema_extra={"examples": [COST_EXAMPLE]})

    from_date: date
    to_date: date
    group_by: tuple[str, ...]
    costs: tuple[GroupShown, ...]
    truncated: bool
    """Whether there are more rows than were asked for."""


class ChangeShown(CostChangePart):
    billed_delta: Decimal
    effective_delta: Decimal


class ChangesShown(Part):
    model_config = ConfigDict(json_schema_extra={"examples": [CHANGES_EXAMPLE]})

    changes: tuple[ChangeShown, ...]


class SourcesShown(Part):
    model_config = ConfigDict(json_schema_extra={"examples": [SOURCES_EXAMPLE]})

    sources: tuple[CostSourcePart, ...]


class CostRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", "/api/v1/cost", Who.TENANT)
    async def cost(self, call: Call, query: CostQuery) -> CostShown:
        """Sum what your clouds and services cost, the dearest first."""
        for name in query.group_by:
            if not is_dimension(name):
                raise _fault("group_by", f"{name[:100]!r} is none of {DIMENSIONS}")
        last = query.to_date or self._edge.clock().date()
        first = query.from_date or earlier(last, timedelta(days=DAYS))
        if first > last:
            raise _fault("from", f"{first} is after {last}")
        asked = GetCostV1(
            tenant_id=call.tenant,
            group_by=query.group_by,
            from_date=first,
            to_date=last,
            provider=query.provider,
            limit=query.limit,
        )
        found = await self._edge.questions.ask(asked, CostV1, within=READING_SECONDS)
        return CostShown(
            from_date=first,
            to_date=last,
            group_by=query.group_by,
            costs=tuple(_shown(query.group_by, row) for row in found.groups),
            truncated=found.truncated,
        )

    @endpoint("GET", "/api/v1/cost/diff", Who.TENANT)
    async def changes(self, call: Call, query: ChangesQuery) -> ChangesShown:
        """List the billing periods whose cost has changed since it was first loaded."""
        period = date.fromisoformat(f"{query.period}-01") if query.period else None
        asked = GetCostChangesV1(tenant_id=call.tenant, billing_period=period, limit=query.limit)
        found = await self._edge.questions.ask(asked, CostChangesV1, within=READING_SECONDS)
        return ChangesShown(changes=tuple(map(_changed, found.changes)))

    @endpoint("GET", "/api/v1/cost/sources", Who.TENANT)
    async def sources(self, call: Call) -> SourcesShown:
        """List the sources that cost was loaded from within two years, without reading any cost."""
        since = self._edge.clock() - SOURCES_FORGOTTEN
        asked = GetCostSourcesV1(tenant_id=call.tenant, loaded_since=since)
        found = await self._edge.questions.ask(asked, CostSourcesV1, within=READING_SECONDS)
        return SourcesShown(sources=found.sources)


def _shown(names: tuple[str, ...], row: CostRowPart) -> GroupShown:
    group = dict(zip(names, row.keys, strict=True))
    return GroupShown(group=group, **row.model_dump(exclude={"keys"}))


def _changed(change: CostChangePart) -> ChangeShown:
    return ChangeShown(
        **change.model_dump(),
        billed_delta=change.billed_after - change.billed_before,
        effective_delta=change.effective_after - change.effective_before,
    )


def _fault(name: str, reason: str) -> Problem:
    detail = f"{name}: {reason}"
    return Problem(400, "invalid_request", detail, [Fault(f"/{name}", detail)])

"""Routes for what was recorded: audit events, usage day by day, what runs cost."""

from collections.abc import Sequence
from datetime import date

from aiohttp import web
from pydantic import AwareDatetime, Field

from contracts.audit import (
    CostGroup,
    EventListV1,
    EventOrder,
    EventRowPart,
    ListEventsV1,
    ListRunCostsV1,
    ListUsageV1,
    RunCostListV1,
    RunCostPart,
    UsageListV1,
)
from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Kind
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import READING_SECONDS, Edge
from services.gateway.api.pages import Item, PageQuery

EVENTS = "/api/v1/audit/events"


class EventFilters(PageQuery):
    tenant_id: TenantId | None = None
    event_type: str = Field(default="", alias="type", max_length=200)
    event_kind: Kind | None = Field(default=None, alias="kind")
    source: str = Field(default="", max_length=100)
    run_id: RunId | None = None
    correlation_id: str = Field(default="", max_length=200)
    from_time: AwareDatetime | None = Field(default=None, alias="from")
    to_time: AwareDatetime | None = Field(default=None, alias="to")
    order: EventOrder = EventOrder.TIME


class DayFilters(PageQuery):
    from_date: date | None = Field(default=None, alias="from")
    to_date: date | None = Field(default=None, alias="to")


class CostFilters(DayFilters):
    group_by: CostGroup = CostGroup.PIPELINE
    pipeline: ConfigId | None = None
    run_id: RunId | None = None


class AuditRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.get(EVENTS, self.events),
            web.get("/api/v1/tenants/quota/history", self.usage),
            web.get("/api/v1/pipelines/costs", self.costs),
        ]

    async def events(self, request: web.Request) -> web.StreamResponse:
        tenant, filters = await self._whose(request)

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListEventsV1(
                tenant_id=tenant,
                after=after,
                limit=limit,
                **filters.model_dump(exclude={"cursor", "limit", "tenant_id"}),
            )
            found = await self._edge.questions.ask(wanted, EventListV1, within=READING_SECONDS)
            return [_event(event) for event in found.events], found.next_after

        return await self._edge.pages.respond(request, tenant, "events", filters, fetch)

    async def _whose(self, request: web.Request) -> tuple[TenantId, EventFilters]:
        """A tenant reads its own; an operator names whose."""
        if "X-Admin-Key" not in request.headers:
            tenant = await self._edge.auth.tenant(request)
            filters = EventFilters.of(request)
            if filters.tenant_id not in {None, tenant}:
                raise Problem(404, "tenant_not_found", f"There is no tenant {filters.tenant_id}.")
            return tenant, filters
        self._edge.auth.admin(request)
        filters = EventFilters.of(request)
        if filters.tenant_id is None:
            detail = "tenant_id: say whose events, e.g. ?tenant_id=acme_cloud"
            raise Problem(400, "invalid_request", detail, [Fault("/tenant_id", detail)])
        return filters.tenant_id, filters

    async def usage(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._edge.auth.tenant(request)
        filters = DayFilters.of(request)

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListUsageV1(
                tenant_id=tenant,
                from_date=filters.from_date,
                to_date=filters.to_date,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, UsageListV1, within=READING_SECONDS)
            return [day.model_dump(mode="json") for day in found.days], found.next_after

        return await self._edge.pages.respond(request, tenant, "days", filters, fetch)

    async def costs(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._edge.auth.tenant(request)
        filters = CostFilters.of(request)

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListRunCostsV1(
                tenant_id=tenant,
                group_by=filters.group_by,
                config_id=filters.pipeline,
                run_id=filters.run_id,
                from_date=filters.from_date,
                to_date=filters.to_date,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, RunCostListV1, within=READING_SECONDS)
            return [_cost(cost, filters.group_by) for cost in found.costs], found.next_after

        return await self._edge.pages.respond(request, tenant, "costs", filters, fetch)


def _event(event: EventRowPart) -> Item:
    found: dict[str, object] = event.model_dump(mode="json")
    return found


_OF_GROUP = {
    CostGroup.DAY: ("day",),
    CostGroup.PIPELINE: ("pipeline_id",),
    CostGroup.RUN: ("pipeline_id", "run_id"),
    CostGroup.STEP: ("pipeline_id", "step_id"),
}


def _cost(cost: RunCostPart, group: CostGroup) -> Item:
    found = cost.model_dump(mode="json")
    found["pipeline_id"] = found.pop("config_id")
    sums = {n: v for n, v in found.items() if n not in {"day", "pipeline_id", "run_id", "step_id"}}
    return {**{name: found[name] for name in _OF_GROUP[group]}, **sums}

"""Endpoints for what was recorded: audit events, usage day by day, what runs cost."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from aiohttp import web
from pydantic import Field, JsonValue

from contracts.audit import (
    PLATFORM,
    CostGroup,
    EventListV1,
    EventOrder,
    EventRowPart,
    LineageListV1,
    ListEventsV1,
    ListLineageV1,
    ListRunCostsV1,
    ListUsageV1,
    RunCostListV1,
    RunCostPart,
    UsageListV1,
    UsagePart,
)
from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Kind, Part
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import READING_SECONDS, Edge
from services.gateway.api.endpoint import Call, Who, endpoint
from services.gateway.api.moments import Day
from services.gateway.api.pages import LISTING, Item, MomentsQuery, PageQuery

EVENTS = "/api/v1/audit/events"
OF_TENANT = {**LISTING, "errors": (*LISTING["errors"], "tenant_not_found")}


class EventFilters(MomentsQuery):
    tenant_id: TenantId | None = None
    event_type: str = Field(default="", alias="type", max_length=200)
    event_kind: Kind | None = Field(default=None, alias="kind")
    source: str = Field(default="", max_length=100)
    run_id: RunId | None = None
    correlation_id: str = Field(default="", max_length=200)
    order: EventOrder = EventOrder.TIME


class DayFilters(PageQuery):
    from_date: Day | None = Field(default=None, alias="from")
    to_date: Day | None = Field(default=None, alias="to")


class CostFilters(DayFilters):
    group_by: CostGroup = CostGroup.PIPELINE
    pipeline: ConfigId | None = None
    run_id: RunId | None = None


class EventsShown(Part):
    events: tuple[EventRowPart, ...]
    next_cursor: str | None = None


class UsageShown(Part):
    days: tuple[UsagePart, ...]
    next_cursor: str | None = None


class CostShown(Part):
    """What runs cost; it names what it is grouped by, and nothing else."""

    day: date | None = None
    pipeline_id: ConfigId | None = None
    run_id: RunId | None = None
    step_id: str = ""
    runs: int
    steps: int
    bytes_billed: int
    slot_ms: int
    duration_ms: int
    cost: Decimal
    currency: str


class LineageFilters(MomentsQuery):
    run_id: RunId | None = None


class LineageShown(Part):
    events: tuple[dict[str, JsonValue], ...]
    next_cursor: str | None = None


class CostsShown(Part):
    costs: tuple[CostShown, ...]
    next_cursor: str | None = None


class AuditRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", EVENTS, Who.TENANT_OR_ADMIN, answers=EventsShown, **OF_TENANT)
    async def events(self, call: Call, query: EventFilters) -> web.StreamResponse:
        """List what was recorded; an operator says whose, `system` for what concerns no tenant.

        In order of time, of the last 30 days unless `from` or `run_id` says otherwise; in order
        of chains, all. NDJSON gives every page of the same.
        """
        tenant = _whose(call, query)

        async def ask(after: str, limit: int) -> EventListV1:
            wanted = ListEventsV1(
                tenant_id=tenant,
                after=after,
                limit=limit,
                **query.model_dump(exclude={"cursor", "limit", "tenant_id"}),
            )
            return await self._edge.questions.ask(wanted, EventListV1, within=READING_SECONDS)

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            found = await ask(after, limit)
            events, rest = found.events, []
            while found.continues:
                found = await ask(found.next_after, 1)
                rest += [piece.data for piece in found.events]
            return [
                *map(_event, events[:-1]),
                *(_event(e, rest) for e in events[-1:]),
            ], found.next_after

        return await self._edge.pages.respond(call.request, tenant, "events", query, fetch)

    @endpoint("GET", "/api/v1/tenants/quota/history", Who.TENANT, answers=UsageShown, **LISTING)
    async def usage(self, call: Call, query: DayFilters) -> web.StreamResponse:
        """List what ran, day by day, of the last 30 days unless `from` or `to` says otherwise."""

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListUsageV1(
                tenant_id=call.tenant,
                from_date=query.from_date,
                to_date=query.to_date,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, UsageListV1, within=READING_SECONDS)
            return [day.model_dump(mode="json") for day in found.days], found.next_after

        return await self._edge.pages.respond(call.request, call.tenant, "days", query, fetch)

    @endpoint("GET", "/api/v1/pipelines/lineage", Who.TENANT, answers=LineageShown, **LISTING)
    async def lineage(self, call: Call, query: LineageFilters) -> web.StreamResponse:
        """List what steps read and wrote, as OpenLineage events.

        Of the last 30 days unless `from` or `run_id` says otherwise; NDJSON gives every page.
        """

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListLineageV1(
                tenant_id=call.tenant,
                run_id=query.run_id,
                from_time=query.from_time,
                to_time=query.to_time,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, LineageListV1, within=READING_SECONDS)
            return found.events, found.next_after

        return await self._edge.pages.respond(call.request, call.tenant, "events", query, fetch)

    @endpoint("GET", "/api/v1/pipelines/costs", Who.TENANT, answers=CostsShown, **LISTING)
    async def costs(self, call: Call, query: CostFilters) -> web.StreamResponse:
        """List what the runs themselves cost, by day, pipeline, run or step.

        Of the last 30 days unless `from`, `to` or `run_id` says otherwise.
        """

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListRunCostsV1(
                tenant_id=call.tenant,
                group_by=query.group_by,
                config_id=query.pipeline,
                run_id=query.run_id,
                from_date=query.from_date,
                to_date=query.to_date,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, RunCostListV1, within=READING_SECONDS)
            return [_cost(cost, query.group_by) for cost in found.costs], found.next_after

        return await self._edge.pages.respond(call.request, call.tenant, "costs", query, fetch)


def _whose(call: Call, query: EventFilters) -> TenantId:
    """A tenant reads its own; an operator names whose."""
    if call.caller is not None:
        if query.tenant_id not in {None, call.caller}:
            raise Problem(404, "tenant_not_found", f"There is no tenant {query.tenant_id}.")
        return call.caller
    if query.tenant_id is None:
        detail = (
            "tenant_id: say whose events, e.g. ?tenant_id=acme_cloud;"
            f" {PLATFORM} for those of no tenant"
        )
        raise Problem(400, "invalid_request", detail, [Fault("/tenant_id", detail)])
    return query.tenant_id


def _event(event: EventRowPart, rest: Sequence[str] = ()) -> Item:
    """`rest` is of its data, when that was too long for one reply."""
    found: dict[str, object] = event.model_dump(mode="json")
    return {**found, "data": "".join((event.data, *rest))} if rest else found


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

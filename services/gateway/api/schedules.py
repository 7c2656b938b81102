"""Endpoints for schedules, of a tenant's own or for an operator."""

from collections.abc import Sequence
from datetime import datetime

from aiohttp import web

from contracts.identifiers import ConfigId, TenantId
from contracts.message import Part
from contracts.schedules import (
    DeleteScheduleV1,
    ListSchedulesV1,
    SaveScheduleV1,
    ScheduleDeletedV1,
    ScheduleListV1,
    SchedulePart,
    ScheduleRowPart,
    ScheduleSavedV1,
)
from libs.web.problem import Problem
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Body, Call, Who, endpoint
from services.gateway.api.pages import LISTING, LIVE, LIVE_PAGE, Item, PageQuery

PATH = "/api/v1/scheduler/customer/{tenant_id}/pipelines"


class ScheduleBody(SchedulePart, Body):
    """When a pipeline runs by itself."""


class ScheduleShown(SchedulePart):
    tenant_id: TenantId
    last_due_at: datetime | None = None
    next_run_time: datetime | None = None
    next_times: tuple[datetime, ...] = ()
    """The next ten; none while it is paused."""


class SchedulesShown(Part):
    schedules: tuple[ScheduleShown, ...]
    next_cursor: str | None = None


class ScheduleRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "GET",
        PATH,
        Who.TENANT_OR_ADMIN,
        answers=SchedulesShown,
        **LISTING | {"errors": (*LISTING["errors"], "tenant_not_found")},
    )
    async def list(self, call: Call, tenant_id: TenantId, query: PageQuery) -> web.StreamResponse:
        """List schedules with their next ten times."""
        _check_own(call, tenant_id)

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListSchedulesV1(
                tenant_id=tenant_id,
                after=ConfigId(after) if after else None,
                limit=min(limit, LIVE_PAGE),
            )
            found = await self._edge.questions.ask(wanted, ScheduleListV1)
            rows = [_shown(tenant_id, row).model_dump(mode="json") for row in found.schedules]
            return rows, found.next_after or ""

        return await self._edge.pages.respond(
            call.request, tenant_id, "schedules", query, fetch, source=LIVE
        )

    @endpoint(
        "POST",
        PATH,
        Who.TENANT_OR_ADMIN,
        status=201,
        errors=("tenant_not_found", "config_not_found", "invalid_schedule", "invalid_parameters"),
        example={"config_id": "ones", "cron": "30 6 * * 1-5", "time_zone": "Europe/Berlin"},
    )
    async def save(self, call: Call, tenant_id: TenantId, body: ScheduleBody) -> ScheduleShown:
        """Schedule a pipeline, or change its schedule; `enabled: false` pauses it."""
        _check_own(call, tenant_id)
        schedule = SchedulePart(**body.model_dump())
        command = SaveScheduleV1(tenant_id=tenant_id, schedule=schedule, requested_by=_by(call))
        saved = await self._edge.questions.ask(command, ScheduleSavedV1)
        row = ScheduleRowPart(schedule=saved.schedule, next_times=saved.next_times)
        return _shown(tenant_id, row)

    @endpoint(
        "DELETE",
        PATH + "/{config_id}",
        Who.TENANT_OR_ADMIN,
        status=204,
        errors=("tenant_not_found", "schedule_not_found"),
    )
    async def delete(self, call: Call, tenant_id: TenantId, config_id: ConfigId) -> None:
        """Delete a schedule; its pipeline stays."""
        _check_own(call, tenant_id)
        command = DeleteScheduleV1(tenant_id=tenant_id, config_id=config_id, requested_by=_by(call))
        await self._edge.questions.ask(command, ScheduleDeletedV1)


def _check_own(call: Call, tenant_id: TenantId) -> None:
    if call.caller not in {None, tenant_id}:
        raise Problem(404, "tenant_not_found", "This key is of no tenant of that name.")


def _by(call: Call) -> str:
    return call.who("admin" if call.caller is None else "tenant")


def _shown(tenant_id: TenantId, row: ScheduleRowPart) -> ScheduleShown:
    return ScheduleShown(
        **row.schedule.model_dump(),
        tenant_id=tenant_id,
        last_due_at=row.last_due_at,
        next_run_time=next(iter(row.next_times), None),
        next_times=row.next_times,
    )

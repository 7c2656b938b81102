"""Endpoints for schedules, of a tenant's own or for an operator."""

from datetime import datetime

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
from services.gateway.api.endpoint import Body, Call, Query, Who, endpoint

PATH = "/api/v1/scheduler/customer/{tenant_id}/pipelines"


class ScheduleBody(SchedulePart, Body):
    """When a pipeline runs by itself."""


class AfterSchedule(Query):
    after: ConfigId | None = None
    """The last pipeline of the page before."""


class ScheduleShown(SchedulePart):
    tenant_id: TenantId
    last_due_at: datetime | None = None
    next_run_time: datetime | None = None
    next_times: tuple[datetime, ...] = ()
    """The next ten; none while it is paused."""


class SchedulesShown(Part):
    schedules: tuple[ScheduleShown, ...]
    next_after: ConfigId | None = None


class ScheduleRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", PATH, Who.TENANT_OR_ADMIN, errors=("tenant_not_found",))
    async def list(self, call: Call, tenant_id: TenantId, query: AfterSchedule) -> SchedulesShown:
        """List schedules with their next ten times."""
        _check_own(call, tenant_id)
        wanted = ListSchedulesV1(tenant_id=tenant_id, after=query.after)
        found = await self._edge.questions.ask(wanted, ScheduleListV1)
        shown = tuple(_shown(tenant_id, row) for row in found.schedules)
        return SchedulesShown(schedules=shown, next_after=found.next_after)

    @endpoint(
        "POST",
        PATH,
        Who.TENANT_OR_ADMIN,
        status=201,
        errors=("tenant_not_found", "config_not_found", "invalid_schedule"),
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

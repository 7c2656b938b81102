"""Handlers for schedules, backfills, and what the platform's operators see."""

from collections.abc import Sequence

from contracts.backfills import BackfillListV1, ListBackfillsV1, StartBackfillV1
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.quota import GetSchedulerStatusV1, SchedulerStatusV1
from contracts.schedules import ListSchedulesV1, SaveScheduleV1, ScheduleListV1
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from services.scheduler.checking import ParameterCheck
from services.scheduler.domain.schedules import row
from services.scheduler.domain.status import share
from services.scheduler.ledgers import Ledgers
from services.scheduler.templates.library import Library


class PlanHandlers:
    def __init__(self, ledgers: Ledgers, templates: Library) -> None:
        self._ledgers = ledgers
        self._check = ParameterCheck(ledgers, templates)

    def register(self, router: Router) -> None:
        router.on(SaveScheduleV1)(self.on_save_schedule)
        router.on(StartBackfillV1)(self.on_start_backfill)
        router.on(ListSchedulesV1)(self.on_list_schedules)
        router.on(ListBackfillsV1)(self.on_list_backfills)
        router.on(GetSchedulerStatusV1)(self.on_get_status)

    async def on_save_schedule(self, command: SaveScheduleV1, context: Context) -> Sequence[Emit]:
        tenant, planned = command.tenant_id, command.schedule
        if wrong := await self._check.refusal(tenant, planned.config_id, planned.parameters):
            return [wrong]
        return await self._ledgers.decide(tenant, command, context.envelope)

    async def on_start_backfill(self, command: StartBackfillV1, context: Context) -> Sequence[Emit]:
        tenant, given = command.tenant_id, command.parameters
        if wrong := await self._check.refusal(tenant, command.config_id, given):
            return [wrong]
        return await self._ledgers.decide(tenant, command, context.envelope)

    async def on_list_schedules(self, query: ListSchedulesV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        names = sorted(n for n in state.schedules if query.after is None or n > query.after)
        page = names[: query.limit]
        return [
            ScheduleListV1(
                tenant_id=query.tenant_id,
                schedules=tuple(row(state.schedules[name]) for name in page),
                next_after=page[-1] if len(names) > query.limit else None,
            )
        ]

    async def on_list_backfills(self, query: ListBackfillsV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        found = [
            one.about
            for one in state.backfills.values()
            if query.config_id in {None, one.about.config_id}
            and query.backfill_id in {None, one.id}
        ]
        name, whole = query.config_id, query.backfill_id is None
        if name is not None and whole and not found and name not in state.configs:
            detail = f"there is no pipeline {name}"
            return [
                CommandRefusedV1(tenant_id=query.tenant_id, code="config_not_found", detail=detail)
            ]
        newest_first = sorted(found, key=lambda about: about.created_at, reverse=True)
        return [BackfillListV1(tenant_id=query.tenant_id, backfills=tuple(newest_first))]

    async def on_get_status(self, query: GetSchedulerStatusV1, _: Context) -> Sequence[Message]:
        names: list[TenantId] = []
        async for key in self._ledgers.each_tenant(query.after or ""):
            names.append(TenantId(key))
            if len(names) > query.limit:
                break
        page, now = names[: query.limit], self._ledgers.now()
        states = {name: await self._ledgers.state(name) for name in page}
        most = self._ledgers.rules.max_running
        running = sum(len(state.running) for state in states.values())
        waiting = sum(len(state.runs) for state in states.values()) - running
        places = await self._ledgers.places() if most else None
        if places is not None:
            running = places.used
            waiting = sum(claim.lacks for claim in places.claims.values())
        shares = [
            share(state, name, running, now, self._ledgers.rules, places)
            for name, state in states.items()
        ]
        return [
            SchedulerStatusV1(
                max_running=most,
                running=running,
                waiting=waiting,
                tenants=tuple(shares),
                next_after=page[-1] if len(names) > query.limit else None,
            )
        ]

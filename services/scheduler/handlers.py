"""One function per message: read, decide on the tenant's ledger, return what to say."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from contracts.datasets import DatasetRegisteredV1
from contracts.envelope import Envelope, Wire
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.pipelines import (
    ConfigListV1,
    ConfigV1,
    DeleteConfigV1,
    GetConfigV1,
    ListConfigsV1,
    SaveConfigV1,
)
from contracts.platform import CommandRefusedV1
from contracts.quota import GetQuotaV1, QuotaV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    CancelRunV1,
    RunRequestedV1,
    SubmitRunV1,
)
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from contracts.ticks import TickAppliedV1, TickV1
from libs.bus.errors import NotYetError
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from libs.clock import Clock
from libs.slotlog.writer import Writer
from services.scheduler.definitions import DefinitionError, parse_definition
from services.scheduler.domain.deciding import KeepConfig, Look, TenantUnknownError
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.quota import quota

TENANTS_AT_ONCE = 32

LedgerMessage = (
    TenantOnboardedV1
    | PlanChangedV1
    | DatasetRegisteredV1
    | TenantSuspendedV1
    | TenantResumedV1
    | TenantOffboardedV1
    | DeleteConfigV1
    | SubmitRunV1
    | CancelRunV1
    | AttemptStartedV1
    | AttemptHeartbeatV1
    | AttemptReturnedV1
    | AttemptFinishedV1
)


class Handlers:
    """The scheduler's handlers, over its ledgers."""

    def __init__(self, ledgers: Writer[Ledger], clock: Clock) -> None:
        self._ledgers = ledgers
        self._clock = clock

    def register(self, router: Router) -> None:
        router.on(TenantOnboardedV1)(self.on_ledger_message)
        router.on(PlanChangedV1)(self.on_ledger_message)
        router.on(DatasetRegisteredV1)(self.on_ledger_message)
        router.on(TenantSuspendedV1)(self.on_ledger_message)
        router.on(TenantResumedV1)(self.on_ledger_message)
        router.on(TenantOffboardedV1)(self.on_ledger_message)
        router.on(DeleteConfigV1)(self.on_ledger_message)
        router.on(SubmitRunV1)(self.on_ledger_message)
        router.on(CancelRunV1)(self.on_ledger_message)
        router.on(AttemptStartedV1)(self.on_ledger_message)
        router.on(AttemptHeartbeatV1)(self.on_ledger_message)
        router.on(AttemptReturnedV1)(self.on_ledger_message)
        router.on(AttemptFinishedV1)(self.on_ledger_message)
        router.on(SaveConfigV1)(self.on_save_config)
        router.on(GetConfigV1)(self.on_get_config)
        router.on(ListConfigsV1)(self.on_list_configs)
        router.on(GetQuotaV1)(self.on_get_quota)
        router.on(TickV1)(self.on_tick)

    async def on_ledger_message(self, message: LedgerMessage, context: Context) -> Sequence[Emit]:
        return await self._submit(message.tenant_id, message, context.envelope)

    async def on_save_config(self, command: SaveConfigV1, context: Context) -> Sequence[Emit]:
        try:
            definition = parse_definition(command.source, command.config_id)
        except DefinitionError as error:
            return [
                CommandRefusedV1(
                    tenant_id=command.tenant_id,
                    code="invalid_definition",
                    detail=f"the definition cannot be used: {error}",
                    problems=error.problems,
                )
            ]
        message = KeepConfig(command=command, definition=definition)
        return await self._submit(command.tenant_id, message, context.envelope)

    async def on_get_config(self, query: GetConfigV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        config = state.configs.get(query.config_id)
        if config is None:
            detail = f"there is no pipeline {query.config_id}"
            return [
                CommandRefusedV1(tenant_id=query.tenant_id, code="config_not_found", detail=detail)
            ]
        return [ConfigV1(tenant_id=query.tenant_id, config=config)]

    async def on_list_configs(self, query: ListConfigsV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        names = sorted(n for n in state.configs if query.after is None or n > query.after)
        page = names[: query.limit]
        return [
            ConfigListV1(
                tenant_id=query.tenant_id,
                configs=tuple(state.configs[name] for name in page),
                next_after=page[-1] if len(names) > query.limit else None,
            )
        ]

    async def on_get_quota(self, query: GetQuotaV1, _: Context) -> Sequence[QuotaV1]:
        state = await self._ledgers.state(query.tenant_id)
        return [quota(state, query.tenant_id, self._clock())]

    async def on_tick(self, tick: TickV1, context: Context) -> Sequence[Emit]:
        """Look at every ledger; a tick that comes twice finds nothing more to do."""
        gate = asyncio.Semaphore(TENANTS_AT_ONCE)

        async def look_at(key: str) -> Sequence[Wire]:
            async with gate:
                tenant = TenantId(key)
                envelope = replace(context.envelope, tenant_id=tenant, reply_to="")
                return await self._ledgers.submit(key, Look(tenant_id=tenant), envelope)

        looks = [asyncio.create_task(look_at(key)) async for key in self._ledgers.each_key()]
        wires = [wire for look in looks for wire in await look]
        requested = sum(w.attributes["ce-type"] == RunRequestedV1.wire_type for w in wires)
        return [*wires, TickAppliedV1(job=tick.job, queued_count=requested)]

    async def _submit(
        self, tenant: TenantId, message: Message, envelope: Envelope
    ) -> Sequence[Wire]:
        try:
            return await self._ledgers.submit(tenant, message, envelope)
        except TenantUnknownError as error:
            raise NotYetError(str(error)) from error

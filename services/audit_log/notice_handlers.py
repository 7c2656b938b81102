"""Keep webhooks, and note what is due to them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.tenants import TenantOffboardedV1
from contracts.webhooks import (
    DeleteWebhookV1,
    ListNoticesV1,
    ListWebhooksV1,
    NoticeListV1,
    RotateWebhookV1,
    SaveWebhookV1,
    SendNoticeV1,
    WebhookListV1,
)
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from libs.clock import Clock, system_clock
from libs.slotlog.writer import Writer
from services.audit_log.delivery import Deliveries
from services.audit_log.notices import State
from services.audit_log.store import Records
from services.audit_log.tellings import Happened, telling

MOST_AGE = timedelta(days=1)
"""What is older was heard before: a replay fills the warehouse, and is told to nobody."""
WebhookCommand = SaveWebhookV1 | DeleteWebhookV1 | RotateWebhookV1 | SendNoticeV1


class NoticeHandlers:
    def __init__(
        self,
        streams: Writer[State],
        deliveries: Deliveries,
        records: Records,
        clock: Clock = system_clock,
    ) -> None:
        self._streams = streams
        self._deliveries = deliveries
        self._records = records
        self._clock = clock

    def register(self, router: Router) -> None:
        router.on(SaveWebhookV1, DeleteWebhookV1, RotateWebhookV1, SendNoticeV1)(self.on_command)
        router.on(*get_args(Happened))(self.on_happened)
        router.on(TenantOffboardedV1)(self.on_tenant_offboarded)
        router.on(ListWebhooksV1)(self.on_list_webhooks)
        router.on(ListNoticesV1)(self.on_list_notices)

    async def on_command(self, command: WebhookCommand, context: Context) -> Sequence[Emit]:
        if self._is_old(context):
            return ()  # who asked has long gone
        said = await self._submit(command.tenant_id, command, context)
        self._deliveries.look_at(command.tenant_id)
        return said

    async def on_happened(self, event: Happened, context: Context) -> Sequence[Emit]:
        """Of a tenant without webhooks nothing comes of it, and nothing is written."""
        tell = telling(event)
        if tell is None or self._is_old(context):
            return ()
        tell = tell.model_copy(update={"published_at": context.envelope.time})
        said = await self._submit(event.tenant_id, tell, context)
        if said:
            self._deliveries.look_at(event.tenant_id)
        return said

    async def on_tenant_offboarded(
        self, event: TenantOffboardedV1, context: Context
    ) -> Sequence[Emit]:
        """The records that hold addresses are deleted at once; a repeat finishes that."""
        said = await self._submit(event.tenant_id, event, context)
        await self._streams.expire(event.tenant_id, self._clock())
        return said

    def _is_old(self, context: Context) -> bool:
        return self._clock() - context.envelope.time > MOST_AGE

    async def on_list_webhooks(self, query: ListWebhooksV1, _: Context) -> Sequence[Message]:
        state = await self._state(query.tenant_id)
        return [WebhookListV1(tenant_id=query.tenant_id, webhooks=tuple(state.parts()))]

    async def on_list_notices(self, query: ListNoticesV1, _: Context) -> Sequence[Message]:
        found, after = await self._records.notices(query)
        return [NoticeListV1(tenant_id=query.tenant_id, deliveries=found, next_after=after)]

    async def _submit(self, tenant: TenantId, message: Message, context: Context) -> Sequence[Emit]:
        return await self._streams.submit(tenant, message, context.envelope)

    async def _state(self, tenant: TenantId) -> State:
        return await self._streams.state(tenant)

"""Keep webhooks, and note what is due to them."""

from collections.abc import Sequence
from typing import get_args

from contracts.identifiers import TenantId
from contracts.message import Message
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
from libs.bus.errors import RetryableError
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from libs.slotlog.log import SlotLogError
from libs.slotlog.writer import Writer
from services.audit_log.delivery import Deliveries
from services.audit_log.notices import State
from services.audit_log.store import Records
from services.audit_log.tellings import Happened, telling

WebhookCommand = SaveWebhookV1 | DeleteWebhookV1 | RotateWebhookV1 | SendNoticeV1


class NoticeHandlers:
    def __init__(self, streams: Writer[State], deliveries: Deliveries, records: Records) -> None:
        self._streams = streams
        self._deliveries = deliveries
        self._records = records

    def register(self, router: Router) -> None:
        router.on(SaveWebhookV1, DeleteWebhookV1, RotateWebhookV1, SendNoticeV1)(self.on_command)
        router.on(*get_args(Happened))(self.on_happened)
        router.on(ListWebhooksV1)(self.on_list_webhooks)
        router.on(ListNoticesV1)(self.on_list_notices)

    async def on_command(self, command: WebhookCommand, context: Context) -> Sequence[Emit]:
        said = await self._submit(command.tenant_id, command, context)
        self._deliveries.look_at(command.tenant_id)
        return said

    async def on_happened(self, event: Happened, context: Context) -> Sequence[Emit]:
        """Of a tenant without webhooks nothing comes of it, and nothing is written."""
        tell = telling(event)
        if tell is None:
            return ()
        said = await self._submit(event.tenant_id, tell, context)
        if said:
            self._deliveries.look_at(event.tenant_id)
        return said

    async def on_list_webhooks(self, query: ListWebhooksV1, _: Context) -> Sequence[Message]:
        state = await self._state(query.tenant_id)
        return [WebhookListV1(tenant_id=query.tenant_id, webhooks=tuple(state.parts()))]

    async def on_list_notices(self, query: ListNoticesV1, _: Context) -> Sequence[Message]:
        found, after = await self._records.notices(query)
        return [NoticeListV1(tenant_id=query.tenant_id, deliveries=found, next_after=after)]

    async def _submit(self, tenant: TenantId, message: Message, context: Context) -> Sequence[Emit]:
        try:
            return await self._streams.submit(tenant, message, context.envelope)
        except SlotLogError as error:
            raise RetryableError(str(error), delay=0.5) from error

    async def _state(self, tenant: TenantId) -> State:
        try:
            return await self._streams.state(tenant)
        except SlotLogError as error:
            raise RetryableError(str(error), delay=0.5) from error

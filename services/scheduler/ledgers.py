"""The tenants' ledgers as handlers use them: decide, share places, be reminded of what is due."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from contracts.envelope import Envelope, Wire
from contracts.identifiers import TenantId
from contracts.message import Message
from libs.bus.errors import NotYetError
from libs.clock import Clock
from libs.slotlog.log import ExpiredError
from libs.slotlog.writer import Writer
from services.scheduler.domain.deciding import Rules, TenantUnknownError
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import Granted, Places
from services.scheduler.domain.queue import demand
from services.scheduler.objects import Reminder, Reminders
from services.scheduler.sparing import Sparing

LOG = logging.getLogger(__name__)
ALL = "all"
NAMESPACE = uuid5(NAMESPACE_URL, "convergence/scheduler/places")
Publish = Callable[[Sequence[Wire]], Awaitable[None]]


class Ledgers:
    """Safe to share between tasks."""

    def __init__(
        self,
        writer: Writer[Ledger],
        places: Writer[Places],
        reminders: Reminders,
        rules: Rules,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._places = places
        self._reminders = reminders
        self._clock = clock
        self.rules = rules

    def now(self) -> datetime:
        return self._clock()

    async def decide(
        self, tenant: TenantId, message: Message, envelope: Envelope, *, remind_again: bool = False
    ) -> Sequence[Wire]:
        """Return what is durably to be published; raises `NotYetError` for an unknown tenant.

        Its reminder is durable too: whatever happens to this process, a tick will come back.
        """
        try:
            wires = await self._writer.submit(tenant, message, envelope)
        except TenantUnknownError as error:
            raise NotYetError(str(error)) from error
        await self._remind(tenant, again=remind_again)
        if not self.rules.max_running:
            return wires
        return [*wires, *await self._share(tenant, envelope)]

    async def offer_again(self, envelope: Envelope, publish: Publish, sparing: Sparing) -> None:
        """Offer the places that were given and not heard of, as after a crash.

        A place counts as heard of only when what came of its offer has been published.
        """

        async def again(tenant: TenantId) -> None:
            mine = [offer for offer in given if offer.tenant_id == tenant]
            await publish([wire for offer in mine for wire in await self._offer(offer, envelope)])
            version = (await self._known(tenant)).changes
            await self._tell(tenant, envelope, f"again/{version}")

        while given := await self._unheard(sparing.failed):
            tenants = dict.fromkeys(offer.tenant_id for offer in given)
            await sparing.each(tenants, lambda tenant: tenant, again)

    async def _unheard(self, but_of: Collection[TenantId]) -> list[Granted]:
        given = (await self.places()).unheard()
        return [offer for offer in given if offer.tenant_id not in but_of]

    async def state(self, tenant: TenantId) -> Ledger:
        """As of now, also of what other instances wrote."""
        return await self._writer.state(tenant)

    async def expire(self, tenant: TenantId) -> None:
        """Delete records that have outlived their retention; a snapshot keeps what they led to."""
        await self._writer.expire(tenant, self._expiry)

    async def expire_places(self) -> None:
        await self._places.expire(ALL, self._expiry)

    @property
    def _expiry(self) -> datetime:
        return self._clock() - timedelta(days=self.rules.keep_days)

    async def remembered(self, tenant: TenantId) -> int:
        """How much is remembered of what has ended."""
        state = await self._known(tenant)
        return len(state.ended) + len(state.backfills) + len(state.history)

    async def places(self) -> Places:
        return await self._places.state(ALL)

    async def reminder(self, tenant: TenantId) -> Reminder | None:
        """The one reminder that counts."""
        state = await self._known(tenant)
        if state.reminder is None:
            return None
        return Reminder.of(state.reminder, tenant, state.reminders)

    def each_tenant(self, after: str = "") -> AsyncIterator[str]:
        return self._writer.each_key(after)

    async def _known(self, tenant: TenantId) -> Ledger:
        state = self._writer.peek(tenant)
        # It may have been forgotten for others that were used since.
        return await self._writer.state(tenant) if state is None else state

    async def _remind(self, tenant: TenantId, *, again: bool = False) -> None:
        reminder = await self.reminder(tenant)
        if reminder is not None:
            await self._reminders.keep(reminder, again=again)

    async def _share(self, tenant: TenantId, envelope: Envelope) -> Sequence[Wire]:
        """Say what the tenant wants of the platform's places, and offer what that sets free.

        Steps are counted, so that the same message again finds what it led to before.
        """
        wires: list[Wire] = []
        changed, step = [tenant], 0
        while changed:
            for offer in await self._tell(changed.pop(), envelope, str(step)):
                try:
                    wires += await self._offer(offer, envelope)
                except ExpiredError:  # the tick offers it again, and says for whom it cannot
                    LOG.exception(
                        "tenant %s was given a place, and cannot take it", offer.tenant_id
                    )
                    continue
                changed.append(offer.tenant_id)
            step += 1
        return wires

    async def _tell(self, tenant: TenantId, envelope: Envelope, step: str) -> Sequence[Granted]:
        wanted = demand(await self._known(tenant), tenant)
        given = await self._places.submit(ALL, wanted, _for(tenant, envelope), f"{step}/{tenant}")
        return [Granted.decode(wire.data) for wire in given]

    async def _offer(self, offer: Granted, envelope: Envelope) -> Sequence[Wire]:
        """Whoever offers a place, and however often: it is decided once."""
        name = offer.tenant_id
        cause = replace(_for(name, envelope), id=str(uuid5(NAMESPACE, f"{name}/{offer.number}")))
        wires = await self._writer.submit(name, offer, cause)
        await self._remind(name)
        return wires


def _for(tenant: TenantId, envelope: Envelope) -> Envelope:
    return replace(envelope, tenant_id=tenant, reply_to="")

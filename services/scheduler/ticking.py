"""Ticks: look at every ledger that something is due in, and start what is.

A tick says only that time has passed. One that comes twice, late, out of order
or not at all does no harm: reminders are dropped after what they led to has been
published, and a look under the same reminder is answered by the same record.
Ticks that wait, as after an outage, are answered by one round together, and what a
round has published is not published again by those after it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol
from uuid import NAMESPACE_URL, uuid5

import orjson

from contracts.envelope import Envelope, Wire
from contracts.identifiers import TenantId
from contracts.runs import RunQueuedV1, RunRequestedV1, TriggerType
from contracts.ticks import TickAppliedV1, TickJob, TickV1
from libs.bus.errors import PublishRefusedError
from libs.bus.message import Context
from libs.bus.router import Router
from services.scheduler.domain.deciding import Look, RequestRefused
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminder, Reminders, Revisions
from services.scheduler.sparing import Sparing

LOG = logging.getLogger(__name__)
NAMESPACE = uuid5(NAMESPACE_URL, "convergence/scheduler/ticks")
AT_ONCE = 100
SHOWN = 200
REMEMBERED = 50_000
_ADMITTED = {RunRequestedV1.wire_type, RunQueuedV1.wire_type}


class Sender(Protocol):
    """What is used of the bus's publisher."""

    async def send(self, *emits: Wire) -> object: ...


@dataclass(slots=True)
class Counts:
    triggered: int = 0
    queued: int = 0
    retried: int = 0
    expired: int = 0

    def take(self, wires: Sequence[Wire]) -> None:
        """Sort what was said: a first attempt is a new run, or one that has waited."""
        for wire in wires:
            if wire.attributes["ce-type"] not in _ADMITTED:
                continue
            said = orjson.loads(wire.data)
            if said.get("attempt", 1) > 1:
                self.retried += 1
            elif _is_new(wire, said):
                self.triggered += 1
            elif wire.attributes["ce-type"] == RunRequestedV1.wire_type:
                self.queued += 1


def _is_new(wire: Wire, said: dict[str, str]) -> bool:
    decided_now = said["submitted_at"].rstrip("Z") == wire.attributes["ce-time"].rstrip("Z")
    return decided_now and said["trigger"]["type"] != TriggerType.API  # type: ignore[index] # JSON


class Refused(NamedTuple):
    """What the bus will never take, and why."""

    wire: Wire
    reason: str


@dataclass(slots=True)
class Round:
    """What one tick does."""

    cause: Envelope
    counts: Counts = field(default_factory=Counts)
    sparing: Sparing = field(default_factory=Sparing)


@dataclass(slots=True)
class Turns:
    """Of one job's rounds: one after the other, each for all ticks that came before it began."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0
    done: tuple[int, TickAppliedV1] | None = None
    """The last round that did all there was to do."""


class TickHandler:
    """For one event loop."""

    def __init__(
        self, ledgers: Ledgers, reminders: Reminders, revisions: Revisions, sender: Sender
    ) -> None:
        self._ledgers = ledgers
        self._reminders = reminders
        self._revisions = revisions
        self._sender = sender
        self._turns = {job: Turns() for job in TickJob}
        self._sent: OrderedDict[str, None] = OrderedDict()
        """Ids of what is durable."""

    def register(self, router: Router) -> None:
        router.on(TickV1)(self.on_tick)

    async def on_tick(self, tick: TickV1, context: Context) -> Sequence[TickAppliedV1]:
        """The due ledgers each minute; all of them once a day or when a person asks.

        When one of them fails, the others have been looked at before the tick is tried again.
        """
        turns = self._turns[tick.job]
        came_after = turns.begun
        async with turns.lock:
            if turns.done is not None and turns.done[0] > came_after:
                return [turns.done[1]]
            turns.begun += 1
            applied = await self._round(tick, context)
            turns.done = turns.begun, applied
        return [applied]

    async def _round(self, tick: TickV1, context: Context) -> TickAppliedV1:
        round_ = Round(context.envelope)
        counts = round_.counts
        if tick.job is TickJob.TRIGGER:
            async for reminders in self._due():
                await self._look_at_due(reminders, round_)
        else:
            async for tenants in self._all():
                await self._look_at_all(tenants, tick.job, round_)
                if tick.job is TickJob.DAILY:
                    await round_.sparing.each(tenants, _itself, self._expire)
        if self._ledgers.rules.max_running:
            if tick.job is TickJob.DAILY:
                await self._ledgers.expire_places()
            await self._ledgers.offer_again(
                context.envelope, lambda wires: self._publish([wires], round_), round_.sparing
            )
        round_.sparing.check()
        return TickAppliedV1(
            job=tick.job,
            triggered_count=counts.triggered,
            queued_count=counts.queued,
            retried_count=counts.retried,
            expired_count=counts.expired,
        )

    async def _due(self) -> AsyncIterator[Sequence[Reminder]]:
        after, now = None, self._ledgers.now()
        while found := await self._reminders.due(now, after, AT_ONCE):
            yield found
            after = found[-1]

    async def _all(self) -> AsyncIterator[list[TenantId]]:
        page: list[TenantId] = []
        async for key in self._ledgers.each_tenant():
            page.append(TenantId(key))
            if len(page) == AT_ONCE:
                yield page
                page = []
        if page:
            yield page

    async def _look_at_due(self, reminders: Sequence[Reminder], round_: Round) -> None:
        """A look uses its reminder up, whatever the clock says: nothing is decided under it again.

        So it can be dropped as soon as what it led to is published, here or by another instance.
        """
        looks = await round_.sparing.each(
            reminders, _tenant_of, lambda one: self._look(one, _under(one, round_.cause))
        )
        await self._publish([wires for _, wires in looks], round_)
        await round_.sparing.each(
            [reminder for reminder, _ in looks], _tenant_of, self._reminders.drop
        )

    async def _look(self, reminder: Reminder, cause: Envelope) -> Sequence[Wire]:
        tenant = reminder.tenant_id
        look = Look(tenant_id=tenant, reminder=reminder.number)
        return await self._ledgers.decide(tenant, look, cause)

    async def _look_at_all(self, tenants: Sequence[TenantId], job: TickJob, round_: Round) -> None:
        def look(tenant: TenantId) -> Awaitable[Sequence[Wire]]:
            return self._ledgers.decide(
                tenant,
                Look(tenant_id=tenant, forget=job is TickJob.DAILY),
                replace(round_.cause, tenant_id=tenant, reply_to=""),
                remind_again=True,
            )

        each = round_.sparing.each
        before = dict(await each(tenants, _itself, self._ledgers.remembered))
        looks = await each(before, _itself, look)
        await self._publish([wires for _, wires in looks], round_)
        after = await each([tenant for tenant, _ in looks], _itself, self._ledgers.remembered)
        gone = sum(before[tenant] - remembered for tenant, remembered in after)
        round_.counts.expired += max(0, gone)

    async def _expire(self, tenant: TenantId) -> None:
        """Delete what the ledger no longer remembers; listed first, so nothing new is among it."""
        there = await self._revisions.configs(tenant)
        gone = there - set((await self._ledgers.state(tenant)).history)
        for name in gone:
            await self._revisions.drop(tenant, name)
        if gone:
            state = await self._ledgers.state(tenant)
            back = gone & set(state.configs)  # saved again meanwhile, under the same numbers
            for name in back:
                await self._revisions.keep(tenant, state.configs[name])
        await self._ledgers.expire(tenant)

    async def _publish(self, answers: Sequence[Sequence[Wire]], round_: Round) -> None:
        """What the bus refuses is given up, and holds up nothing else."""
        wires = [wire for answer in answers for wire in answer]
        round_.counts.take(wires)
        while wires := [wire for wire in wires if wire.attributes["ce-id"] not in self._sent]:
            refused = await self._send(wires)
            given_up = await round_.sparing.each(
                refused, _addressed, lambda one: self._give_up(one, round_.cause)
            )
            wires = [wire for _, more in given_up for wire in more]

    async def _send(self, wires: Sequence[Wire]) -> list[Refused]:
        try:
            await self._sender.send(*wires)
        except PublishRefusedError as error:
            if not error.wires:
                raise
            return [Refused(wire, error.reason[:SHOWN]) for wire in error.wires]
        self._sent.update((wire.attributes["ce-id"], None) for wire in wires)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        return []

    async def _give_up(self, refused: Refused, cause: Envelope) -> Sequence[Wire]:
        """A run that nobody can be asked to do ends as failed; of all else the log tells."""
        about, tenant = refused.wire.attributes, _addressed(refused)
        LOG.error(
            "%s %s of tenant %s is not published: %s",
            about["ce-type"],
            about["ce-id"],
            tenant,
            refused.reason,
        )
        if about["ce-type"] != RunRequestedV1.wire_type:
            return ()
        request = RunRequestedV1.decode(refused.wire.data)
        message = RequestRefused(
            tenant_id=tenant,
            run_id=request.run_id,
            attempt=request.attempt,
        )
        id_ = str(uuid5(NAMESPACE, f"refused/{about['ce-id']}"))
        return await self._ledgers.decide(
            tenant, message, replace(cause, id=id_, tenant_id=tenant, reply_to="")
        )


def _itself(tenant: TenantId) -> TenantId:
    return tenant


def _addressed(refused: Refused) -> TenantId:
    return TenantId(refused.wire.attributes["ce-tenantid"])


def _tenant_of(reminder: Reminder) -> TenantId:
    return reminder.tenant_id


def _under(reminder: Reminder, cause: Envelope) -> Envelope:
    """The same for every tick that finds this reminder."""
    return replace(
        cause,
        id=str(uuid5(NAMESPACE, reminder.name)),
        tenant_id=reminder.tenant_id,
        reply_to="",
    )

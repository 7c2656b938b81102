"""Sends what is due to webhooks, each try by one instance, until it is taken or given up."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from contracts.envelope import Envelope, Wire
from contracts.identifiers import TenantId
from contracts.message import Kind, Message, Service
from libs.bus.publisher import Publisher
from libs.clock import Clock
from libs.outgoing.client import Call, Outgoing
from libs.outgoing.errors import OutgoingError
from libs.outgoing.signing import MASTER, signing_secret
from libs.outgoing.webhooks import signed_headers
from libs.slotlog.log import SlotLogError
from libs.slotlog.writer import Writer
from libs.vault.secrets import Secrets
from services.audit_log.notices import Due, State, Take, Tried, Webhook, host_of

LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 15.0
MOST_ANSWER_BYTES = 64 << 10
REMEMBERED = 10_000
AT_ONCE, AT_ONCE_FOR_ONE = 50, 4
LOOK_SECONDS = 1.0
SCAN_SECONDS = 300.0
"""How often the streams of all tenants are looked through for what another instance left."""
LEFT_BEHIND = timedelta(seconds=2 * SCAN_SECONDS)
"""What was decided so long ago, and may not have been published, is published again."""
KEPT = timedelta(days=7)
"""Pub/Sub repeats an input for a week; addresses that were deleted are gone then."""
EXPIRY_SECONDS = 86_400.0


class Deliveries:
    """For one event loop; `run` in the background."""

    def __init__(
        self,
        streams: Writer[State],
        outgoing: Outgoing,
        secrets: Secrets,
        instance: str,
        clock: Clock,
    ) -> None:
        self._streams = streams
        self._outgoing = outgoing
        self._secrets_of_platform = secrets
        self._master = b""
        self._instance = instance
        self._clock = clock
        self._next: dict[TenantId, datetime] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._busy: set[tuple[TenantId, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._published: dict[str, None] = {}
        self._expired_at = float("-inf")

    def look_at(self, tenant: TenantId) -> None:
        """Something may be due to this tenant."""
        self._next[tenant] = self._clock()
        self._wake.set()

    async def run(self, publisher: Publisher) -> None:
        self._master = await self._secrets_of_platform.wait_for(MASTER)
        scanned = float("-inf")
        while True:
            if time.monotonic() - scanned > SCAN_SECONDS:
                await self._scan(publisher)
                scanned = time.monotonic()
            now = self._clock()
            for tenant in [tenant for tenant, at in self._next.items() if at <= now]:
                await self._begin(tenant, publisher)
            self._wake.clear()
            if not any(at <= self._clock() for at in self._next.values()):
                await self._sleep()

    async def close(self) -> None:
        """What is being sent and not told of is sent again by whoever comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._outgoing.close()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return  # time to look again

    async def _scan(self, publisher: Publisher) -> None:
        expiring = time.monotonic() - self._expired_at > EXPIRY_SECONDS
        try:
            async for key in self._streams.each_key():
                tenant = TenantId(key)
                await self._publish_left(tenant, publisher)
                if expiring:
                    await self._streams.expire(tenant, self._clock() - KEPT)
                self._next.setdefault(tenant, self._clock())
        except SlotLogError as error:
            LOG.warning("webhooks are looked through later: %s", error)
        else:
            self._expired_at = time.monotonic() if expiring else self._expired_at

    async def _publish_left(self, tenant: TenantId, publisher: Publisher) -> None:
        """Who decided it may have crashed before it was published; a repeat has the same id."""
        since = self._clock() - LEFT_BEHIND
        records = [one for _, one in await self._streams.recent(tenant) if one.at >= since]
        said = [wire for one in records for entry in one.entries for wire in entry.emits]
        await publisher.send(*(wire for wire in said if _id(wire) not in self._published))
        self._remember(said)

    def _remember(self, wires: Sequence[Wire]) -> None:
        self._published |= dict.fromkeys(map(_id, wires))
        while len(self._published) > REMEMBERED:
            del self._published[next(iter(self._published))]

    async def _begin(self, tenant: TenantId, publisher: Publisher) -> None:
        """Start what is due, and note when to look again."""
        del self._next[tenant]
        try:
            state = await self._streams.state(tenant)
        except SlotLogError as error:
            LOG.warning("webhooks of %s wait: %s", tenant, error)
            self._next[tenant] = self._clock()
            await asyncio.sleep(LOOK_SECONDS)
            return
        now, room = self._clock(), AT_ONCE_FOR_ONE - sum(t == tenant for t, _ in self._busy)
        open_ones = {n: due for n, due in state.due.items() if (tenant, n) not in self._busy}
        ready = in_turn(open_ones, now)
        for notice_id in ready[: max(0, room)]:
            self._start(tenant, notice_id, publisher)
        later = [due.next_at for notice_id, due in open_ones.items() if notice_id not in ready]
        if later:
            self._next[tenant] = min(later)

    def _start(self, tenant: TenantId, notice_id: str, publisher: Publisher) -> None:
        self._busy.add((tenant, notice_id))
        task = asyncio.create_task(self._deliver(tenant, notice_id, publisher))
        self._tasks.add(task)

        def done(_: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            self._busy.discard((tenant, notice_id))
            self.look_at(tenant)

        task.add_done_callback(done)

    async def _deliver(self, tenant: TenantId, notice_id: str, publisher: Publisher) -> None:
        try:
            async with self._room:
                taken = await self._take(tenant, notice_id)
                if taken is not None:
                    result = await self._try(tenant, notice_id, *taken)
                    said = await self._submit(tenant, result)
                    await publisher.send(*said)
                    self._remember(said)
        except SlotLogError as error:
            LOG.warning("a try at webhook notice %s is told later: %s", notice_id, error)

    async def _take(self, tenant: TenantId, notice_id: str) -> tuple[Webhook, Due] | None:
        """None when another instance has it, or there is nowhere to send it any more."""
        by = f"{self._instance}/{uuid4().hex}"
        await self._submit(tenant, Take(tenant_id=tenant, notice_id=notice_id, by=by))
        state = await self._streams.state(tenant)
        due = state.due.get(notice_id)
        webhook = state.webhooks.get(due.webhook_id) if due else None
        return (webhook, due) if due and webhook and due.taken_by == by else None

    async def _try(self, tenant: TenantId, notice_id: str, webhook: Webhook, due: Due) -> Tried:
        now, began, status, detail = self._clock(), time.monotonic(), 0, ""
        body = due.body.encode()
        call = Call(
            "POST",
            webhook.url,
            signed_headers(notice_id, now, body, self._secrets(tenant, webhook, due, now)),
            body,
            total_seconds=PATIENCE_SECONDS,
            max_bytes=MOST_ANSWER_BYTES,
        )
        try:
            status = (await self._outgoing.send(call)).status
        except OutgoingError as error:
            detail = str(error)
        delivered = 200 <= status < 300  # noqa: PLR2004  HTTP
        if status and not delivered:
            detail = f"{host_of(webhook.url)} answered {status}; 200 to 299 takes a notice"
        return Tried(
            tenant_id=tenant,
            notice_id=notice_id,
            by=due.taken_by,
            delivered=delivered,
            http_status=status,
            duration_ms=int((time.monotonic() - began) * 1000),
            detail=detail,
            sent_at=now,
        )

    def _secrets(self, tenant: TenantId, webhook: Webhook, due: Due, now: datetime) -> list[str]:
        """The current one, and those that it has replaced while they were promised to sign."""
        return [
            signing_secret(self._master, tenant, due.webhook_id, version)
            for version in webhook.signing_versions(now)
        ]

    async def _submit(self, tenant: TenantId, message: Message) -> Sequence[Wire]:
        envelope = Envelope(
            id=str(uuid4()),
            type="internal",
            kind=Kind.EVENT,
            source=Service.AUDIT_LOG.value,
            time=self._clock(),
            tenant_id=tenant,
        )
        return await self._streams.submit(tenant, message, envelope)


def in_turn(due: Mapping[str, Due], now: datetime) -> list[str]:
    """What may be tried, never tried first: an address that fails keeps none from the others."""
    ready = [notice_id for notice_id, one in due.items() if one.next_at <= now]
    return sorted(ready, key=lambda notice_id: (due[notice_id].tries, due[notice_id].next_at))


def _id(wire: Wire) -> str:
    return wire.attributes["ce-id"]

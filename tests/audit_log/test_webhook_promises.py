"""What webhooks are owed: their turn, their secrets, and silence about what is old."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from contracts.envelope import Wire
from contracts.identifiers import TenantId, WebhookId
from contracts.message import Message, Service
from contracts.platform import CommandRefusedV1
from contracts.runs import RunStatus
from contracts.tenants import TenantOffboardedV1
from contracts.webhooks import (
    DeleteWebhookV1,
    Notice,
    NoticeSentV1,
    RotateWebhookV1,
    SaveWebhookV1,
    WebhookDeletedV1,
)
from libs.bus.memory import MemoryTransport
from libs.bus.message import Context
from libs.bus.publisher import Publisher
from libs.bus.router import Router
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.outgoing.signing import MASTER
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.vault.secrets import Secrets, SecretSettings
from services.audit_log.delivery import Deliveries, in_turn
from services.audit_log.notice_handlers import NoticeHandlers
from services.audit_log.notice_rules import MOST_SECRETS, MOST_WAITING
from services.audit_log.notice_store import NoticeDecider
from services.audit_log.notices import State, Take, Tried, Webhook
from tests.audit_log.recorder import START, delivery
from tests.audit_log.test_views import finished
from tests.audit_log.test_webhooks import HOOK, TENANT

OTHER = WebhookId("wh_two")
HOUR = timedelta(hours=1)


class NoDeliveries:
    """Nothing is sent; what is due is looked at in the state."""

    def look_at(self, tenant: TenantId) -> None:
        del tenant


@dataclass(slots=True)
class Telling:
    """The handlers over a stream, on a clock that the test moves."""

    now: datetime = START
    log: MemorySlotLog = field(default_factory=MemorySlotLog)
    streams: Writer[State] = field(init=False)
    router: Router = field(default_factory=Router)

    def __post_init__(self) -> None:
        self.streams = Writer(
            self.log, NoticeDecider(), service=Service.AUDIT_LOG, clock=lambda: self.now
        )
        deliveries, records = cast("Deliveries", NoDeliveries()), cast("Any", None)
        NoticeHandlers(self.streams, deliveries, records, lambda: self.now).register(self.router)

    async def hear(self, message: Message, at: datetime | None = None) -> list[Wire]:
        envelope = replace(delivery(message, at=at or self.now).envelope, reply_to="gateway-1")
        handler = self.router.handler_for(message)
        assert handler is not None
        return cast("list[Wire]", list(await handler(message, Context(envelope)) or ()))

    async def state(self) -> State:
        return await self.streams.state(TENANT)


def save(hook: WebhookId = HOOK) -> SaveWebhookV1:
    return SaveWebhookV1(
        tenant_id=TENANT,
        webhook_id=hook,
        url="https://hooks.told.example/secret",
        notices=(Notice.RUN_FAILED,),
        requested_by="ann",
    )


def failed(number: int) -> Message:
    return finished(TENANT, number, RunStatus.FAILED)


async def test_an_address_that_takes_nothing_keeps_no_notice_from_the_others() -> None:
    telling = Telling()
    await telling.hear(save())
    for number in range(MOST_WAITING + 1):
        await telling.hear(failed(number))
    await telling.hear(save(OTHER))
    for number in range(1000, 1003):
        await telling.hear(failed(number))
    waiting = {
        part.webhook_id: (part.waiting, part.dropped) for part in (await telling.state()).parts()
    }
    assert waiting == {HOOK: (MOST_WAITING, 4), OTHER: (3, 0)}


async def test_what_was_never_tried_is_tried_first() -> None:
    telling = Telling()
    await telling.hear(save())
    for number in range(3):
        await telling.hear(failed(number))
    first, second, third = (await telling.state()).due
    await telling.streams.submit(
        TENANT, Take(tenant_id=TENANT, notice_id=first, by="one"), delivery(save()).envelope
    )
    due = (await telling.state()).due
    assert in_turn(due, START) == [second, third]
    assert in_turn(due, START + HOUR) == [second, third, first]


async def test_a_replay_tells_nothing_old_and_changes_nothing() -> None:
    telling = Telling()
    before = telling.now - HOUR
    await telling.hear(save())
    assert not await telling.hear(failed(1), at=before)  # there was no webhook then
    assert await telling.hear(failed(2))
    telling.now += timedelta(days=1, seconds=1)
    assert not await telling.hear(failed(3), at=START)
    known = await telling.state()
    for old in (
        DeleteWebhookV1(tenant_id=TENANT, webhook_id=HOOK, requested_by="ann"),
        save(OTHER),
        rotate(START),
    ):
        assert not await telling.hear(old, at=START)
    assert await telling.state() == known


def rotate(until: datetime) -> RotateWebhookV1:
    return RotateWebhookV1(
        tenant_id=TENANT, webhook_id=HOOK, overlap_until=until, requested_by="ann"
    )


async def test_each_secret_signs_as_long_as_was_promised_however_many_follow() -> None:
    telling = Telling()
    await telling.hear(save())
    for hours in (3, 1, 2):
        await telling.hear(rotate(START + hours * HOUR))

    async def signing(after: timedelta) -> list[int]:
        return (await telling.state()).webhooks[HOOK].signing_versions(START + after)

    assert await signing(timedelta()) == [4, 3, 2, 1]
    assert await signing(HOUR) == [4, 3, 1]
    assert await signing(2 * HOUR) == [4, 1]
    assert await signing(3 * HOUR) == [4]
    telling.now += 2 * HOUR
    await telling.hear(rotate(telling.now + HOUR))
    assert await signing(2 * HOUR) == [5, 4, 1]
    for _ in range(MOST_SECRETS):
        (said,) = await telling.hear(rotate(telling.now + HOUR))
    assert CommandRefusedV1.decode(said.data).code == "too_many_secrets"
    await telling.hear(rotate(telling.now))  # at once: perhaps one of them has leaked
    webhook = (await telling.state()).webhooks[HOOK]
    assert webhook.signing_versions(telling.now) == [webhook.version]


def test_a_webhook_kept_by_an_older_release_signs_as_before() -> None:
    kept = {"url": "https://a.example", "notices": ["run.failed"], "created_at": START}
    webhook = Webhook.model_validate({**kept, "version": 2, "previous_until": START + HOUR})
    assert webhook.signing_versions(START) == [2, 1]
    assert webhook.signing_versions(START + HOUR) == [2]


async def test_of_a_tenant_that_has_left_no_address_is_kept() -> None:
    telling = Telling()
    await telling.hear(save())
    await telling.hear(save(OTHER))
    await telling.hear(failed(1))
    telling.now += HOUR
    left = TenantOffboardedV1(tenant_id=TENANT, requested_by="admin")
    said = await telling.hear(left)
    assert {WebhookDeletedV1.decode(wire.data).webhook_id for wire in said} == {HOOK, OTHER}
    telling.now += HOUR
    await telling.hear(left)
    state = await telling.state()
    assert (state.webhooks, state.due, state.past) == ({}, {}, {})
    kept = await telling.log.read(f"{Service.AUDIT_LOG.value}/{TENANT}", 0, 1000)
    assert b"hooks.told.example" not in b"".join(record.encode() for _, record in kept)


async def test_a_try_whose_teller_crashed_is_told_by_the_next(tmp_path: Path) -> None:
    (tmp_path / MASTER).write_bytes(b"0" * 32)
    (tmp_path / MASTER).chmod(0o600)
    telling, transport = Telling(), MemoryTransport()
    await telling.hear(save())
    await telling.hear(failed(1))
    (notice_id,) = (await telling.state()).due
    take = Take(tenant_id=TENANT, notice_id=notice_id, by="one")
    tried = Tried(**take.model_dump(), delivered=True, http_status=200, sent_at=START)
    for message in (take, tried):
        envelope = replace(delivery(failed(1)).envelope, id=str(uuid4()))
        said = await telling.streams.submit(TENANT, message, envelope)
    other = Deliveries(
        telling.streams,
        Outgoing(OutgoingRules.of(development=True)),
        Secrets(SecretSettings("p", tmp_path)),
        "two",
        lambda: telling.now,
    )
    running = asyncio.create_task(other.run(Publisher(Service.AUDIT_LOG, transport)))
    sent: list[Wire] = []
    async with asyncio.timeout(60):
        while not sent:
            await asyncio.sleep(0.01)
            wires = [wire for _, wire in transport.published]
            sent = [w for w in wires if w.attributes["ce-type"] == NoticeSentV1.wire_type]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await other.close()
    assert [wire.attributes["ce-id"] for wire in sent] == [w.attributes["ce-id"] for w in said]

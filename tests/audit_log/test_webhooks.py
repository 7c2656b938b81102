"""What tenants are told, signed so that they can tell it is us, until they have taken it."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.envelope import Wire
from contracts.identifiers import StepId, TenantId, WebhookId
from contracts.message import Message, Service
from contracts.platform import CommandRefusedV1
from contracts.quality import (
    CheckPart,
    CheckStatus,
    QualityCheckedV1,
    SchemaDriftedV1,
    Severity,
)
from contracts.quota import QuotaReachedV1
from contracts.runs import RunRejectedV1, RunStatus
from contracts.webhooks import (
    DeleteWebhookV1,
    Notice,
    NoticeRaisedV1,
    NoticeSentV1,
    RotateWebhookV1,
    SaveWebhookV1,
    SendNoticeV1,
)
from libs.bus.memory import MemoryTransport
from libs.bus.publisher import Publisher
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.outgoing.signing import MASTER, signing_secret
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.vault.secrets import Secrets, SecretSettings
from services.audit_log.delivery import Deliveries
from services.audit_log.notice_rules import SCHEDULE
from services.audit_log.notice_store import NoticeDecider
from services.audit_log.notices import State
from services.audit_log.tellings import telling
from tests.audit_log.recorder import START, delivery
from tests.audit_log.test_views import CONFIG, finished, run_id

TENANT, HOOK = TenantId("told_inc"), WebhookId("wh_one")
MASTER_KEY = b"0123456789abcdef0123456789abcdef"


@dataclass(slots=True)
class Receiver:
    """A tenant's server; answers what it was told to, 200 in the end."""

    statuses: list[int] = field(default_factory=list)
    got: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.bodies.append(await request.read())
        self.got.append(request)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    def signatures(self, number: int) -> list[str]:
        return [
            one.removeprefix("v1,") for one in self.got[number].headers["webhook-signature"].split()
        ]

    def expected(self, number: int, version: int) -> str:
        """As the specification has it, worked out anew."""
        headers, body = self.got[number].headers, self.bodies[number]
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        secret = signing_secret(MASTER_KEY, TENANT, HOOK, version).removeprefix("whsec_")
        return base64.b64encode(
            hmac.new(base64.b64decode(secret), text, hashlib.sha256).digest()
        ).decode()


@dataclass(slots=True)
class Webhooks:
    """The tenant's stream and its deliveries, on a clock that the test moves."""

    receiver: Receiver
    streams: Writer[State]
    deliveries: Deliveries
    publisher: Publisher
    transport: MemoryTransport
    time: list[datetime]

    async def submit(self, message: Message) -> list[Wire]:
        said = await self.streams.submit(TENANT, message, delivery_envelope(message))
        self.deliveries.look_at(TENANT)
        return list(said)

    async def save(self, *notices: Notice, hook: WebhookId = HOOK, url: str = "") -> None:
        await self.submit(
            SaveWebhookV1(
                tenant_id=TENANT,
                webhook_id=hook,
                url=url or self.receiver.url,
                notices=notices,
                requested_by="ann",
            )
        )

    async def happened(self, event: Message) -> None:
        tell = telling(event)
        assert tell is not None
        await self.submit(tell)

    def sent(self) -> list[NoticeSentV1]:
        wires = {wire.attributes["ce-id"]: wire for _, wire in self.transport.published}
        return [
            NoticeSentV1.decode(wire.data)
            for wire in wires.values()
            if wire.attributes["ce-type"] == NoticeSentV1.wire_type
        ]

    async def until_sent(self, count: int) -> list[NoticeSentV1]:
        async with asyncio.timeout(60):
            while len(self.sent()) < count:  # noqa: ASYNC110  nobody announces what is published
                await asyncio.sleep(0.01)
        return self.sent()

    def pass_time(self, seconds: float) -> None:
        self.time[0] += timedelta(seconds=seconds)
        self.deliveries.look_at(TENANT)


def delivery_envelope(message: Message) -> Any:
    known = delivery(finished(TENANT, 1, RunStatus.FAILED)).envelope
    return replace(known, id=str(uuid4()), reply_to="gateway-1")


@pytest.fixture
async def webhooks(tmp_path: Path) -> AsyncIterator[Webhooks]:
    receiver, time, transport = Receiver(), [START], MemoryTransport()
    server = TestServer(_app(receiver.take))
    await server.start_server()
    receiver.url = str(server.make_url("/hook?token=hidden"))
    (tmp_path / MASTER).write_bytes(MASTER_KEY)
    (tmp_path / MASTER).chmod(0o600)

    def clock() -> datetime:
        return time[0]

    streams = Writer(MemorySlotLog(), NoticeDecider(), service=Service.AUDIT_LOG, clock=clock)
    deliveries = Deliveries(
        streams,
        Outgoing(OutgoingRules.of(development=True)),
        Secrets(SecretSettings("p", tmp_path)),
        "one",
        clock,
    )
    publisher = Publisher(Service.AUDIT_LOG, transport, clock)
    running = asyncio.create_task(deliveries.run(publisher))
    yield Webhooks(receiver, streams, deliveries, publisher, transport, time)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await deliveries.close()
    await server.close()


def _app(take: Callable[[web.BaseRequest], Awaitable[web.Response]]) -> web.Application:
    app = web.Application()
    app.router.add_post("/hook", take)
    return app


async def test_a_failed_run_is_told_once_and_signed(webhooks: Webhooks) -> None:
    await webhooks.save(Notice.RUN_FAILED)
    await webhooks.happened(finished(TENANT, 1, RunStatus.FAILED))
    await webhooks.happened(finished(TENANT, 1, RunStatus.FAILED))
    await webhooks.happened(finished(TENANT, 2, RunStatus.COMPLETED))
    (sent,) = await webhooks.until_sent(1)
    assert (sent.delivered, sent.http_status, sent.try_number) == (True, 200, 1)
    body = json.loads(webhooks.receiver.bodies[0])
    assert (body["type"], body["data"]["run_id"]) == ("run.failed", run_id(1))
    assert webhooks.receiver.got[0].headers["webhook-id"] == sent.notice_id
    assert webhooks.receiver.signatures(0) == [webhooks.receiver.expected(0, 1)]
    assert "hidden" not in sent.model_dump_json()


async def test_what_is_not_taken_is_sent_again_later_under_the_same_id(
    webhooks: Webhooks,
) -> None:
    webhooks.receiver.statuses = [500, 503]
    await webhooks.save(Notice.RUN_FINISHED)
    await webhooks.happened(finished(TENANT, 1, RunStatus.COMPLETED))
    (first,) = await webhooks.until_sent(1)
    assert (first.delivered, first.next_try_at) == (False, START + timedelta(seconds=SCHEDULE[1]))
    webhooks.pass_time(SCHEDULE[1])
    await webhooks.until_sent(2)
    webhooks.pass_time(SCHEDULE[2])
    tries = await webhooks.until_sent(3)
    assert [one.try_number for one in tries] == [1, 2, 3]
    assert tries[-1].delivered
    assert len({request.headers["webhook-id"] for request in webhooks.receiver.got}) == 1
    assert len(set(webhooks.receiver.bodies)) == 1


async def test_in_the_end_it_is_given_up(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [500] * len(SCHEDULE)
    await webhooks.save(Notice.RUN_FAILED)
    await webhooks.happened(finished(TENANT, 1, RunStatus.FAILED))
    for number, pause in enumerate(SCHEDULE, start=1):
        webhooks.pass_time(pause)
        await webhooks.until_sent(number)
    last = webhooks.sent()[-1]
    assert (last.delivered, last.next_try_at) == (False, None)
    assert not (await webhooks.streams.state(TENANT)).due


async def test_both_secrets_sign_while_one_replaces_the_other(webhooks: Webhooks) -> None:
    await webhooks.save(Notice.RUN_FAILED)
    until = START + timedelta(hours=1)
    await webhooks.submit(
        RotateWebhookV1(tenant_id=TENANT, webhook_id=HOOK, overlap_until=until, requested_by="ann")
    )
    test = SendNoticeV1(tenant_id=TENANT, webhook_id=HOOK, requested_by="ann")
    await webhooks.submit(test)
    await webhooks.until_sent(1)
    receiver = webhooks.receiver
    assert receiver.signatures(0) == [receiver.expected(0, 2), receiver.expected(0, 1)]
    webhooks.pass_time(7200)
    await webhooks.submit(test)
    await webhooks.until_sent(2)
    assert receiver.signatures(1) == [receiver.expected(1, 2)]


async def test_a_notice_is_sent_again_when_asked_for(webhooks: Webhooks) -> None:
    await webhooks.save(Notice.RUN_FAILED)
    await webhooks.happened(finished(TENANT, 1, RunStatus.FAILED))
    (sent,) = await webhooks.until_sent(1)
    again = SendNoticeV1(
        tenant_id=TENANT, webhook_id=HOOK, notice_id=sent.notice_id, requested_by="ann"
    )
    (due,) = await webhooks.submit(again)
    assert NoticeRaisedV1.decode(due.data).notice_id == sent.notice_id
    second = (await webhooks.until_sent(2))[-1]
    assert (second.notice_id, second.delivered) == (sent.notice_id, True)
    unknown = again.model_copy(update={"notice_id": "msg_other"})
    (refused,) = await webhooks.submit(unknown)
    assert CommandRefusedV1.decode(refused.data).code == "notice_not_found"


async def test_who_is_gone_is_told_no_more(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [410]
    await webhooks.save(Notice.RUN_FAILED)
    await webhooks.happened(finished(TENANT, 1, RunStatus.FAILED))
    (sent,) = await webhooks.until_sent(1)
    assert sent.next_try_at is None
    await webhooks.happened(finished(TENANT, 2, RunStatus.FAILED))
    state = await webhooks.streams.state(TENANT)
    assert (state.due, state.webhooks[HOOK].is_active) == ({}, False)


async def test_a_deleted_webhook_drops_what_was_waiting(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [500]
    await webhooks.save(Notice.RUN_FAILED)
    await webhooks.happened(finished(TENANT, 1, RunStatus.FAILED))
    await webhooks.until_sent(1)
    await webhooks.submit(DeleteWebhookV1(tenant_id=TENANT, webhook_id=HOOK, requested_by="ann"))
    assert await webhooks.streams.state(TENANT) == State(deleted=(HOOK,))


async def test_a_deleted_webhook_is_not_made_anew_by_an_old_command(webhooks: Webhooks) -> None:
    await webhooks.save(Notice.RUN_FAILED)
    await webhooks.submit(DeleteWebhookV1(tenant_id=TENANT, webhook_id=HOOK, requested_by="ann"))
    await webhooks.save(Notice.RUN_FAILED)
    assert not (await webhooks.streams.state(TENANT)).webhooks


async def test_another_instance_takes_over_what_one_left_and_sends_nothing_twice(
    webhooks: Webhooks,
) -> None:
    await webhooks.save(Notice.RUN_FAILED)
    other = Deliveries(
        webhooks.streams,
        Outgoing(OutgoingRules.of(development=True)),
        webhooks.deliveries._secrets_of_platform,
        "two",
        lambda: webhooks.time[0],
    )
    running = asyncio.create_task(other.run(webhooks.publisher))
    for number in range(10):
        await webhooks.happened(finished(TENANT, number, RunStatus.FAILED))
        other.look_at(TENANT)
    await webhooks.until_sent(10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await other.close()
    ids = [request.headers["webhook-id"] for request in webhooks.receiver.got]
    assert (len(ids), len(set(ids))) == (10, 10)


def test_only_failed_checks_are_worth_telling() -> None:
    def checked(*statuses: CheckStatus) -> QualityCheckedV1:
        checks = tuple(
            CheckPart(name=f"c{n}", kind="k", severity=Severity.FAIL, status=status)
            for n, status in enumerate(statuses)
        )
        return QualityCheckedV1(
            tenant_id=TENANT,
            run_id=run_id(1),
            attempt=1,
            step_id=StepId("check"),
            table="t",
            checked_at=START,
            checks=checks,
        )

    assert telling(checked(CheckStatus.PASSED)) is None
    tell = telling(checked(CheckStatus.PASSED, CheckStatus.FAILED))
    assert tell is not None
    assert tell.data["checks"] == [{"name": "c1", "status": "FAILED"}]


async def test_a_limit_is_told_at_80_and_100_percent_once_in_its_period(
    webhooks: Webhooks,
) -> None:
    await webhooks.save(Notice.QUOTA_WARNING, Notice.QUOTA_EXHAUSTED)

    def reached(percent: int, period: str = "2026-03-14") -> QuotaReachedV1:
        return QuotaReachedV1(
            tenant_id=TENANT,
            limit="daily",
            percent=percent,
            used=percent * 6 // 100,
            most=6,
            period=period,
            resets_at=START + timedelta(days=1),
            reached_at=START,
        )

    for percent in (80, 80, 100, 80, 100):
        await webhooks.happened(reached(percent))
    rejected = RunRejectedV1(
        tenant_id=TENANT,
        run_id=run_id(9),
        config_id=CONFIG,
        run_date=START.date(),
        code="quota_exceeded",
        limit="daily",
        reason="used up",
        submitted_at=START,
    )
    await webhooks.happened(rejected)
    sent = await webhooks.until_sent(2)
    assert sorted(one.notice for one in sent) == ["quota.exhausted", "quota.warning"]
    await webhooks.happened(reached(80, "2026-03-15"))
    assert len(await webhooks.until_sent(3)) == 3


async def test_a_schema_that_drifted_is_told(webhooks: Webhooks) -> None:
    await webhooks.save(Notice.SCHEMA_DRIFTED)
    drifted = SchemaDriftedV1(
        tenant_id=TENANT,
        run_id=run_id(1),
        attempt=1,
        step_id=StepId("load"),
        table="told_inc.raw",
        added=("price",),
        found_at=START,
    )
    for _ in range(2):
        await webhooks.happened(drifted)
    (sent,) = await webhooks.until_sent(1)
    body = json.loads(webhooks.receiver.bodies[0])
    assert (sent.notice, body["type"]) == (Notice.SCHEMA_DRIFTED, "schema.drifted")
    assert (body["data"]["table"], body["data"]["added"]) == ("told_inc.raw", ["price"])

"""What goes on for long ends with the key that opened it: streams, and waiting for news."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from contracts.audit import EventListV1, ListEventsV1
from contracts.envelope import Envelope
from contracts.examples import example_part
from contracts.identifiers import RunId
from contracts.keys import FindKeyV1, KeyIssuedV1, KeyRevokedV1, KeyRotatedV1
from contracts.message import Kind, Message
from contracts.runs import RunRequestedV1
from contracts.tenants import TenantStatus, TenantSuspendedV1
from libs.bus.message import Context
from libs.bus.router import Router
from services.gateway.api.edge import Edge
from services.gateway.handlers import cut_off, register
from tests.gateway.edges import (
    KEY,
    NOW,
    PEPPER,
    TENANT,
    ScriptedRequester,
    edge_on,
    found_key,
    serving,
)

RUN = RunId("00000000-0000-4000-8000-000000000001")
PATH = f"/api/v1/pipelines/runs/{RUN}"
BY = {"tenant_id": TENANT, "requested_by": "admin"}
HASH = KEY.hash(PEPPER)
"""Whose key it is follows a run that does not end."""


class Tenants(ScriptedRequester):
    """Says of the key what is so now."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.changed: dict[str, object] = {}

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        if isinstance(question, FindKeyV1):
            return found_key(question).model_copy(update=self.changed)
        if isinstance(question, ListEventsV1):
            return EventListV1(tenant_id=TENANT, events=())
        return await super().answer(question, wanted, id_)


@dataclass(slots=True)
class Gateway:
    url: str
    edge: Edge
    tenants: Tenants
    router: Router

    async def hear(self, event: Message) -> None:
        handler = self.router.handler_for(event)
        assert handler is not None
        await handler(event, context_of(event))


def context_of(event: Message) -> Context:
    return Context(
        Envelope(
            id="00000000-0000-4000-8000-0000000000ff",
            type=event.wire_type,
            kind=Kind.EVENT,
            source="tenant",
            time=NOW,
            tenant_id=TENANT,
        )
    )


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    tenants, router = Tenants(), Router()
    edge = edge_on(requester=tenants)
    register(router, edge.live, edge.auth)
    async with serving(edge) as url:
        found = Gateway(url, edge, tenants, router)
        begun = example_part(RunRequestedV1).model_copy(update={"tenant_id": TENANT, "run_id": RUN})
        await found.hear(begun)
        yield found
        edge.stopping.set()
        edge.live.wake_all()


REVOKED = KeyRevokedV1.model_validate({**BY, "key_hash": HASH, "revoked_at": NOW})
SUSPENDED = TenantSuspendedV1.model_validate({**BY, "reason": "unpaid"})
ENDS = [
    pytest.param(REVOKED, {"key": None}, 401, id="revoked"),
    pytest.param(SUSPENDED, {"tenant_status": TenantStatus.SUSPENDED}, 403, id="suspended"),
]


@pytest.mark.parametrize(("event", "change", "status"), ENDS)
async def test_a_stream_ends_with_its_key(
    gateway: Gateway, event: Message, change: dict[str, object], status: int
) -> None:
    del status
    async with (
        aiohttp.ClientSession(headers={"X-API-Key": KEY.text}) as session,
        session.get(gateway.url + PATH + "/events") as stream,
        asyncio.timeout(60),
    ):
        assert stream.status == 200
        assert b"retry" in await stream.content.readline()
        gateway.tenants.changed = change
        await gateway.hear(event)
        await stream.read()  # to its end


@pytest.mark.parametrize(("event", "change", "status"), ENDS)
async def test_who_waits_for_news_is_turned_away_with_their_key(
    gateway: Gateway, event: Message, change: dict[str, object], status: int
) -> None:
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY.text}) as session:
        waiting = asyncio.create_task(session.get(gateway.url + PATH + "?wait=25"))
        live = gateway.edge.live.followed(TENANT, RUN)
        async with asyncio.timeout(60):
            while not live.changed._waiters:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)
            gateway.tenants.changed = change
            await gateway.hear(event)
            assert (await waiting).status == status


@pytest.mark.parametrize("since", ["", "&since={version}"], ids=["for the end", "for news"])
async def test_who_waits_is_answered_when_the_gateway_stops(gateway: Gateway, since: str) -> None:
    live = gateway.edge.live.followed(TENANT, RUN)
    path = f"{PATH}?wait=25{since.format(version=live.version)}"
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY.text}) as session:
        waiting = asyncio.create_task(session.get(gateway.url + path))
        async with asyncio.timeout(60):
            while not live.changed._waiters:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)
            gateway.edge.stopping.set()
            gateway.edge.live.wake_all()
            answer = await waiting
            assert (answer.status, (await answer.json())["status"]) == (200, "PENDING")


@pytest.mark.parametrize("path", [PATH + "/events", PATH + "?wait=25"], ids=["stream", "wait"])
async def test_who_follows_a_run_is_looked_at_again_when_events_break_off(
    gateway: Gateway, path: str
) -> None:
    """The revocation itself has not been heard, and may not be for long."""
    live = gateway.edge.live.followed(TENANT, RUN)
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY.text}) as session:
        following = asyncio.create_task(read(session, gateway.url + path))
        async with asyncio.timeout(60):
            while not live.changed._waiters:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)
            gateway.tenants.changed = {"key": None}
            cut_off(gateway.edge.live, gateway.edge.auth)()
            status = await following
    assert status == (200 if path.endswith("/events") else 401)


async def read(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        await answer.read()  # to its end
        return answer.status


async def test_a_stream_goes_on_when_another_key_changes(gateway: Gateway) -> None:
    async with (
        aiohttp.ClientSession(headers={"X-API-Key": KEY.text}) as session,
        session.get(gateway.url + PATH + "/events") as stream,
    ):
        for kind in (KeyIssuedV1, KeyRotatedV1):
            await gateway.hear(example_part(kind).model_copy(update={"tenant_id": TENANT}))
        other = REVOKED.model_copy(update={"key_hash": "0" * 64})
        await gateway.hear(other)
        live = gateway.edge.live.followed(TENANT, RUN)
        async with asyncio.timeout(60):
            while not live.changed._waiters:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)
        assert not stream.content.at_eof()

"""Every route of the document that changes something leaves one line in the audit trail."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from contracts.calls import ActorKind, CallAnsweredV1, CallOutcome
from contracts.message import Service
from libs.bus.publisher import Publisher
from libs.settings import GatewaySettings, OnboardingMode
from libs.web.app import About, create_app
from libs.web.server import serve
from services.gateway.auth import Authenticator
from services.gateway.openapi import PATH
from services.gateway.trail import CHANGING, Trail
from tests.api.threads import ExampleRequester
from tests.gateway.door import Recorder
from tests.gateway.edges import ADMIN_KEY, KEY, TENANT, edge_on, routes_on
from tests.tenancy.walk import Operation, operations

UUID = "00000000-0000-4000-8000-000000000001"
IDS = {
    "tenant_id": str(TENANT),
    "config_id": "daily",
    "run_id": UUID,
    "backfill_id": UUID,
    "credential_id": "aws_main",
    "key_hash": "ab" * 32,
    "webhook_id": UUID,
    "notice_id": UUID,
}
CHANGES = [
    pytest.param(one, id=one.name)
    for one in operations(json.loads(PATH.read_text()))
    if one.method in CHANGING
]


class Told:
    """A gateway whose trail is kept."""

    def __init__(self, auth: Authenticator) -> None:
        self.recorder = Recorder()
        self.trail = Trail(Publisher(Service.GATEWAY, self.recorder), auth.remembered)
        self.url = ""

    async def events(self) -> list[CallAnsweredV1]:
        await self.trail.finish()
        return [CallAnsweredV1.decode(wire.data) for wire in self.recorder.published]


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    async def nothing() -> list[str]:
        return []

    settings = GatewaySettings(
        admin_api_key=SecretStr(ADMIN_KEY),
        onboarding_mode=OnboardingMode.ADMIN,
        rate_limit_address=0,
        rate_limit_tenant=0,
    )
    edge = edge_on(settings=settings, requester=ExampleRequester())
    found = Told(edge.auth)
    about = About("gateway", "0", "test")
    app = create_app(about, nothing, routes_on(edge), [found.trail.layer])
    runner, port = await serve(app, host="127.0.0.1", port=0)
    found.url = f"http://127.0.0.1:{port}"
    yield found
    await runner.cleanup()


async def ask(url: str, one: Operation, *, body: Any, key: bool = True) -> int:
    """The status; with the key that opens it, or with a wrong one."""
    named = {"X-API-Key": KEY.text} if one.is_tenants else {"X-Admin-Key": ADMIN_KEY}
    headers = {name: text if key else text[:-1] + "!" for name, text in named.items()}
    _, media = one.body
    headers |= {"Content-Type": media} if media else {}
    query = "&".join(f"{name}={IDS[name]}" for name in one.parameters("query") if name in IDS)
    text = body if isinstance(body, str) else json.dumps(body) if media else None
    async with aiohttp.ClientSession() as session:
        address = f"{url}{one.filled(IDS)}?{query}"
        async with session.request(one.method, address, data=text, headers=headers) as answer:
            return answer.status


@pytest.mark.parametrize("one", CHANGES)
async def test_a_change_is_told_with_its_outcome(told: Told, one: Operation) -> None:
    status = await ask(told.url, one, body=one.body[0])
    (event,) = await told.events()
    assert (event.method, event.route, event.status) == (one.method, one.path, status)
    assert event.actor is (ActorKind.TENANT if one.is_tenants else ActorKind.ADMIN)
    assert event.outcome is not CallOutcome.DONE or status < 300
    if one.is_tenants:
        assert (event.tenant_id, event.key) == (TENANT, "0000")
    if "tenant_id" in (*one.identifiers, *one.parameters("query")):
        assert event.tenant_id == TENANT


@pytest.mark.parametrize("one", [one for one in CHANGES if one.values[0].body[1]])  # type: ignore[union-attr]
async def test_a_change_that_is_refused_is_told_too(told: Told, one: Operation) -> None:
    _, media = one.body
    status = await ask(told.url, one, body="{" if media == "application/json" else " ")
    (event,) = await told.events()
    assert (event.status, event.outcome) == (status, CallOutcome.REFUSED)
    assert event.code


@pytest.mark.parametrize("one", CHANGES)
async def test_a_stranger_changes_nothing_and_is_not_told(told: Told, one: Operation) -> None:
    assert await ask(told.url, one, body=one.body[0], key=False) == 401
    assert await told.events() == []

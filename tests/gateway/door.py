"""A gateway's door without the platform behind it: keys, limits and the trail."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from contracts.calls import CallAnsweredV1
from contracts.identifiers import KeyHash, TenantId
from contracts.keys import FindKeyV1, KeyFoundV1, KeyPart, StoredKeyPart
from contracts.message import Service
from contracts.tenants import TenantStatus
from libs.bus.errors import NoAnswerError
from libs.bus.memory import MemoryTransport
from libs.bus.publisher import Publisher
from libs.settings import GatewaySettings
from libs.web.app import About, answer, create_app
from libs.web.problem import Problem
from services.gateway import keys
from services.gateway.auth import Authenticator
from services.gateway.limits import Limits
from services.gateway.trail import Trail

PEPPER = b"pepper"
ADMIN_KEY = "cvadm_first-0123456789abcdefghijklmnopqrst"
OLD_ADMIN_KEY = "cvadm_second-0123456789abcdefghijklmnopqrs"
START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


@dataclass
class Tenants:
    """What the tenant service knows, and how often it was asked."""

    stored: dict[KeyHash, StoredKeyPart] = field(default_factory=dict)
    status: dict[str, TenantStatus] = field(default_factory=dict)
    asked: int = 0
    silent: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def issue(self, tenant: str, **more: Any) -> keys.ApiKey:
        key = keys.mint(TenantId(tenant))
        part = KeyPart(key_hash=key.hash(PEPPER), last_four=key.last_four, **more)
        self.stored[part.key_hash] = StoredKeyPart(
            key=part, is_active=True, created_at=START, created_by="admin"
        )
        return key

    def revoke(self, key: keys.ApiKey) -> KeyHash:
        key_hash = key.hash(PEPPER)
        ended = {"is_active": False, "revoked_at": START}
        self.stored[key_hash] = self.stored[key_hash].model_copy(update=ended)
        return key_hash

    async def ask(
        self, question: FindKeyV1, *_answers: type[KeyFoundV1], within: float
    ) -> KeyFoundV1:
        self.asked += 1
        self.begun.set()
        if self.silent:
            raise NoAnswerError(question.wire_type, within)
        found = self.stored.get(question.key_hash)
        status = self.status.get(question.tenant_id, TenantStatus.ACTIVE)
        await self.gate.wait()
        return KeyFoundV1(
            tenant_id=question.tenant_id,
            key_hash=question.key_hash,
            key=found,
            tenant_status=status.value,
        )


class Recorder(MemoryTransport):
    """Keeps what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Any] = []

    async def publish(self, topic: str, wires: Any) -> None:  # noqa: ARG002  one is enough
        self.published += wires


@dataclass
class Door:
    """The app, with its time moved by hand."""

    settings: GatewaySettings
    tenants: Tenants = field(default_factory=Tenants)
    recorder: Recorder = field(default_factory=Recorder)
    now: datetime = START

    def __post_init__(self) -> None:
        self.limits = Limits(self.settings, self._seconds)
        self.auth = Authenticator(
            self.tenants, PEPPER, self.settings, lambda: self.now, self.limits
        )
        self.trail = Trail(Publisher(Service.GATEWAY, self.recorder), self.auth.remembered)

    def _seconds(self) -> float:
        return (self.now - START).total_seconds()

    def wait(self, **parts: float) -> None:
        self.now += timedelta(**parts)

    def app(self) -> web.Application:
        async def ready() -> list[str]:
            return []

        routes = [
            web.get("/api/v1/tenants/me", self._me),
            web.get("/api/v1/tenants/{tenant_id}/credentials", self._me),
            web.delete("/api/v1/pipelines/configs/{config_id}", self._refuse),
            web.post("/api/v1/pipelines/run/{config_id}", self._me),
            web.delete("/api/v1/admin/tenants/{tenant_id}", self._admin),
        ]
        layers = (self.trail.layer, self.limits.layer)
        return create_app(About("gateway", "1", "test"), ready, routes, layers)

    async def _me(self, request: web.Request) -> web.Response:
        return answer({"tenant_id": await self.auth.tenant(request)})

    async def _refuse(self, request: web.Request) -> web.Response:
        await self.auth.tenant(request)
        raise Problem(412, "revision_conflict", "It has changed.")

    async def _admin(self, request: web.Request) -> web.Response:
        self.auth.admin(request)
        return answer({})

    async def told(self) -> list[CallAnsweredV1]:
        await self.trail.finish()
        return [CallAnsweredV1.decode(wire.data) for wire in self.recorder.published]


@dataclass
class Visitor:
    """Calls a door over HTTP."""

    client: "TestClient[web.Request, web.Application]"
    door: Door

    async def call(
        self,
        key: keys.ApiKey | str = "",
        path: str = "/api/v1/tenants/me",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        text = key.text if isinstance(key, keys.ApiKey) else key
        given = {"X-API-Key": text} if text else {}
        return await self.client.request(method, path, headers={**given, **(headers or {})})

    async def code(self, key: keys.ApiKey | str = "", **more: Any) -> tuple[int, str]:
        response = await self.call(key, **more)
        body = await response.json()
        return response.status, body.get("code", "")


@asynccontextmanager
async def visiting(**settings: Any) -> AsyncIterator[Visitor]:
    chosen = {"admin_api_key": f"{ADMIN_KEY},{OLD_ADMIN_KEY}", **settings}
    door = Door(GatewaySettings.model_validate(chosen))
    async with TestClient(TestServer(door.app())) as client:
        yield Visitor(client, door)

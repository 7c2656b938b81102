"""Routes for the platform's operators: bootstrap, tenants, keys."""

from collections.abc import Sequence
from datetime import datetime

from aiohttp import web
from pydantic import AwareDatetime, Field

from contracts.identifiers import KeyHash, TenantId
from contracts.keys import IssueKeyV1, KeyIssuedV1, KeyPart, KeyRevokedV1, RevokeKeyV1
from contracts.platform import BootstrapPlatformV1, PlatformBootstrappedV1
from contracts.tenants import (
    GetTenantV1,
    ListTenantsV1,
    TenantListV1,
    TenantOnboardedV1,
    TenantV1,
)
from contracts.ticks import TickAppliedV1, TickJob, TickV1
from libs.web.app import answer
from libs.web.body import read_model
from services.gateway import keys
from services.gateway.api.edge import Body, Edge, identifier, who
from services.gateway.api.tenants import onboarding

ADMIN = "admin"


class BootstrapBody(Body):
    force_recreate_dataset: bool = False
    force_recreate_tables: bool = False
    confirm: str = ""


class TenantBody(Body):
    tenant_id: TenantId
    company_name: str = Field(default="", max_length=200)
    admin_email: str = Field(default="", max_length=320)
    description: str = Field(default="", max_length=1000)
    subscription_plan: str = "STARTER"


class KeyBody(Body):
    tenant_id: TenantId
    description: str = Field(default="", max_length=1000)
    scopes: tuple[str, ...] = ()
    expires_at: AwareDatetime | None = None


class AdminRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        made = []
        for prefix in ("/api/v1/admin", "/admin"):
            made += [
                web.post(f"{prefix}/bootstrap", self.bootstrap),
                web.post(f"{prefix}/tenants", self.create_tenant),
                web.get(f"{prefix}/tenants", self.list_tenants),
                web.get(f"{prefix}/tenants/{{tenant_id}}", self.show_tenant),
                web.post(f"{prefix}/api-keys", self.create_key),
                web.delete(f"{prefix}/api-keys/{{key_hash}}", self.revoke_key),
            ]
        return [
            *made,
            web.post("/api/v1/scheduler/trigger", self.tick(TickJob.TRIGGER)),
            web.post("/api/v1/scheduler/process-queue", self.tick(TickJob.QUEUE)),
            web.post("/api/v1/scheduler/reset-daily-quotas", self.tick(TickJob.DAILY)),
        ]

    async def bootstrap(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        body = await read_model(request, BootstrapBody)
        done = await self._edge.questions.ask(
            BootstrapPlatformV1(**body.model_dump()),
            PlatformBootstrappedV1,
            within=self._edge.settings.provision_timeout_seconds,
        )
        return answer(done.model_dump(mode="json"))

    async def create_tenant(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        body = await read_model(request, TenantBody)
        command = onboarding(
            body.tenant_id,
            body.company_name or body.tenant_id,
            body.admin_email or f"admin@{body.tenant_id}.invalid",
            body.subscription_plan,
            by=who(request, ADMIN),
            description=body.description,
        )
        done = await self._edge.questions.ask(
            command, TenantOnboardedV1, within=self._edge.settings.provision_timeout_seconds
        )
        return answer(done.model_dump(mode="json"), status=201)

    async def list_tenants(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        after = request.query.get("after")
        query = ListTenantsV1(after=identifier(TenantId, after, "/after") if after else None)
        found = await self._edge.questions.ask(query, TenantListV1)
        return answer(found.model_dump(mode="json"))

    async def show_tenant(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        tenant = identifier(TenantId, request.match_info["tenant_id"], "/tenant_id")
        found = await self._edge.questions.ask(GetTenantV1(tenant_id=tenant), TenantV1)
        return answer(found.tenant.model_dump(mode="json"))

    async def create_key(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        body = await read_model(request, KeyBody)
        key = keys.mint(body.tenant_id)
        part = key_part(key, self._edge.pepper, body.description, body.scopes, body.expires_at)
        command = IssueKeyV1(tenant_id=body.tenant_id, key=part, requested_by=who(request, ADMIN))
        issued = await self._edge.questions.ask(command, KeyIssuedV1)
        return answer({"api_key": key.text, **_shown(issued)}, status=201, Cache_Control="no-store")

    async def revoke_key(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        tenant = identifier(TenantId, request.query.get("tenant_id", ""), "/tenant_id")
        key_hash = identifier(KeyHash, request.match_info["key_hash"], "/key_hash")
        command = RevokeKeyV1(tenant_id=tenant, key_hash=key_hash, requested_by=who(request, ADMIN))
        await self._edge.questions.ask(command, KeyRevokedV1)
        return web.Response(status=204)

    def tick(self, job: TickJob) -> "TickRoute":
        return TickRoute(self._edge, job)


class TickRoute:
    """Publishes the tick that Cloud Scheduler would, and says what it led to."""

    def __init__(self, edge: Edge, job: TickJob) -> None:
        self._edge = edge
        self._job = job

    async def __call__(self, request: web.Request) -> web.Response:
        self._edge.auth.admin(request)
        applied = await self._edge.questions.ask(TickV1(job=self._job), TickAppliedV1)
        return answer(applied.model_dump(mode="json"))


def key_part(
    key: keys.ApiKey,
    pepper: bytes,
    description: str = "",
    scopes: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> KeyPart:
    return KeyPart(
        key_hash=key.hash(pepper),
        last_four=key.last_four,
        description=description,
        scopes=scopes,
        expires_at=expires_at,
    )


def _shown(issued: KeyIssuedV1) -> dict[str, object]:
    return {
        "tenant_id": issued.tenant_id,
        "api_key_hash": issued.key.key_hash,
        "last_four": issued.key.last_four,
        "created_at": issued.created_at.isoformat(),
    }

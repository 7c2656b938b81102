"""Routes by which a tenant comes in and looks at itself."""

from collections.abc import Sequence

from aiohttp import web
from pydantic import Field

from contracts.identifiers import TenantId
from contracts.keys import KeyPart
from contracts.quota import GetQuotaV1, QuotaV1
from contracts.tenants import GetTenantV1, OnboardTenantV1, TenantOnboardedV1, TenantV1
from libs.settings import OnboardingMode
from libs.web.app import answer
from libs.web.body import read_model
from libs.web.problem import Problem
from services.gateway import keys
from services.gateway.api.edge import Body, Edge, who

SMALLEST_PLAN = "STARTER"


class OnboardBody(Body):
    tenant_id: TenantId
    company_name: str = Field(min_length=1, max_length=200)
    admin_email: str = Field(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")
    subscription_plan: str = SMALLEST_PLAN


class TenantRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.post("/api/v1/tenants/onboard", self.onboard),
            web.get("/api/v1/tenants/me", self.me),
            web.get("/api/v1/tenants/quota", self.quota),
        ]

    async def onboard(self, request: web.Request) -> web.Response:
        by = self._check_door(request)
        body = await read_model(request, OnboardBody)
        if by == "self" and body.subscription_plan != SMALLEST_PLAN:
            detail = f"Onboarding yourself gives plan {SMALLEST_PLAN}; an operator can change it."
            raise Problem(403, "plan_needs_admin", detail)
        key = keys.mint(body.tenant_id)
        first = KeyPart(
            key_hash=key.hash(self._edge.pepper),
            last_four=key.last_four,
            description="made at onboarding",
        )
        command = onboarding(
            body.tenant_id,
            body.company_name,
            body.admin_email,
            body.subscription_plan,
            by=who(request, by),
            first_key=first,
        )
        done = await self._edge.questions.ask(
            command, TenantOnboardedV1, within=self._edge.settings.provision_timeout_seconds
        )
        shown = {
            **done.model_dump(mode="json"),
            "api_key": key.text,
            "dataset_status": "READY",
        }
        return answer(shown, status=201, Cache_Control="no-store")

    def _check_door(self, request: web.Request) -> str:
        """Who opens it: the tenant itself, or an operator."""
        mode = self._edge.settings.onboarding
        if "X-Admin-Key" in request.headers or mode is OnboardingMode.ADMIN:
            self._edge.auth.admin(request)
            return "admin"
        if mode is OnboardingMode.CLOSED:
            raise Problem(403, "onboarding_closed", "No new tenants are taken in.")
        return "self"

    async def me(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        found = await self._edge.questions.ask(GetTenantV1(tenant_id=tenant), TenantV1)
        return answer(found.tenant.model_dump(mode="json"))

    async def quota(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        found = await self._edge.questions.ask(GetQuotaV1(tenant_id=tenant), QuotaV1)
        return answer(found.model_dump(mode="json"))


def onboarding(  # noqa: PLR0913  what a tenant is registered with
    tenant_id: TenantId,
    company_name: str,
    admin_email: str,
    plan: str,
    *,
    by: str,
    description: str = "",
    first_key: KeyPart | None = None,
) -> OnboardTenantV1:
    return OnboardTenantV1(
        tenant_id=tenant_id,
        company_name=company_name,
        admin_email=admin_email,
        description=description,
        plan=plan,
        first_key=first_key,
        requested_by=by,
    )

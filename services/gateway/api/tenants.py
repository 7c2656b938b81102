"""Endpoints by which a tenant comes in and looks at itself."""

from pydantic import Field

from contracts.datasets import DatasetRegisteredV1, RegisterDatasetV1
from contracts.identifiers import DatasetName, TenantId
from contracts.keys import KeyPart
from contracts.message import Part
from contracts.quota import GetQuotaV1, QuotaV1
from contracts.tenants import (
    GetTenantV1,
    OnboardTenantV1,
    TenantOnboardedV1,
    TenantPart,
    TenantV1,
)
from libs.settings import OnboardingMode
from libs.web.problem import Problem
from services.gateway import minting
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Body, Call, Who, endpoint
from services.gateway.auth import ACTOR, GUEST

SMALLEST_PLAN = "STARTER"
REGISTERING = ("dataset_taken", "tenant_exists", "tenant_id_reserved", "unknown_plan")


class OnboardBody(Body):
    tenant_id: TenantId
    company_name: str = Field(min_length=1, max_length=200)
    admin_email: str = Field(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")
    subscription_plan: str = SMALLEST_PLAN
    """Without an operator's key only the smallest plan is given."""


class Onboarded(TenantOnboardedV1):
    """The new tenant and its first key, which is shown this once."""

    api_key: str
    dataset_status: str = "READY"


class DatasetBody(Body):
    dataset: DatasetName
    """Starts with the tenant's own name and an underscore."""


class Datasets(Part):
    tenant_id: TenantId
    datasets: tuple[str, ...]
    """All that the tenant's pipelines may use."""


class TenantRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        "/api/v1/tenants/onboard",
        Who.GUEST,
        status=201,
        errors=(*REGISTERING, "onboarding_closed", "plan_needs_admin"),
        example={
            "tenant_id": "acme_cloud",
            "company_name": "Acme Cloud GmbH",
            "admin_email": "finops@acme.example",
        },
    )
    async def onboard(self, call: Call, body: OnboardBody) -> Answer[Onboarded]:
        """Come in: a tenant, its datasets and its first key, as far as the door is open."""
        by = self._check_door(call)
        call.concerns(body.tenant_id)
        if by == "self" and body.subscription_plan != SMALLEST_PLAN:
            detail = f"Onboarding yourself gives plan {SMALLEST_PLAN}; an operator can change it."
            raise Problem(403, "plan_needs_admin", detail)
        key = minting.mint(body.tenant_id, self._edge.pepper)
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
            by=call.who(by),
            first_key=first,
        )
        done = await self._edge.questions.ask(
            command,
            TenantOnboardedV1,
            within=self._edge.settings.provision_timeout_seconds,
            unheard=minting.first_key_lost(body.tenant_id, first.key_hash, guest=by == "self"),
        )
        return Answer(
            Onboarded(**done.model_dump(), api_key=key.text), {"Cache-Control": "no-store"}
        )

    def _check_door(self, call: Call) -> str:
        """Who opens it: the tenant itself, or an operator."""
        if call.request.get(ACTOR, GUEST).kind == "admin":
            return "admin"
        mode = self._edge.settings.onboarding
        if mode is OnboardingMode.ADMIN:
            self._edge.auth.admin(call.request)  # ends the request, unless keys are not asked for
            return "admin"
        if mode is OnboardingMode.CLOSED:
            raise Problem(403, "onboarding_closed", "No new tenants are taken in.")
        call.request[ACTOR] = GUEST
        return "self"

    @endpoint("GET", "/api/v1/tenants/me", Who.TENANT)
    async def me(self, call: Call) -> TenantPart:
        """Show the tenant whose key this is."""
        found = await self._edge.questions.ask(GetTenantV1(tenant_id=call.tenant), TenantV1)
        return found.tenant

    @endpoint(
        "POST",
        "/api/v1/tenants/datasets",
        Who.TENANT,
        errors=("dataset_name", "dataset_taken", "too_many_datasets"),
        example={"dataset": "acme_cloud_silver_cost"},
    )
    async def add_dataset(self, call: Call, body: DatasetBody) -> Datasets:
        """Make a further dataset that the tenant's pipelines may use; may be repeated."""
        command = RegisterDatasetV1(
            tenant_id=call.tenant, dataset=body.dataset, requested_by=call.who()
        )
        done = await self._edge.questions.ask(
            command, DatasetRegisteredV1, within=self._edge.settings.provision_timeout_seconds
        )
        return Datasets(tenant_id=call.tenant, datasets=done.datasets)

    @endpoint("GET", "/api/v1/tenants/quota", Who.TENANT)
    async def quota(self, call: Call) -> QuotaV1:
        """Say what has run, what may still run, and when each limit resets."""
        return await self._edge.questions.ask(GetQuotaV1(tenant_id=call.tenant), QuotaV1)


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

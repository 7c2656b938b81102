"""Endpoints by which operators take tenants in, change them and see them off."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from aiohttp import web
from pydantic import Field, model_validator

from contracts.identifiers import TenantId
from contracts.message import Part
from contracts.platform import ObjectPart
from contracts.tenants import (
    ChangePlanV1,
    GetTenantV1,
    LimitOverridesPart,
    ListTenantsV1,
    OffboardTenantV1,
    PlanChangedV1,
    PlanField,
    ProvisionTenantV1,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantListV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantPart,
    TenantProvisionedV1,
    TenantResumedV1,
    TenantSuspendedV1,
    TenantV1,
)
from libs.web.problem import Problem
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Body, Call, Query, Who, endpoint
from services.gateway.api.pages import LISTING, LIVE, LIVE_PAGE, Item, PageQuery
from services.gateway.api.tenants import REGISTERING, onboarding

ADMIN = "admin"
MANY, ONE = "/api/v1/admin/tenants", "/api/v1/admin/tenants/{tenant_id}"


class TenantBody(Body):
    tenant_id: TenantId
    company_name: str = Field(default="", max_length=200)
    admin_email: str = Field(default="", max_length=320)
    description: str = Field(default="", max_length=1000)
    subscription_plan: str = "STARTER"


class TenantsShown(Part):
    tenants: tuple[TenantPart, ...]
    next_cursor: str | None = None


class Running(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


class TenantChange(Body):
    """One change at a time: its status, or what it may use."""

    status: Running | None = None
    reason: str = Field(default="", max_length=1000)
    """Why it is suspended; the tenant sees it in its audit trail."""
    subscription_plan: str | None = None
    limits: LimitOverridesPart | None = None
    """Where its limits differ from its plan's: what is named changes, and null is the plan's."""

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Self:
        is_using = bool(self.changes) or self.limits is not None
        if is_using is (self.status is not None) or (is_using and not self.changes):
            msg = "give either status, or subscription_plan and limits that name what changes"
            raise ValueError(msg)
        if (self.status is Running.SUSPENDED) is not bool(self.reason):
            msg = "reason: expected when a tenant is suspended, and only then"
            raise ValueError(msg)
        return self

    @property
    def changes(self) -> tuple[PlanField, ...]:
        """What it names of what a tenant may use, to be null included."""
        named = set(self.limits.model_fields_set if self.limits else ())
        if self.limits is None and "limits" in self.model_fields_set:
            named = set(LimitOverridesPart.model_fields)
        if self.subscription_plan is not None:
            named.add(PlanField.PLAN)
        return tuple(field for field in PlanField if field in named)


class Leaving(Query):
    drop_datasets: bool = False
    """Drop the tenant's datasets with all they hold; otherwise they are kept."""
    confirm: str = ""
    """The tenant's name, when its datasets are to be dropped."""


class Provisioned(Part):
    tenant: TenantPart
    objects: tuple[ObjectPart, ...]
    """What was made of what it should have; empty when an onboarding was finished."""


class AdminTenantRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        MANY,
        Who.ADMIN,
        status=201,
        errors=REGISTERING,
        example={"tenant_id": "acme_cloud", "subscription_plan": "PROFESSIONAL"},
    )
    async def create(self, call: Call, body: TenantBody) -> TenantOnboardedV1:
        """Create a tenant with its datasets, without a key."""
        call.concerns(body.tenant_id)
        command = onboarding(
            body.tenant_id,
            body.company_name or body.tenant_id,
            body.admin_email or f"admin@{body.tenant_id}.invalid",
            body.subscription_plan,
            by=call.who(ADMIN),
            description=body.description,
        )
        return await self._edge.questions.ask(
            command, TenantOnboardedV1, within=self._edge.settings.provision_timeout_seconds
        )

    @endpoint("GET", MANY, Who.ADMIN, answers=TenantsShown, **LISTING)
    async def list(self, call: Call, query: PageQuery) -> web.StreamResponse:
        """List tenants, in the order of their names."""

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListTenantsV1(
                after=TenantId(after) if after else None, limit=min(limit, LIVE_PAGE)
            )
            found = await self._edge.questions.ask(wanted, TenantListV1)
            return [one.model_dump(mode="json") for one in found.tenants], found.next_after or ""

        return await self._edge.pages.respond(
            call.request, "", "tenants", query, fetch, source=LIVE
        )

    @endpoint("GET", ONE, Who.ADMIN, errors=("tenant_not_found",))
    async def show(self, call: Call, tenant_id: TenantId) -> TenantPart:
        """Show a tenant."""
        return await self._tenant(tenant_id)

    @endpoint(
        "PATCH",
        ONE,
        Who.ADMIN,
        errors=("tenant_not_found", "wrong_status", "unknown_plan"),
        example={"subscription_plan": "SCALE", "limits": {"daily": 250}},
    )
    async def change(self, call: Call, tenant_id: TenantId, body: TenantChange) -> TenantPart:
        """Suspend or resume a tenant, or change its plan or limits."""
        by = call.who(ADMIN)
        if body.status is Running.SUSPENDED:
            suspend = SuspendTenantV1(tenant_id=tenant_id, reason=body.reason, requested_by=by)
            await self._edge.questions.ask(suspend, TenantSuspendedV1)
        elif body.status is Running.ACTIVE:
            resume = ResumeTenantV1(tenant_id=tenant_id, requested_by=by)
            await self._edge.questions.ask(resume, TenantResumedV1)
        else:
            await self._change_plan(tenant_id, body, by)
        return await self._tenant(tenant_id)

    @endpoint("DELETE", ONE, Who.ADMIN, errors=("tenant_not_found", "confirmation_required"))
    async def offboard(self, call: Call, tenant_id: TenantId, query: Leaving) -> TenantOffboardedV1:
        """See a tenant off: keys revoked, credentials destroyed, datasets kept or dropped.

        Asked again it says how that stands; datasets that were kept can be dropped later.
        """
        if query.drop_datasets and query.confirm != tenant_id:
            detail = f"Dropping datasets cannot be undone: repeat with confirm={tenant_id}."
            raise Problem(422, "confirmation_required", detail)
        command = OffboardTenantV1(
            tenant_id=tenant_id, drop_datasets=query.drop_datasets, requested_by=call.who(ADMIN)
        )
        return await self._edge.questions.ask(
            command, TenantOffboardedV1, within=self._edge.settings.provision_timeout_seconds
        )

    @endpoint("POST", ONE + "/provision", Who.ADMIN, errors=("tenant_not_found", "dataset_taken"))
    async def provision(self, call: Call, tenant_id: TenantId) -> Provisioned:
        """Make what a tenant should have and has not; finishes an onboarding that was cut off."""
        command = ProvisionTenantV1(tenant_id=tenant_id, requested_by=call.who(ADMIN))
        done: TenantProvisionedV1 | TenantOnboardedV1 = await self._edge.questions.ask(
            command,
            TenantProvisionedV1,
            TenantOnboardedV1,
            within=self._edge.settings.provision_timeout_seconds,
        )
        objects = done.objects if isinstance(done, TenantProvisionedV1) else ()
        return Provisioned(tenant=await self._tenant(tenant_id), objects=objects)

    async def _change_plan(self, tenant_id: TenantId, body: TenantChange, by: str) -> None:
        command = ChangePlanV1(
            tenant_id=tenant_id,
            plan=body.subscription_plan or "",
            overrides=body.limits or LimitOverridesPart(),
            requested_by=by,
            only=body.changes,
        )
        await self._edge.questions.ask(command, PlanChangedV1)

    async def _tenant(self, tenant_id: TenantId) -> TenantPart:
        found = await self._edge.questions.ask(GetTenantV1(tenant_id=tenant_id), TenantV1)
        return found.tenant

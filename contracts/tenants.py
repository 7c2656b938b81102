"""Messages about tenants: who they are, what they may use, whether they may run."""

from enum import StrEnum

from pydantic import Field

from contracts.identifiers import TenantId
from contracts.keys import KeyPart
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc
from contracts.platform import ObjectPart


class TenantStatus(StrEnum):
    PROVISIONING = "PROVISIONING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    OFFBOARDED = "OFFBOARDED"


class LimitsPart(Part):
    """How much a tenant may run; a plan's numbers or an admin's override."""

    daily: int = Field(ge=0)
    monthly: int = Field(ge=0)
    concurrent: int = Field(ge=0)
    max_team: int = Field(default=2, ge=0)


class LimitOverridesPart(Part):
    """Only what differs from the plan; absent means the plan's number."""

    daily: int | None = Field(default=None, ge=0)
    monthly: int | None = Field(default=None, ge=0)
    concurrent: int | None = Field(default=None, ge=0)


class OnboardTenantV1(Command, type="tenant.onboard.v1", to=Service.TENANT):
    tenant_id: TenantId
    company_name: str = Field(min_length=1, max_length=200)
    admin_email: str = Field(min_length=3, max_length=320)
    description: str = Field(default="", max_length=1000)
    plan: str
    first_key: KeyPart | None = None
    requested_by: str


class TenantOnboardedV1(Event, type="tenant.onboarded.v1"):
    """The tenant exists and its datasets, tables and views are ready."""

    tenant_id: TenantId
    company_name: str
    admin_email: str
    description: str = ""
    plan: str
    limits: LimitsPart
    datasets: tuple[str, ...]
    created_at: Utc
    requested_by: str


class ProvisionTenantV1(Command, type="tenant.provision.v1", to=Service.TENANT):
    """Make whatever the tenant should have in BigQuery and has not; repeatable.

    Finishes an onboarding that was cut off, and gives new views to tenants of old.
    """

    tenant_id: TenantId
    requested_by: str


class TenantProvisionedV1(Event, type="tenant.provisioned.v1"):
    tenant_id: TenantId
    objects: tuple[ObjectPart, ...]
    requested_by: str


class SuspendTenantV1(Command, type="tenant.suspend.v1", to=Service.TENANT):
    tenant_id: TenantId
    reason: str = Field(min_length=1, max_length=1000)
    requested_by: str


class TenantSuspendedV1(Event, type="tenant.suspended.v1"):
    tenant_id: TenantId
    reason: str
    requested_by: str


class ResumeTenantV1(Command, type="tenant.resume.v1", to=Service.TENANT):
    tenant_id: TenantId
    requested_by: str


class TenantResumedV1(Event, type="tenant.resumed.v1"):
    tenant_id: TenantId
    requested_by: str


class PlanField(StrEnum):
    """What a change of plan may change, one independently of another."""

    PLAN = "plan"
    DAILY = "daily"
    MONTHLY = "monthly"
    CONCURRENT = "concurrent"


class ChangePlanV1(Command, type="tenant.change_plan.v1", to=Service.TENANT):
    tenant_id: TenantId
    plan: str
    overrides: LimitOverridesPart = LimitOverridesPart()
    requested_by: str
    only: tuple[PlanField, ...] | None = None
    """What is to change, whatever the rest says; absent: everything is as this says."""


class PlanChangedV1(Event, type="tenant.plan_changed.v1"):
    tenant_id: TenantId
    plan: str
    limits: LimitsPart
    requested_by: str


class OffboardTenantV1(Command, type="tenant.offboard.v1", to=Service.TENANT):
    tenant_id: TenantId
    drop_datasets: bool = False
    requested_by: str


class TenantOffboardedV1(Event, type="tenant.offboarded.v1"):
    """Keys are revoked, credentials destroyed, datasets kept or dropped as asked."""

    tenant_id: TenantId
    dropped_datasets: tuple[str, ...] = ()
    kept_datasets: tuple[str, ...] = ()
    requested_by: str


class TenantPart(Part):
    tenant_id: TenantId
    company_name: str
    admin_email: str
    description: str = ""
    status: TenantStatus
    plan: str
    limits: LimitsPart
    datasets: tuple[str, ...]
    created_at: Utc
    overrides: LimitOverridesPart = LimitOverridesPart()
    """Where its limits differ from its plan's."""


class GetTenantV1(Query, type="tenant.get.v1", to=Service.TENANT):
    tenant_id: TenantId


class TenantV1(Reply, type="tenant.v1"):
    tenant: TenantPart

    @property
    def scope(self) -> TenantId:
        return self.tenant.tenant_id


class ListTenantsV1(Query, type="tenant.list.v1", to=Service.TENANT):
    after: TenantId | None = None
    limit: int = Field(default=50, ge=1, le=200)


class TenantListV1(Reply, type="tenant.page.v1"):
    tenants: tuple[TenantPart, ...]
    next_after: TenantId | None = None

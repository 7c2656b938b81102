"""Coming in: registered first, provisioned next, and only then announced."""

from datetime import datetime

from contracts.datasets import DatasetRegisteredV1, RegisterDatasetV1
from contracts.identifiers import TenantId
from contracts.keys import KeyIssuedV1
from contracts.message import Message
from contracts.platform import ObjectPart
from contracts.tenants import (
    OnboardTenantV1,
    TenantOnboardedV1,
    TenantProvisionedV1,
    TenantStatus,
)
from services.tenant.domain.deciding import NOTHING, Outcome, refuse, unknown
from services.tenant.domain.facts import (
    DatasetAdded,
    Fact,
    KeyAdded,
    Provisioned,
    Registered,
    Withdrawn,
)
from services.tenant.domain.plans import PLANS
from services.tenant.domain.tenant import Tenant

RESERVED = frozenset({"tenants", "metadata", "admin", "system", "public", "information_schema"})
MOST_DATASETS = 20


class FinishProvisioning(Message):
    """Not a contract: the handler says that what the tenant should have is there."""

    tenant_id: TenantId
    objects: tuple[ObjectPart, ...]
    requested_by: str


class GiveUpOnboarding(Message):
    """Not a contract: the handler says that the tenant cannot have a dataset of that name."""

    tenant_id: TenantId
    reason: str


def onboard(state: Tenant, command: OnboardTenantV1, now: datetime) -> Outcome:
    tenant = command.tenant_id
    if tenant in RESERVED:
        return refuse(tenant, "tenant_id_reserved", f"{tenant} is a system name; choose another")
    if state.profile is not None:
        return refuse(tenant, "tenant_exists", f"tenant {tenant} exists already; choose another")
    if command.plan not in PLANS:
        known = ", ".join(PLANS)
        return refuse(tenant, "unknown_plan", f"plan {command.plan!r} is none of {known}")
    return (Registered(command=command, at=now),), ()


def finish_provisioning(state: Tenant, message: FinishProvisioning, now: datetime) -> Outcome:
    """Announce a tenant that was being made; say what was mended of any other."""
    if not state.exists or state.profile is None:
        return unknown(message.tenant_id)
    if state.status is TenantStatus.PROVISIONING:
        return _announced(state, state.profile, now)
    event = TenantProvisionedV1(
        tenant_id=message.tenant_id, objects=message.objects, requested_by=message.requested_by
    )
    return (), (event,)


def _announced(state: Tenant, command: OnboardTenantV1, now: datetime) -> Outcome:
    facts: list[Fact] = [Provisioned()]
    emits: list[Message] = [
        TenantOnboardedV1(
            tenant_id=command.tenant_id,
            company_name=command.company_name,
            admin_email=command.admin_email,
            description=command.description,
            plan=state.plan,
            limits=state.limits,
            datasets=state.datasets,
            created_at=state.created_at or now,
            requested_by=command.requested_by,
        )
    ]
    if command.first_key is not None:
        facts.append(KeyAdded(key=command.first_key, at=now, by=command.requested_by))
        emits.append(
            KeyIssuedV1(
                tenant_id=command.tenant_id,
                key=command.first_key,
                created_at=now,
                requested_by=command.requested_by,
            )
        )
    return tuple(facts), tuple(emits)


def give_up(state: Tenant, message: GiveUpOnboarding, _: datetime) -> Outcome:
    if state.status is not TenantStatus.PROVISIONING:
        return NOTHING
    refusal = refuse(message.tenant_id, "dataset_taken", message.reason)
    return (Withdrawn(),), refusal[1]


def register_dataset(state: Tenant, command: RegisterDatasetV1, _: datetime) -> Outcome:
    """The dataset is the tenant's and exists; from now on its pipelines may use it."""
    tenant, name = command.tenant_id, str(command.dataset)
    if refusal := may_register(state, command):
        return refusal
    known = name in state.datasets
    event = DatasetRegisteredV1(
        tenant_id=tenant,
        dataset=command.dataset,
        datasets=state.datasets if known else (*state.datasets, name),
        requested_by=command.requested_by,
    )
    return (() if known else (DatasetAdded(dataset=command.dataset),)), (event,)


def may_register(state: Tenant, command: RegisterDatasetV1) -> Outcome | None:
    """The refusal, when there is a reason for one that can be known before it is made."""
    tenant, name = command.tenant_id, str(command.dataset)
    if not state.exists:
        return unknown(tenant)
    if not name.startswith(f"{tenant}_"):
        detail = f"dataset {name} is not one of {tenant}: its name has to start with {tenant}_"
        return refuse(tenant, "dataset_name", detail)
    if name not in state.datasets and len(state.datasets) >= MOST_DATASETS:
        return refuse(tenant, "too_many_datasets", f"a tenant has {MOST_DATASETS} at most")
    return None

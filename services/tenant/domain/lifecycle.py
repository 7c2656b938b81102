"""Coming, going, and what a tenant may use in between."""

from datetime import datetime

from contracts.credentials import CredentialDeletedV1
from contracts.identifiers import TenantId
from contracts.keys import KeyIssuedV1, KeyRevokedV1
from contracts.message import Message
from contracts.tenants import (
    ChangePlanV1,
    OffboardTenantV1,
    OnboardTenantV1,
    PlanChangedV1,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantStatus,
    TenantSuspendedV1,
)
from services.tenant.domain.deciding import Outcome, refuse, unknown
from services.tenant.domain.facts import (
    CredentialDropped,
    Fact,
    KeyAdded,
    KeyEnds,
    PlanChosen,
    Provisioned,
    Registered,
    StatusChanged,
)
from services.tenant.domain.plans import PLANS, limits_of
from services.tenant.domain.tenant import Tenant

RESERVED = frozenset({"tenants", "metadata", "admin", "system", "public", "information_schema"})


class FinishProvisioning(Message):
    """Not a contract: the handler says that datasets are ready."""

    command: OnboardTenantV1
    datasets: tuple[str, ...]

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class FinishOffboarding(Message):
    """Not a contract: the handler says that datasets are dropped, or kept."""

    command: OffboardTenantV1
    dropped: tuple[str, ...]

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


def onboard(state: Tenant, command: OnboardTenantV1, now: datetime) -> Outcome:
    """Register; the datasets are made next, and only then is the tenant announced."""
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
    if state.status is not TenantStatus.PROVISIONING:
        return (), ()
    command = message.command
    facts: list[Fact] = [Provisioned(datasets=message.datasets)]
    emits: list[Message] = [
        TenantOnboardedV1(
            tenant_id=command.tenant_id,
            company_name=command.company_name,
            admin_email=command.admin_email,
            description=command.description,
            plan=state.plan,
            limits=state.limits,
            datasets=message.datasets,
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


def suspend(state: Tenant, command: SuspendTenantV1, _: datetime) -> Outcome:
    if state.status is not TenantStatus.ACTIVE:
        return _wrong_status(state, command.tenant_id, "suspended")
    event = TenantSuspendedV1(
        tenant_id=command.tenant_id, reason=command.reason, requested_by=command.requested_by
    )
    return (StatusChanged(status=TenantStatus.SUSPENDED),), (event,)


def resume(state: Tenant, command: ResumeTenantV1, _: datetime) -> Outcome:
    if state.status is not TenantStatus.SUSPENDED:
        return _wrong_status(state, command.tenant_id, "resumed")
    event = TenantResumedV1(tenant_id=command.tenant_id, requested_by=command.requested_by)
    return (StatusChanged(status=TenantStatus.ACTIVE),), (event,)


def change_plan(state: Tenant, command: ChangePlanV1, _: datetime) -> Outcome:
    tenant = command.tenant_id
    if not state.exists:
        return unknown(tenant)
    if command.plan not in PLANS:
        known = ", ".join(PLANS)
        return refuse(tenant, "unknown_plan", f"plan {command.plan!r} is none of {known}")
    event = PlanChangedV1(
        tenant_id=tenant,
        plan=command.plan,
        limits=limits_of(command.plan, command.overrides),
        requested_by=command.requested_by,
    )
    return (PlanChosen(plan=command.plan, overrides=command.overrides),), (event,)


def offboard(state: Tenant, command: OffboardTenantV1, now: datetime) -> Outcome:
    """Shut every door at once; datasets are seen to next, and then it is announced."""
    if not state.exists:
        return unknown(command.tenant_id)
    live = [key_hash for key_hash, stored in state.keys.items() if stored.is_active]
    facts: list[Fact] = [StatusChanged(status=TenantStatus.OFFBOARDED)]
    facts += [KeyEnds(key_hash=key_hash, at=now, revoked=True) for key_hash in live]
    facts += [CredentialDropped(credential_id=name) for name in state.credentials]
    tenant, by = command.tenant_id, command.requested_by
    revoked = [
        KeyRevokedV1(tenant_id=tenant, key_hash=key_hash, revoked_at=now, requested_by=by)
        for key_hash in live
    ]
    deleted = [
        CredentialDeletedV1(tenant_id=tenant, credential_id=name, requested_by=by)
        for name in state.credentials
    ]
    return tuple(facts), (*revoked, *deleted)


def finish_offboarding(state: Tenant, message: FinishOffboarding, _: datetime) -> Outcome:
    kept = tuple(name for name in state.datasets if name not in message.dropped)
    event = TenantOffboardedV1(
        tenant_id=message.command.tenant_id,
        dropped_datasets=message.dropped,
        kept_datasets=kept,
        requested_by=message.command.requested_by,
    )
    return (), (event,)


def _wrong_status(state: Tenant, tenant: TenantId, wanted: str) -> Outcome:
    if not state.exists:
        return unknown(tenant)
    detail = f"tenant {tenant} is {state.status} and cannot be {wanted}"
    return refuse(tenant, "wrong_status", detail)

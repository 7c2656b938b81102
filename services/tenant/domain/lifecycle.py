"""Suspending and resuming, what a tenant may use, and leaving."""

from datetime import datetime

from contracts.credentials import CredentialDeletedV1
from contracts.identifiers import TenantId
from contracts.keys import KeyRevokedV1
from contracts.message import Message
from contracts.tenants import (
    ChangePlanV1,
    OffboardTenantV1,
    PlanChangedV1,
    PlanField,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantOffboardedV1,
    TenantResumedV1,
    TenantStatus,
    TenantSuspendedV1,
)
from services.tenant.domain.deciding import NOTHING, Outcome, refuse, unknown, wrong_status
from services.tenant.domain.facts import (
    CredentialDropped,
    Fact,
    KeyEnds,
    LeavingBegun,
    Left,
    PlanChosen,
    StatusChanged,
)
from services.tenant.domain.plans import PLANS, limits_of
from services.tenant.domain.tenant import Tenant


class FinishOffboarding(Message):
    """Not a contract: the handler says that datasets are dropped, or kept."""

    tenant_id: TenantId
    dropped: tuple[str, ...]
    requested_by: str


def suspend(state: Tenant, command: SuspendTenantV1, _: datetime) -> Outcome:
    if state.status is not TenantStatus.ACTIVE:
        return wrong_status(state, command.tenant_id, "suspended")
    event = TenantSuspendedV1(
        tenant_id=command.tenant_id, reason=command.reason, requested_by=command.requested_by
    )
    return (StatusChanged(status=TenantStatus.SUSPENDED),), (event,)


def resume(state: Tenant, command: ResumeTenantV1, _: datetime) -> Outcome:
    if state.status is not TenantStatus.SUSPENDED:
        return wrong_status(state, command.tenant_id, "resumed")
    event = TenantResumedV1(tenant_id=command.tenant_id, requested_by=command.requested_by)
    return (StatusChanged(status=TenantStatus.ACTIVE),), (event,)


def change_plan(state: Tenant, command: ChangePlanV1, _: datetime) -> Outcome:
    tenant = command.tenant_id
    if not state.exists:
        return unknown(tenant)
    chosen = _merged(state, command)
    if chosen.plan not in PLANS:
        known = ", ".join(PLANS)
        return refuse(tenant, "unknown_plan", f"plan {chosen.plan!r} is none of {known}")
    event = PlanChangedV1(
        tenant_id=tenant,
        plan=chosen.plan,
        limits=limits_of(chosen.plan, chosen.overrides),
        requested_by=command.requested_by,
    )
    return (chosen,), (event,)


def _merged(state: Tenant, command: ChangePlanV1) -> PlanChosen:
    """What is not to change is taken from here, not from what its sender has last seen."""
    only = frozenset(PlanField if command.only is None else command.only)
    changed = command.overrides.model_dump(include=set(map(str, only)))
    return PlanChosen(
        plan=command.plan if PlanField.PLAN in only else state.plan,
        overrides=state.overrides.model_copy(update=changed),
    )


def offboard(state: Tenant, command: OffboardTenantV1, now: datetime) -> Outcome:
    """Shut every door at once; datasets are seen to next, and then it is announced.

    It is announced as suspended meanwhile, so that nothing new is begun for it.

    Asked again while that is under way, it goes on with what was asked first; asked
    again afterwards, datasets that were kept can still be dropped.
    """
    if state.profile is None:
        return unknown(command.tenant_id)
    if state.leaving is not None:
        return NOTHING
    if not state.exists:
        return (LeavingBegun(command=command),), ()
    live = state.live_keys(now)
    facts: list[Fact] = [StatusChanged(status=TenantStatus.OFFBOARDED)]
    facts += [LeavingBegun(command=command)]
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
    return tuple(facts), (*_suspended(state, command), *revoked, *deleted)


def _suspended(state: Tenant, command: OffboardTenantV1) -> tuple[Message, ...]:
    if state.status is not TenantStatus.ACTIVE:
        return ()
    reason, by = "it is leaving", command.requested_by
    return (TenantSuspendedV1(tenant_id=command.tenant_id, reason=reason, requested_by=by),)


def finish_offboarding(state: Tenant, message: FinishOffboarding, _: datetime) -> Outcome:
    dropped = message.dropped if state.leaving else ()
    event = TenantOffboardedV1(
        tenant_id=message.tenant_id,
        dropped_datasets=dropped,
        kept_datasets=tuple(name for name in state.datasets if name not in dropped),
        requested_by=message.requested_by,
    )
    return ((Left(dropped=dropped),) if state.leaving else ()), (event,)

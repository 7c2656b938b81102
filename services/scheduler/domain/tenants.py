"""What the tenant service says of a tenant."""

from datetime import datetime

from contracts.datasets import DatasetRegisteredV1
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from services.scheduler.domain.attempts import end_all, look
from services.scheduler.domain.deciding import Look, Outcome, Rules, Working, check_known
from services.scheduler.domain.facts import TenantKnown, TenantMay
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.settling import settle


def tenant_onboarded(_: Ledger, event: TenantOnboardedV1, __: datetime, ___: Rules) -> Outcome:
    fact = TenantKnown(plan=event.plan, limits=event.limits, datasets=event.datasets)
    return (fact,), ()


def plan_changed(state: Ledger, event: PlanChangedV1, now: datetime, rules: Rules) -> Outcome:
    """More slots are filled at once; with fewer, what runs may end."""
    fact = TenantKnown(plan=event.plan, limits=event.limits)
    return settle(state, ((fact,), ()), event.tenant_id, now, rules)


def dataset_registered(
    state: Ledger, event: DatasetRegisteredV1, _: datetime, __: Rules
) -> Outcome:
    check_known(state, event.tenant_id)
    datasets = tuple(dict.fromkeys((*state.datasets, *event.datasets)))
    return (TenantKnown(plan=state.plan, limits=state.limits, datasets=datasets),), ()


def tenant_suspended(_: Ledger, __: TenantSuspendedV1, ___: datetime, ____: Rules) -> Outcome:
    """What runs may end; nothing new begins."""
    return (TenantMay(suspended=True),), ()


def tenant_resumed(state: Ledger, event: TenantResumedV1, now: datetime, rules: Rules) -> Outcome:
    """What waited begins at once; what schedules missed is up to their policy."""
    work = Working(state, now, rules)
    work.take(((TenantMay(suspended=False),), ()))
    work.decide(look, Look(tenant_id=event.tenant_id))
    return work.outcome


def tenant_offboarded(
    state: Ledger, event: TenantOffboardedV1, now: datetime, rules: Rules
) -> Outcome:
    work = Working(state, now, rules)
    work.take(((TenantMay(suspended=True, gone=True),), ()))
    work.take(end_all(work.state, event.tenant_id, now))
    return work.outcome

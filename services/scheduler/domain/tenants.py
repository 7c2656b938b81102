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
from services.scheduler.domain.deciding import Outcome, Rules, check_known
from services.scheduler.domain.facts import TenantKnown, TenantMay
from services.scheduler.domain.ledger import Ledger


def tenant_onboarded(_: Ledger, event: TenantOnboardedV1, __: datetime, ___: Rules) -> Outcome:
    fact = TenantKnown(plan=event.plan, limits=event.limits, datasets=event.datasets)
    return (fact,), ()


def plan_changed(_: Ledger, event: PlanChangedV1, __: datetime, ___: Rules) -> Outcome:
    return (TenantKnown(plan=event.plan, limits=event.limits),), ()


def dataset_registered(
    state: Ledger, event: DatasetRegisteredV1, _: datetime, __: Rules
) -> Outcome:
    check_known(state, event.tenant_id)
    datasets = tuple(dict.fromkeys((*state.datasets, *event.datasets)))
    return (TenantKnown(plan=state.plan, limits=state.limits, datasets=datasets),), ()


def tenant_may(
    _: Ledger,
    event: TenantSuspendedV1 | TenantResumedV1 | TenantOffboardedV1,
    __: datetime,
    ___: Rules,
) -> Outcome:
    gone = isinstance(event, TenantOffboardedV1)
    return (TenantMay(suspended=not isinstance(event, TenantResumedV1), gone=gone),), ()

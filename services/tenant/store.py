"""The tenants' durable state: one stream of the slot log for each."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.credentials import DeleteCredentialV1, StoreCredentialV1
from contracts.keys import IssueKeyV1, RevokeKeyV1, RotateKeyV1
from contracts.message import Message
from contracts.tenants import (
    ChangePlanV1,
    OffboardTenantV1,
    OnboardTenantV1,
    ResumeTenantV1,
    SuspendTenantV1,
)
from libs.slotlog.decider import Decision
from services.tenant import domain
from services.tenant.domain import Tenant

_RULES: dict[type[Message], Callable[[Tenant, Any, datetime], domain.Outcome]] = {
    OnboardTenantV1: domain.onboard,
    domain.FinishProvisioning: domain.finish_provisioning,
    SuspendTenantV1: domain.suspend,
    ResumeTenantV1: domain.resume,
    ChangePlanV1: domain.change_plan,
    OffboardTenantV1: domain.offboard,
    domain.FinishOffboarding: domain.finish_offboarding,
    IssueKeyV1: domain.issue_key,
    RotateKeyV1: domain.rotate_key,
    RevokeKeyV1: domain.revoke_key,
    StoreCredentialV1: domain.store_credential,
    DeleteCredentialV1: domain.delete_credential,
}


class TenantDecider:
    """Binds the rules to the slot log's writer."""

    version = 1

    def initial(self) -> Tenant:
        return Tenant()

    def decide(self, state: Tenant, message: Message, now: datetime) -> Decision:
        facts, emits = _RULES[type(message)](state, message, now)
        return Decision(facts, emits)

    def evolve(self, state: Tenant, fact: BaseModel) -> Tenant:
        return domain.evolve(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return domain.FACTS.validate_python(data)

    def dump_state(self, state: Tenant) -> Any:
        return state.model_dump(mode="json")

    def load_state(self, data: Any) -> Tenant:
        return Tenant.model_validate(data)

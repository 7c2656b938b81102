"""The tenants' durable state: one stream of the slot log for each."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.credentials import DeleteCredentialV1
from contracts.datasets import RegisterDatasetV1
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
from services.tenant.domain import credentials, keys, lifecycle, onboarding
from services.tenant.domain.deciding import Outcome
from services.tenant.domain.facts import FACTS
from services.tenant.domain.tenant import Tenant, evolve

_RULES: dict[type[Message], Callable[[Tenant, Any, datetime], Outcome]] = {
    OnboardTenantV1: onboarding.onboard,
    onboarding.FinishProvisioning: onboarding.finish_provisioning,
    onboarding.GiveUpOnboarding: onboarding.give_up,
    RegisterDatasetV1: onboarding.register_dataset,
    SuspendTenantV1: lifecycle.suspend,
    ResumeTenantV1: lifecycle.resume,
    ChangePlanV1: lifecycle.change_plan,
    OffboardTenantV1: lifecycle.offboard,
    lifecycle.FinishOffboarding: lifecycle.finish_offboarding,
    IssueKeyV1: keys.issue_key,
    RotateKeyV1: keys.rotate_key,
    RevokeKeyV1: keys.revoke_key,
    credentials.KeepCredential: credentials.keep_credential,
    credentials.ForgetCiphertexts: credentials.forget_ciphertexts,
    DeleteCredentialV1: credentials.delete_credential,
}


class TenantDecider:
    """Binds the rules to the slot log's writer."""

    version = 3

    def initial(self) -> Tenant:
        return Tenant()

    def decide(self, state: Tenant, message: Message, now: datetime) -> Decision:
        facts, emits = _RULES[type(message)](state, message, now)
        return Decision(facts, emits)

    def evolve(self, state: Tenant, fact: BaseModel) -> Tenant:
        return evolve(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return FACTS.validate_python(data, extra="ignore")

    def dump_state(self, state: Tenant) -> bytes:
        return state.model_dump_json().encode()

    def load_state(self, data: Any) -> Tenant:
        return Tenant.model_validate(data, extra="ignore")

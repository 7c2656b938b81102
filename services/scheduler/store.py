"""The tenants' ledgers: one stream of the slot log for each."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.datasets import DatasetRegisteredV1
from contracts.message import Message
from contracts.pipelines import DeleteConfigV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    CancelRunV1,
    SubmitRunV1,
)
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from libs.slotlog.decider import Decision
from services.scheduler.domain import admission, attempts, configs, tenants
from services.scheduler.domain.deciding import KeepConfig, Look, Outcome, Rules
from services.scheduler.domain.facts import FACTS
from services.scheduler.domain.ledger import Ledger, evolve

_RULES: dict[type[Message], Callable[[Ledger, Any, datetime, Rules], Outcome]] = {
    TenantOnboardedV1: tenants.tenant_onboarded,
    PlanChangedV1: tenants.plan_changed,
    DatasetRegisteredV1: tenants.dataset_registered,
    TenantSuspendedV1: tenants.tenant_may,
    TenantResumedV1: tenants.tenant_may,
    TenantOffboardedV1: tenants.tenant_may,
    KeepConfig: configs.keep_config,
    DeleteConfigV1: configs.delete_config,
    SubmitRunV1: admission.submit_run,
    CancelRunV1: attempts.cancel_run,
    AttemptStartedV1: attempts.attempt_started,
    AttemptHeartbeatV1: attempts.attempt_alive,
    AttemptReturnedV1: attempts.attempt_returned,
    AttemptFinishedV1: attempts.attempt_finished,
    Look: attempts.look,
}


class LedgerDecider:
    """Binds the rules to the slot log's writer."""

    version = 1

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def initial(self) -> Ledger:
        return Ledger()

    def decide(self, state: Ledger, message: Message, now: datetime) -> Decision:
        facts, emits = _RULES[type(message)](state, message, now, self._rules)
        return Decision(facts, emits)

    def evolve(self, state: Ledger, fact: BaseModel) -> Ledger:
        return evolve(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return FACTS.validate_python(data)

    def dump_state(self, state: Ledger) -> Any:
        return state.model_dump(mode="json")

    def load_state(self, data: Any) -> Ledger:
        return Ledger.model_validate(data)

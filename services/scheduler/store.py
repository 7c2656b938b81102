"""The tenants' ledgers: one stream of the slot log for each."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.message import Message
from contracts.pipelines import DeleteConfigV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
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
from services.scheduler import domain
from services.scheduler.domain import Ledger, Rules

_RULES: dict[type[Message], Callable[[Ledger, Any, datetime, Rules], domain.Outcome]] = {
    TenantOnboardedV1: domain.tenant_onboarded,
    PlanChangedV1: domain.plan_changed,
    TenantSuspendedV1: domain.tenant_may,
    TenantResumedV1: domain.tenant_may,
    TenantOffboardedV1: domain.tenant_may,
    domain.KeepConfig: domain.keep_config,
    DeleteConfigV1: domain.delete_config,
    SubmitRunV1: domain.submit_run,
    CancelRunV1: domain.cancel_run,
    AttemptStartedV1: domain.attempt_started,
    AttemptHeartbeatV1: domain.attempt_alive,
    AttemptFinishedV1: domain.attempt_finished,
    domain.Look: domain.look,
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
        return domain.evolve(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return domain.FACTS.validate_python(data)

    def dump_state(self, state: Ledger) -> Any:
        return state.model_dump(mode="json")

    def load_state(self, data: Any) -> Ledger:
        return Ledger.model_validate(data)

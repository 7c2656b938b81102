"""The tenants' ledgers, one stream of the slot log for each, and the platform's places."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.backfills import ChangeBackfillV1, StartBackfillV1
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
from contracts.schedules import DeleteScheduleV1, SaveScheduleV1
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from libs.slotlog.decider import Decision
from services.scheduler.compacting import compact
from services.scheduler.domain import (
    admission,
    attempts,
    backfills,
    configs,
    queue,
    retries,
    schedules,
    tenants,
)
from services.scheduler.domain.deciding import (
    NOTHING,
    KeepConfig,
    Look,
    RequestRefused,
    RetryWith,
    Rules,
    SubmitTemplate,
)
from services.scheduler.domain.evolving import evolve
from services.scheduler.domain.facts import FACTS
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import (
    PLACE_FACTS,
    Demand,
    Granted,
    Places,
    demand_places,
    evolve_places,
)
from services.scheduler.domain.settling import Rule, remind, settled

_RULES: dict[type[Message], Rule] = {
    TenantOnboardedV1: tenants.tenant_onboarded,
    DatasetRegisteredV1: tenants.dataset_registered,
    PlanChangedV1: tenants.plan_changed,
    TenantSuspendedV1: tenants.tenant_suspended,
    TenantResumedV1: tenants.tenant_resumed,
    TenantOffboardedV1: tenants.tenant_offboarded,
    KeepConfig: configs.keep_config,
    DeleteConfigV1: settled(configs.delete_config),
    SaveScheduleV1: settled(schedules.save_schedule),
    DeleteScheduleV1: settled(schedules.delete_schedule),
    StartBackfillV1: backfills.start_backfill,
    ChangeBackfillV1: backfills.change_backfill,
    SubmitRunV1: admission.submit_run,
    SubmitTemplate: admission.submit_template,
    RetryWith: retries.retry_run,
    CancelRunV1: attempts.cancel_run,
    AttemptStartedV1: attempts.attempt_started,
    AttemptHeartbeatV1: attempts.attempt_alive,
    AttemptReturnedV1: attempts.attempt_returned,
    AttemptFinishedV1: attempts.attempt_finished,
    RequestRefused: attempts.request_refused,
    Look: attempts.look,
    Granted: queue.take_place,
}


class LedgerDecider:
    """Binds the rules to the slot log's writer."""

    version = 3

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def initial(self) -> Ledger:
        return Ledger()

    def decide(self, state: Ledger, message: Message, now: datetime) -> Decision:
        reminded = isinstance(message, Look) and message.reminder is not None
        if isinstance(message, Look) and message.reminder not in {None, state.reminders}:
            return Decision(*NOTHING)  # another reminder has taken its place, and will lead here
        outcome = _RULES[type(message)](state, message, now, self.rules)
        if not outcome[0] and not isinstance(message, Look):
            return Decision(*outcome)
        worked = remind(state, outcome, now, self.rules, anew=reminded)
        return Decision(*worked, after=worked.after)

    def evolve(self, state: Ledger, fact: BaseModel) -> Ledger:
        return evolve(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return FACTS.validate_python(data, extra="ignore")

    def dump_state(self, state: Ledger) -> bytes:
        return state.model_dump_json().encode()

    def load_state(self, data: Any) -> Ledger:
        return compact(Ledger.model_validate(data, extra="ignore"))


class PlaceDecider:
    """The same for the one stream of the platform's places."""

    version = 1

    def __init__(self, rules: Rules) -> None:
        self._most = rules.max_running

    def initial(self) -> Places:
        return Places()

    def decide(self, state: Places, message: Message, now: datetime) -> Decision:
        if not isinstance(message, Demand):
            raise TypeError(message)
        return Decision(*demand_places(state, message, now, self._most))

    def evolve(self, state: Places, fact: BaseModel) -> Places:
        return evolve_places(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return PLACE_FACTS.validate_python(data, extra="ignore")

    def dump_state(self, state: Places) -> bytes:
        return state.model_dump_json().encode()

    def load_state(self, data: Any) -> Places:
        return Places.model_validate(data, extra="ignore")

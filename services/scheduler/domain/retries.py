"""Repeating an ended run: a new run, for an end is final."""

from datetime import datetime

from contracts.runs import SubmitRunV1
from services.scheduler.domain.admission import Pinned, admit
from services.scheduler.domain.deciding import Outcome, RetryWith, Rules, check_known, refuse
from services.scheduler.domain.ledger import Ledger

FAILED, START = "failed", "start"


def retry_run(state: Ledger, message: RetryWith, now: datetime, rules: Rules) -> Outcome:
    """Charged like any other run, and admitted like one."""
    command = message.command
    check_known(state, command.tenant_id)
    ended = state.ended.get(command.retry_of)
    if ended is None:
        if command.retry_of in state.runs:
            detail = f"run {command.retry_of} has not ended; cancel it first, or wait"
            return refuse(command.tenant_id, "run_not_ended", detail)
        detail = f"there is no run {command.retry_of}"
        return refuse(command.tenant_id, "run_not_found", detail)
    steps_known = {step.step_id for step in message.definition.steps}
    if command.start_from not in {FAILED, START, *steps_known}:
        steps = ", ".join(step.step_id for step in message.definition.steps)
        detail = f"from: expected failed, start or one of the steps {steps}"
        return refuse(command.tenant_id, "unknown_step", detail)
    submit = SubmitRunV1(
        tenant_id=command.tenant_id,
        run_id=command.run_id,
        config_id=ended.config_id,
        run_date=ended.run_date,
        parameters=ended.parameters,
        trigger=command.trigger,
        priority=ended.priority,
    )
    pinned = Pinned(
        ended.revision,
        message.definition,
        retry_of=command.retry_of,
        retry_of_attempts=ended.attempts,
        generation=ended.generation + 1,
        of_template=ended.of_template,
        resume_from="" if command.start_from == FAILED else command.start_from,
    )
    return admit(state, submit, pinned, now, rules)

"""A run is admitted with a slot or into the queue, or rejected: never both charged and rejected."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from contracts.identifiers import BackfillId, RunId
from contracts.pipelines import DefinitionPart
from contracts.runs import RunQueuedV1, RunRejectedV1, RunRequestedV1, SubmitRunV1
from services.scheduler.domain.deciding import (
    Outcome,
    Rules,
    SubmitTemplate,
    check_known,
    lease_until,
    refuse,
)
from services.scheduler.domain.explaining import expected_start
from services.scheduler.domain.facts import Admitted
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import day_of, next_reset
from services.scheduler.domain.queue import waiting
from services.scheduler.domain.quota import limits_of, reached


@dataclass(frozen=True, slots=True)
class Pinned:
    """What exactly would run."""

    revision: int
    definition: DefinitionPart
    retry_of: RunId | None = None
    retry_of_attempts: int = 0
    generation: int = 1
    resume_from: str = ""
    backfill_id: BackfillId | None = None
    of_template: bool | None = False


def submit_run(state: Ledger, command: SubmitRunV1, now: datetime, rules: Rules) -> Outcome:
    check_known(state, command.tenant_id)
    if twice := _submitted_before(state, command):
        return twice
    config = state.configs.get(command.config_id)
    if config is None:
        detail = f"there is no pipeline {command.config_id}; save it first"
        return _reject(command, now, "config_not_found", detail)
    return admit(state, command, Pinned(config.revision, config.definition), now, rules)


def submit_template(state: Ledger, message: SubmitTemplate, now: datetime, rules: Rules) -> Outcome:
    check_known(state, message.command.tenant_id)
    pinned = Pinned(message.version, message.definition, of_template=True)
    return admit(state, message.command, pinned, now, rules)


def admit(
    state: Ledger, command: SubmitRunV1, pinned: Pinned, now: datetime, rules: Rules
) -> Outcome:
    """Charge the run and give it a slot or a place in the queue; or only reject it."""
    if twice := _submitted_before(state, command):
        return twice
    if state.suspended:
        return _reject(command, now, "tenant_suspended", "the tenant is suspended")
    if rejected := _over_quota(state, command, now):
        return rejected
    line = waiting(state, rules)
    queued = not state.free or bool(line) or rules.max_running > 0
    if queued and len(line) >= _may_wait(state, rules):
        return _queue_full(state, command, len(line), now)
    request = _request(state, command, pinned, now, rules)
    fact = Admitted(
        request=request,
        queued=queued,
        priority=command.priority,
        day=day_of(state, now),
        lease_until=lease_until(now, rules),
        backfill_id=pinned.backfill_id,
        of_template=pinned.of_template,
    )
    now_or_later = (
        _queued(state, request, len(line))
        if queued
        else request.model_copy(update={"reason": "a slot is free"})
    )
    return (fact,), (now_or_later, *reached(state, command.tenant_id, now))


def _may_wait(state: Ledger, rules: Rules) -> int:
    """The queue's limit; what has a slot free and needs a place of the platform's always may."""
    return max(rules.queue_limit, state.free if rules.max_running else 0)


def _submitted_before(state: Ledger, command: SubmitRunV1) -> Outcome | None:
    if command.run_id not in state.runs and command.run_id not in state.ended:
        return None
    detail = f"run {command.run_id} was submitted before"
    return refuse(command.tenant_id, "run_exists", detail)


def _request(
    state: Ledger, command: SubmitRunV1, pinned: Pinned, now: datetime, rules: Rules
) -> RunRequestedV1:
    return RunRequestedV1(
        tenant_id=command.tenant_id,
        run_id=command.run_id,
        attempt=1,
        config_id=command.config_id,
        revision=pinned.revision,
        definition=pinned.definition,
        run_date=command.run_date,
        parameters=_merged(pinned.definition.parameters, command.parameters),
        trigger=command.trigger,
        datasets=state.datasets,
        max_bytes_billed=rules.max_bytes_billed,
        lease_seconds=rules.lease_seconds,
        submitted_at=now,
        retry_of=pinned.retry_of,
        retry_of_attempts=pinned.retry_of_attempts,
        generation=pinned.generation,
        resume_from=pinned.resume_from,
    )


def _merged(
    defaults: Mapping[str, JsonValue], given: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    return {**defaults, **given}


def _queued(state: Ledger, request: RunRequestedV1, before: int) -> RunQueuedV1:
    return RunQueuedV1(
        tenant_id=request.tenant_id,
        run_id=request.run_id,
        config_id=request.config_id,
        revision=request.revision,
        run_date=request.run_date,
        trigger=request.trigger,
        position=before + 1,
        reason=(
            "it waits for a place on the platform"
            if state.free
            else f"{state.limits.concurrent} runs are going on, as many as the plan allows"
        ),
        submitted_at=request.submitted_at,
    )


def _queue_full(state: Ledger, command: SubmitRunV1, wait: int, now: datetime) -> Outcome:
    free_at = expected_start(state, 1, now) or now + timedelta(seconds=60)
    detail = f"{wait} runs wait already; try again when some have ended"
    if not wait:
        going = f"{state.limits.concurrent} runs are going on, as many as the plan allows"
        detail = f"{going}, and none may wait; try again when one has ended"
    return _reject(command, now, "queue_full", detail, resets_at=free_at)


def _over_quota(state: Ledger, command: SubmitRunV1, now: datetime) -> Outcome | None:
    day = day_of(state, now)
    for limit, period, most in limits_of(state, day):
        if state.charged.get(period, 0) >= most:
            resets = next_reset(day, limit)
            detail = (
                f"the {limit} limit of {most} runs is used up; it resets at {resets.isoformat()}"
            )
            return _reject(command, now, "quota_exceeded", detail, limit, resets)
    return None


def _reject(  # noqa: PLR0913, PLR0917  all that is said of a rejection
    command: SubmitRunV1,
    now: datetime,
    code: str,
    reason: str,
    limit: str = "",
    resets_at: datetime | None = None,
) -> Outcome:
    event = RunRejectedV1(
        tenant_id=command.tenant_id,
        run_id=command.run_id,
        config_id=command.config_id,
        run_date=command.run_date,
        trigger=command.trigger,
        code=code,
        limit=limit,
        reason=reason,
        resets_at=resets_at,
        submitted_at=now,
    )
    return (), (event,)

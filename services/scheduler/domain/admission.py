"""A run is admitted with a slot or into the queue, or rejected: never both charged and rejected."""

from datetime import datetime

from contracts.pipelines import (
    ConfigPart,
)
from contracts.runs import (
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    SubmitRunV1,
)
from services.scheduler.domain.deciding import Outcome, Rules, check_known, lease_until, refuse
from services.scheduler.domain.facts import Admitted
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import day_of, next_reset


def submit_run(state: Ledger, command: SubmitRunV1, now: datetime, rules: Rules) -> Outcome:
    """Admit with a slot, admit into the queue, or reject: never both charged and rejected."""
    check_known(state, command.tenant_id)
    if command.run_id in state.runs or command.run_id in state.ended:
        detail = f"run {command.run_id} was submitted before"
        return refuse(command.tenant_id, "run_exists", detail)
    config = state.configs.get(command.config_id)
    if config is None:
        detail = f"there is no pipeline {command.config_id}; save it first"
        return _reject(command, now, "config_not_found", detail)
    if state.suspended:
        return _reject(command, now, "tenant_suspended", "the tenant is suspended")
    if rejected := _over_quota(state, command, now):
        return rejected
    full = len(state.running) >= state.limits.concurrent
    if full and len(state.waiting) >= rules.queue_limit:
        detail = f"{rules.queue_limit} runs wait already; try again when some have ended"
        return _reject(command, now, "queue_full", detail)
    return _admit(state, command, config, now, rules, queued=full)


def _admit(  # noqa: PLR0913  all that a decision rests on
    state: Ledger,
    command: SubmitRunV1,
    config: ConfigPart,
    now: datetime,
    rules: Rules,
    *,
    queued: bool,
) -> Outcome:
    request = RunRequestedV1(
        tenant_id=command.tenant_id,
        run_id=command.run_id,
        attempt=1,
        config_id=command.config_id,
        revision=config.revision,
        definition=config.definition,
        run_date=command.run_date,
        parameters=command.parameters,
        trigger=command.trigger,
        datasets=state.datasets,
        max_bytes_billed=rules.max_bytes_billed,
        lease_seconds=rules.lease_seconds,
        submitted_at=now,
    )
    fact = Admitted(
        request=request,
        queued=queued,
        priority=command.priority,
        day=day_of(state, now),
        lease_until=lease_until(now, rules),
    )
    if not queued:
        return (fact,), (request,)
    event = RunQueuedV1(
        tenant_id=command.tenant_id,
        run_id=command.run_id,
        config_id=command.config_id,
        revision=config.revision,
        run_date=command.run_date,
        trigger=command.trigger,
        position=len(state.waiting) + 1,
        reason=f"{state.limits.concurrent} runs are going on, as many as the plan allows",
        submitted_at=now,
    )
    return (fact,), (event,)


def _over_quota(state: Ledger, command: SubmitRunV1, now: datetime) -> Outcome | None:
    day = day_of(state, now)
    for limit, key, most in (
        ("daily", day, state.limits.daily),
        ("monthly", day[:7], state.limits.monthly),
    ):
        used = state.charged.get(key, 0)
        if used >= most:
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

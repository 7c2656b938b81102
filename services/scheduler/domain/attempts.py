"""What executors report, cancellation, and leases that end."""

from datetime import datetime, timedelta

from contracts.identifiers import RunId, TenantId
from contracts.runs import (
    PLATFORM_FAULTS,
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    CancelRunV1,
    ErrorPart,
    RunCancelRequestedV1,
    RunFinishedV1,
    RunStatus,
)
from services.scheduler.domain.backfills import step_backfills
from services.scheduler.domain.deciding import (
    NOTHING,
    Look,
    Outcome,
    RequestRefused,
    Rules,
    Working,
    lease_until,
    refuse,
)
from services.scheduler.domain.facts import CancelAsked, Ended, Forgotten, LeaseExtended, Requested
from services.scheduler.domain.ledger import Lease, Ledger
from services.scheduler.domain.queue import drain
from services.scheduler.domain.schedules import start_due
from services.scheduler.domain.settling import settle

MOST_LEASES = 4
"""So much longer a request waits for somebody to begin it when those before it found nobody."""


def attempt_started(state: Ledger, event: AttemptStartedV1, now: datetime, rules: Rules) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    until = lease_until(now, rules)
    fact = LeaseExtended(run_id=event.run_id, until=until, started_at=event.started_at)
    return (fact,), _asked_again(event, lease)


def attempt_alive(state: Ledger, event: AttemptHeartbeatV1, now: datetime, rules: Rules) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    fact = LeaseExtended(run_id=event.run_id, until=lease_until(now, rules))
    return (fact,), _asked_again(event, lease)


def attempt_finished(
    state: Ledger, event: AttemptFinishedV1, now: datetime, rules: Rules
) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    if lease.started_at is None:  # its end has overtaken its start
        lease = lease.model_copy(update={"started_at": event.started_at})
    error = event.error if event.status is RunStatus.FAILED else None
    refund = error is not None and error.code in PLATFORM_FAULTS
    said = f"attempt {event.attempt} ended as {event.status}"
    ended = _end(
        lease,
        event.status,
        now,
        event.error,
        finished_at=event.finished_at,
        refund=refund,
        reason=said,
    )
    return settle(state, ended, event.tenant_id, now, rules)


def attempt_returned(
    state: Ledger, event: AttemptReturnedV1, now: datetime, rules: Rules
) -> Outcome:
    """Its executor stops in good order: go on at once instead of when the lease has ended."""
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    if lease.cancelling:
        reason = "its cancellation was asked for, and its executor gave it back"
        ended = _end(lease, RunStatus.CANCELLED, now, None, reason=reason)
        return settle(state, ended, event.tenant_id, now, rules)
    fault = "was given back by an executor that stops or is full"
    return _request_again(lease, now, rules, fault, returned=True)


def request_refused(state: Ledger, message: RequestRefused, now: datetime, rules: Rules) -> Outcome:
    """Another attempt would be refused as well. What the bus said of it is for operators."""
    lease = _current(state, message.run_id, message.attempt)
    if lease is None:
        return NOTHING
    nobody = "no executor could be asked to run it"
    if lease.cancelling:
        reason = f"its cancellation was asked for, and {nobody}"
        cancelled = _end(lease, RunStatus.CANCELLED, now, None, reason=reason)
        return settle(state, cancelled, message.tenant_id, now, rules)
    reason = f"{nobody}: its request was refused, as one that is too large is; it is not charged"
    error = ErrorPart(code="internal_error", detail=reason)
    ended = _end(lease, RunStatus.FAILED, now, error, refund=True, reason=reason)
    return settle(state, ended, message.tenant_id, now, rules)


def cancel_run(state: Ledger, command: CancelRunV1, now: datetime, rules: Rules) -> Outcome:
    lease = state.runs.get(command.run_id)
    if lease is None:
        ended = state.ended.get(command.run_id)
        if ended is None:
            return refuse(command.tenant_id, "run_not_found", f"there is no run {command.run_id}")
        detail = f"run {command.run_id} is {ended.status} already"
        return refuse(command.tenant_id, "run_ended", detail)
    if lease.queued:
        reason = f"{command.requested_by} cancelled it before it began"
        ended_at_once = _end(lease, RunStatus.CANCELLED, now, None, reason=reason)
        return settle(state, ended_at_once, command.tenant_id, now, rules)
    attempt = lease.request.attempt
    asked = _ask_cancel(command.tenant_id, command.run_id, attempt, command.requested_by)
    return (CancelAsked(run_id=command.run_id, by=command.requested_by),), (asked,)


def look(state: Ledger, message: Look, now: datetime, rules: Rules) -> Outcome:
    """Do what time alone asks for; a second look at the same time finds nothing to do."""
    work = Working(state, now, rules)
    for lease in state.running:
        if lease.until <= now:
            work.take(_expire(lease, now, rules))
    if message.forget:
        _end_stale(work)
    work.decide(drain)
    work.decide(start_due, message.tenant_id)
    work.decide(step_backfills, message.tenant_id)
    if message.forget:
        work.take(_forget(work.state, now, rules))
    return work.outcome


def end_all(state: Ledger, tenant: TenantId, now: datetime) -> Outcome:
    """The tenant is gone: what waits is cancelled, what runs is asked to stop."""
    work = Working(state, now, Rules())
    for lease in state.runs.values():
        if lease.queued:
            work.take(_end(lease, RunStatus.CANCELLED, now, None, reason="the tenant is gone"))
        elif not lease.cancelling:
            request = lease.request
            by = "offboarding"
            asked = _ask_cancel(tenant, request.run_id, request.attempt, by)
            work.take(((CancelAsked(run_id=request.run_id, by=by),), (asked,)))
    return work.outcome


def _end_stale(work: Working) -> None:
    """What has waited for as long as anything is remembered will not run any more."""
    days = work.rules.keep_days
    reason = f"it waited for more than {days} days, and is given up"
    for lease in work.state.runs.values():
        if lease.queued and lease.request.submitted_at < work.now - timedelta(days=days):
            work.take(_end(lease, RunStatus.CANCELLED, work.now, None, reason=reason))


def _forget(state: Ledger, now: datetime, rules: Rules) -> Outcome:
    before = now - timedelta(days=rules.keep_days)
    times = [
        *(run.at for run in state.ended.values()),
        *(one.about.ended_at for one in state.backfills.values()),
        *(history[-1].deleted_at for history in state.history.values()),
    ]
    if not any(at is not None and at < before for at in times):
        return NOTHING
    return (Forgotten(before=before),), ()


def _expire(lease: Lease, now: datetime, rules: Rules) -> Outcome:
    if lease.cancelling:
        reason = "its cancellation was asked for, and its executor is silent"
        return _end(lease, RunStatus.CANCELLED, now, None, reason=reason)
    if lease.lost >= rules.max_attempts:
        lost = f"the run was lost {lease.lost} times by the platform and is not charged"
        error = ErrorPart(code="platform_lost_run", detail=lost)
        return _end(lease, RunStatus.FAILED, now, error, refund=True, reason=lost)
    silence = f"was silent for {_patience(lease.unheard, rules):g} s"
    return _request_again(lease, now, rules, silence)


def _request_again(
    lease: Lease, now: datetime, rules: Rules, fault: str, *, returned: bool = False
) -> Outcome:
    request = lease.request
    waits = _patience(0 if returned else lease.unheard + 1, rules)
    update = {
        "attempt": request.attempt + 1,
        "reason": f"attempt {request.attempt} {fault}",
        "begin_seconds": waits,
    }
    again = request.model_copy(update=update)
    until = now + timedelta(seconds=waits)
    fact = Requested(
        run_id=request.run_id, attempt=again.attempt, lease_until=until, returned=returned
    )
    return (fact,), (again,)


def _patience(unheard: int, rules: Rules) -> float:
    """Seconds to wait for somebody to begin: nobody is there, or has much to catch up with."""
    return rules.lease_seconds * min(1 << max(0, unheard - 1), MOST_LEASES)


def _end(  # noqa: PLR0913  all that is said of an end
    lease: Lease,
    status: RunStatus,
    now: datetime,
    error: ErrorPart | None,
    *,
    finished_at: datetime | None = None,
    refund: bool = False,
    reason: str,
) -> Outcome:
    """`finished_at` is by the clock of its executor; what is remembered goes by the own one."""
    request, finished_at = lease.request, finished_at or now
    began = lease.started_at
    event = RunFinishedV1(
        tenant_id=request.tenant_id,
        run_id=request.run_id,
        config_id=request.config_id,
        revision=request.revision,
        attempt=request.attempt,
        status=status,
        run_date=request.run_date,
        trigger=request.trigger,
        submitted_at=request.submitted_at,
        started_at=began,
        finished_at=finished_at,
        error=error,
        refunded=refund,
        reason=reason,
    )
    fact = Ended(
        run_id=request.run_id,
        status=status,
        refund=refund,
        at=now,
        took=None if began is None else (finished_at - began).total_seconds(),
    )
    return (fact,), (event,)


def _current(state: Ledger, run_id: RunId, attempt: int) -> Lease | None:
    """The run's lease, if this is the attempt that holds it."""
    lease = state.runs.get(run_id)
    if lease is None or lease.queued or lease.request.attempt != attempt:
        return None
    return lease


def _asked_again(
    event: AttemptStartedV1 | AttemptHeartbeatV1, lease: Lease
) -> tuple[RunCancelRequestedV1, ...]:
    """A cancellation may have come before anybody had the run, or could hear of it."""
    if not lease.cancelling:
        return ()
    return (_ask_cancel(event.tenant_id, event.run_id, event.attempt, lease.cancelled_by),)


def _ask_cancel(tenant: TenantId, run_id: RunId, attempt: int, by: str) -> RunCancelRequestedV1:
    return RunCancelRequestedV1(tenant_id=tenant, run_id=run_id, attempt=attempt, requested_by=by)

"""What executors report, cancellation, and leases that end."""

from datetime import datetime

from contracts.identifiers import RunId, TenantId
from contracts.runs import (
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
from services.scheduler.domain.deciding import NOTHING, Look, Outcome, Rules, lease_until, refuse
from services.scheduler.domain.facts import CancelAsked, Ended, LeaseExtended, Requested
from services.scheduler.domain.ledger import Lease, Ledger
from services.scheduler.domain.queue import then_drain


def attempt_started(state: Ledger, event: AttemptStartedV1, now: datetime, rules: Rules) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    fact = LeaseExtended(
        run_id=event.run_id, until=lease_until(now, rules), started_at=event.started_at
    )
    if not lease.cancelling:
        return (fact,), ()
    # The cancellation may have come before anybody had the run to cancel.
    return (fact,), (_ask_cancel(event.tenant_id, event.run_id, event.attempt, ""),)


def attempt_alive(state: Ledger, event: AttemptHeartbeatV1, now: datetime, rules: Rules) -> Outcome:
    if _current(state, event.run_id, event.attempt) is None:
        return NOTHING
    return (LeaseExtended(run_id=event.run_id, until=lease_until(now, rules)),), ()


def attempt_finished(
    state: Ledger, event: AttemptFinishedV1, now: datetime, rules: Rules
) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    facts, emits = _end(lease, event.status, event.finished_at, event.error, event.started_at)
    return then_drain(state, facts, emits, now, rules)


def attempt_returned(
    state: Ledger, event: AttemptReturnedV1, now: datetime, rules: Rules
) -> Outcome:
    """Its executor stops in good order: go on at once instead of when the lease has ended."""
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    if lease.cancelling:
        facts, emits = _end(lease, RunStatus.CANCELLED, now, None, lease.started_at)
    else:
        facts, emits = _request_again(lease, now, rules)
    return then_drain(state, facts, emits, now, rules)


def cancel_run(state: Ledger, command: CancelRunV1, now: datetime, rules: Rules) -> Outcome:
    lease = state.runs.get(command.run_id)
    if lease is None:
        ended = state.ended.get(command.run_id)
        if ended is None:
            return refuse(command.tenant_id, "run_not_found", f"there is no run {command.run_id}")
        return refuse(command.tenant_id, "run_ended", f"run {command.run_id} is {ended} already")
    if lease.queued:
        facts, emits = _end(lease, RunStatus.CANCELLED, now, None, None)
        return then_drain(state, facts, emits, now, rules)
    attempt = lease.request.attempt
    asked = _ask_cancel(command.tenant_id, command.run_id, attempt, command.requested_by)
    return (CancelAsked(run_id=command.run_id),), (asked,)


def look(state: Ledger, message: Look, now: datetime, rules: Rules) -> Outcome:
    """Give up attempts whose lease has ended; start what waits if slots are free."""
    del message
    lost = [_expire(lease, now, rules) for lease in state.running if lease.until <= now]
    facts = tuple(fact for one, _ in lost for fact in one)
    emits = tuple(emit for _, one in lost for emit in one)
    return then_drain(state, facts, emits, now, rules)


def _expire(lease: Lease, now: datetime, rules: Rules) -> Outcome:
    request = lease.request
    if lease.cancelling:
        return _end(lease, RunStatus.CANCELLED, now, None, lease.started_at)
    if request.attempt >= rules.max_attempts:
        error = ErrorPart(
            code="platform_lost_run",
            detail=f"the run was lost {request.attempt} times by the platform and is not charged",
        )
        facts, emits = _end(lease, RunStatus.FAILED, now, error, lease.started_at, refund=True)
        return facts, emits
    return _request_again(lease, now, rules)


def _request_again(lease: Lease, now: datetime, rules: Rules) -> Outcome:
    request = lease.request
    again = request.model_copy(update={"attempt": request.attempt + 1})
    fact = Requested(
        run_id=request.run_id, attempt=again.attempt, lease_until=lease_until(now, rules)
    )
    return (fact,), (again,)


def _end(  # noqa: PLR0913  all that is said of an end
    lease: Lease,
    status: RunStatus,
    finished_at: datetime,
    error: ErrorPart | None,
    started_at: datetime | None,
    *,
    refund: bool = False,
) -> Outcome:
    request = lease.request
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
        started_at=lease.started_at or started_at,
        finished_at=finished_at,
        error=error,
    )
    return (Ended(run_id=request.run_id, status=status, refund=refund),), (event,)


def _current(state: Ledger, run_id: RunId, attempt: int) -> Lease | None:
    """The run's lease, if this is the attempt that holds it."""
    lease = state.runs.get(run_id)
    if lease is None or lease.queued or lease.request.attempt != attempt:
        return None
    return lease


def _ask_cancel(tenant: TenantId, run_id: RunId, attempt: int, by: str) -> RunCancelRequestedV1:
    return RunCancelRequestedV1(tenant_id=tenant, run_id=run_id, attempt=attempt, requested_by=by)

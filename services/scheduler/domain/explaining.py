"""Why a run waits, its place, and when it may start."""

from datetime import datetime, timedelta

from contracts.runs import ExplainRunV1, RunExplainedV1, RunStatus
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.ledger import Lease, Ledger
from services.scheduler.domain.places import Places, rounds_until
from services.scheduler.domain.queue import waiting


def explain(
    state: Ledger,
    query: ExplainRunV1,
    now: datetime,
    rules: Rules,
    places: Places | None = None,
) -> RunExplainedV1 | None:
    """None when the ledger knows of no such run."""
    lease = state.runs.get(query.run_id)
    if lease is not None and lease.queued:
        return _explain_waiting(state, query, lease, now, rules, places)
    if lease is not None:
        begun = lease.started_at is not None
        status = RunStatus.RUNNING if begun else RunStatus.PENDING
        said = "it is running" if begun else "it has a slot; an executor is about to take it up"
        detail = f"{said} (attempt {lease.request.attempt})"
        return _answer(state, query, status, detail, rules)
    ended = state.ended.get(query.run_id)
    if ended is None:
        return None
    return _answer(state, query, ended.status, f"it has ended: {ended.status}", rules)


def blocking_limit(state: Ledger, rules: Rules) -> str:
    """What keeps the first of the queue from starting."""
    if state.suspended:
        return "suspended"
    if not state.free:
        return "concurrent"
    return "platform" if rules.max_running else ""


def expected_start(
    state: Ledger, place: int, now: datetime, rounds: float = 0.0
) -> datetime | None:
    """When the run at a place of the queue gets a slot, if runs take as long as usual.

    `rounds`: how often the platform's places come round before one is its.
    """
    if state.usual_seconds is None or state.suspended or not state.limits.concurrent:
        return None
    usual = timedelta(seconds=state.usual_seconds)
    ends = sorted(max(now, (r.started_at or now) + usual) for r in state.running)
    too_many = max(0, len(ends) - state.limits.concurrent)  # a plan that allows less than runs
    slots = [now] * state.free + ends[too_many:]
    behind, slot = divmod(place - 1, len(slots))
    return max(slots[slot] + behind * usual, now + rounds * usual)


def _explain_waiting(  # noqa: PLR0913, PLR0917  all that is known of a wait
    state: Ledger,
    query: ExplainRunV1,
    lease: Lease,
    now: datetime,
    rules: Rules,
    places: Places | None,
) -> RunExplainedV1:
    line = waiting(state, rules)
    place = line.index(lease) + 1
    limit = blocking_limit(state, rules)
    reasons = {
        "suspended": "the tenant is suspended",
        "concurrent": f"{len(state.running)} of {state.limits.concurrent} concurrent runs go on",
        "platform": f"all {rules.max_running} places of the platform are taken",
        "": "a slot is free; it starts at once",
    }
    before = f"; {place - 1} before it" if place > 1 else "; it is the next"
    found = _answer(state, query, RunStatus.QUEUED, reasons[limit] + before, rules)
    rounds = 0.0
    if places is not None:
        rounds = rounds_until(places, query.tenant_id, place, rules.max_running)
    start = expected_start(state, place, now, rounds)
    update = {"blocking_limit": limit, "place": place, "expected_start_at": start}
    return found.model_copy(update=update)


def _answer(
    state: Ledger, query: ExplainRunV1, status: RunStatus, detail: str, rules: Rules
) -> RunExplainedV1:
    return RunExplainedV1(
        tenant_id=query.tenant_id,
        run_id=query.run_id,
        status=status,
        waiting=len(waiting(state, rules)),
        running=len(state.running),
        detail=detail,
    )

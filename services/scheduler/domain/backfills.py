"""Runs for days that have passed, as many as live work leaves room for.

A backfill starts a run only when a slot is free that no other run waits for, one
slot stays free for schedules, and what schedules will still need of the quota is
left alone. It is never rejected: it waits for the next day or month.
"""

from datetime import UTC, date, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from contracts.backfills import (
    BackfillAction,
    BackfillChangedV1,
    BackfillOnly,
    BackfillPart,
    BackfillPlannedV1,
    BackfillStartedV1,
    BackfillStatus,
    ChangeBackfillV1,
    StartBackfillV1,
)
from contracts.identifiers import BackfillId, RunId, TenantId
from contracts.runs import RunRejectedV1, SubmitRunV1, TriggerPart, TriggerType
from services.scheduler.domain.admission import Pinned, admit
from services.scheduler.domain.days import has_day
from services.scheduler.domain.deciding import NOTHING, Outcome, Rules, Working, check_known, refuse
from services.scheduler.domain.facts import BackfillKept, BackfillMoved
from services.scheduler.domain.ledger import Backfill, Ledger
from services.scheduler.domain.periods import day_of, next_reset
from services.scheduler.domain.schedules import needed_until, upcoming

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/scheduler/backfills")
MOST_DAYS = 3_700
MOST_OPEN = 20
PRIORITY = -100


def start_backfill(state: Ledger, command: StartBackfillV1, now: datetime, rules: Rules) -> Outcome:
    check_known(state, command.tenant_id)
    if refusal := _wrong(state, command):
        return refusal
    if command.dry_run:
        return (), (_planned(state, command, now),)
    about = BackfillPart(
        backfill_id=command.backfill_id,
        config_id=command.config_id,
        from_date=command.from_date,
        to_date=command.to_date,
        only=command.only,
        max_active=command.max_active,
        status=BackfillStatus.ACTIVE,
        next_date=command.from_date,
        created_at=now,
    )
    event = BackfillStartedV1(
        tenant_id=command.tenant_id, backfill=about, requested_by=command.requested_by
    )
    work = Working(state, now, rules)
    work.take(((BackfillKept(backfill=about, parameters=command.parameters),), (event,)))
    work.decide(step_backfills, command.tenant_id)
    return work.outcome


def change_backfill(
    state: Ledger, command: ChangeBackfillV1, now: datetime, rules: Rules
) -> Outcome:
    """Runs that have begun go on, also when their backfill is cancelled."""
    known = state.backfills.get(command.backfill_id)
    if known is None:
        detail = f"there is no backfill {command.backfill_id}"
        return refuse(command.tenant_id, "backfill_not_found", detail)
    if known.about.status.is_final:
        detail = f"backfill {known.id} is {known.about.status} already"
        return refuse(command.tenant_id, "backfill_ended", detail)
    status = {
        BackfillAction.PAUSE: BackfillStatus.PAUSED,
        BackfillAction.RESUME: BackfillStatus.ACTIVE,
        BackfillAction.CANCEL: BackfillStatus.CANCELLED,
    }[command.action]
    work = Working(state, now, rules)
    _move(work, command.tenant_id, known.id, known.about.next_date, status, command.requested_by)
    work.decide(step_backfills, command.tenant_id)
    return work.outcome


def step_backfills(state: Ledger, tenant: TenantId, now: datetime, rules: Rules) -> Outcome:
    """Start what there is room for; end what has come to its end."""
    if not any(one.is_active for one in state.backfills.values()):
        return NOTHING
    work = Working(state, now, rules)
    room = _room(state, now)
    for known in sorted(state.backfills.values(), key=lambda one: one.about.created_at):
        if known.is_active:
            room -= _step(work, tenant, known, room)
    return work.outcome


def drop_backfills(state: Ledger, tenant: TenantId, config_id: str, now: datetime) -> Outcome:
    """Cancel the open backfills of a pipeline that goes."""
    work = Working(state, now, Rules())
    for known in state.backfills.values():
        if known.about.config_id == config_id and not known.about.status.is_final:
            next_date = known.about.next_date
            _move(work, tenant, known.id, next_date, BackfillStatus.CANCELLED, "the pipeline goes")
    return work.outcome


def backfill_run_id(backfill_id: BackfillId, day: date) -> RunId:
    return RunId(str(uuid5(NAMESPACE, f"{backfill_id}/{day.isoformat()}")))


def _wrong(state: Ledger, command: StartBackfillV1) -> Outcome | None:
    days = (command.to_date - command.from_date).days + 1
    if command.backfill_id in state.backfills:
        return refuse(command.tenant_id, "backfill_exists", "this backfill was started before")
    if command.config_id not in state.configs:
        detail = f"there is no pipeline {command.config_id}; save it first"
        return refuse(command.tenant_id, "config_not_found", detail)
    if not 1 <= days <= MOST_DAYS:
        detail = f"from {command.from_date} to {command.to_date}: expected 1 to {MOST_DAYS} days"
        return refuse(command.tenant_id, "invalid_range", detail)
    still_open = sum(not one.about.status.is_final for one in state.backfills.values())
    if still_open >= MOST_OPEN:
        detail = f"{MOST_OPEN} backfills are open already; wait for one or cancel one"
        return refuse(command.tenant_id, "too_many_backfills", detail)
    return None


def _planned(state: Ledger, command: StartBackfillV1, now: datetime) -> BackfillPlannedV1:
    first, last = command.from_date.toordinal(), command.to_date.toordinal()
    done = state.done.get(command.config_id, ()) if command.only is BackfillOnly.MISSING else ()
    going = {day.toordinal() for day in _under_way(state, command)}
    runs = sum(not (day in going or has_day(done, day)) for day in range(first, last + 1))
    today, month = _left(state, now)
    return BackfillPlannedV1(
        tenant_id=command.tenant_id,
        config_id=command.config_id,
        days=last - first + 1,
        runs=runs,
        left_today=today,
        left_this_month=month,
        expected_days=-(-runs // max(1, state.limits.daily)),
    )


def _left(state: Ledger, now: datetime) -> tuple[int, int]:
    """What of today's and this month's quota is left beside what schedules still need."""
    day = day_of(state, now)
    tomorrow = next_reset(day, "daily")
    planned, limits = state.schedules.values(), state.limits
    needed_today = upcoming(planned, tomorrow, limits.daily)
    needed_later = needed_until(planned, tomorrow, next_reset(day, "monthly"), limits)
    today = limits.daily - state.charged.get(day, 0) - needed_today
    month = limits.monthly - state.charged.get(day[:7], 0) - needed_today - needed_later
    return max(0, today), max(0, month)


def _room(state: Ledger, now: datetime) -> int:
    """How many runs backfills may start now."""
    if state.suspended or any(lease.queued for lease in state.runs.values()):
        return 0
    if state.first_due_at is not None and state.first_due_at <= now:
        return 0  # a schedule's time has come: the tick that starts it looks at backfills after
    kept_free = 1 if state.limits.concurrent > 1 and state.first_due_at is not None else 0
    free = state.free - kept_free
    return max(0, min(free, *_left(state, now))) if free > 0 else 0


def _step(work: Working, tenant: TenantId, known: Backfill, room: int) -> int:
    """Start up to `room` runs of one backfill; returns how many."""
    started, day = 0, known.about.next_date
    may = min(room, known.about.max_active - len(known.active))
    while (day := _next_day(work.state, known, day)) is not None and started < may:
        if day in _under_way(work.state, known.about):
            break  # it may be missing no longer when that run has ended
        outcome = _submit(work, tenant, known, day)
        if any(isinstance(message, RunRejectedV1) for message in outcome[1]):
            break  # there is less room than it seemed: the day stays to be done
        work.take(outcome)
        started += 1
        day = _after(known, day)
    over = day is None and not work.state.backfills[known.id].active
    status = BackfillStatus.COMPLETED if over else BackfillStatus.ACTIVE
    if over or day != known.about.next_date:
        _move(work, tenant, known.id, day, status, "")
    return started


def _next_day(state: Ledger, known: Backfill, day: date | None) -> date | None:
    """The first day from `day` on that is to run."""
    done = state.done.get(known.about.config_id, ())
    if known.about.only is BackfillOnly.ALL:
        done = ()
    while day is not None and has_day(done, day.toordinal()):
        day = _after(known, day)
    return day


def _under_way(state: Ledger, about: BackfillPart | StartBackfillV1) -> set[date]:
    """The days that other runs are about, when only those that are missing are to run."""
    if about.only is BackfillOnly.ALL:
        return set()
    requests = (lease.request for lease in state.runs.values())
    return {one.run_date for one in requests if one.config_id == about.config_id}


def _after(known: Backfill, day: date) -> date | None:
    return day + timedelta(days=1) if day < known.about.to_date else None


def _submit(work: Working, tenant: TenantId, known: Backfill, day: date) -> Outcome:
    config = work.state.configs[known.about.config_id]
    command = SubmitRunV1(
        tenant_id=tenant,
        run_id=backfill_run_id(known.id, day),
        config_id=config.config_id,
        run_date=day,
        parameters=known.parameters,
        trigger=TriggerPart(type=TriggerType.BACKFILL, by=str(known.id)),
        priority=PRIORITY,
    )
    pinned = Pinned(config.revision, config.definition, backfill_id=known.id)
    return admit(work.state, command, pinned, work.now, work.rules)


def _move(  # noqa: PLR0913, PLR0917  all that is said of a move
    work: Working,
    tenant: TenantId,
    name: BackfillId,
    next_date: date | None,
    status: BackfillStatus,
    by: str,
) -> None:
    before = work.state.backfills[name].about.status
    at = work.now.astimezone(UTC)
    fact = BackfillMoved(backfill_id=name, next_date=next_date, status=status, at=at)
    work.take(((fact,), ()))
    if status is not before:
        about = work.state.backfills[name].about
        event = BackfillChangedV1(tenant_id=tenant, backfill=about, requested_by=by)
        work.take(((), (event,)))

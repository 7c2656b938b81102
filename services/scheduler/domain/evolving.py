"""How each fact changes a ledger."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from contracts.identifiers import RunId
from contracts.pipelines import RevisionPart
from contracts.runs import RunStatus
from services.scheduler.domain import facts
from services.scheduler.domain.days import with_day
from services.scheduler.domain.ledger import Backfill, EndedRun, Lease, Ledger, Planned
from services.scheduler.domain.paging import PagedDict
from services.scheduler.domain.periods import first_due

REMEMBERED_REVISIONS = 100
NEWEST_COUNTS = 0.2

Changes = dict[str, Any]


def evolve(state: Ledger, fact: BaseModel) -> Ledger:
    """Apply one fact; total over every kind of fact."""
    changes = _CHANGES[type(fact)](state, fact)
    return state.model_copy(update={"changes": state.changes + 1, **changes})


def _tenant_known(state: Ledger, fact: facts.TenantKnown) -> Changes:
    datasets = state.datasets if fact.datasets is None else fact.datasets
    return {"known": True, "plan": fact.plan, "limits": fact.limits, "datasets": datasets}


def _tenant_may(_: Ledger, fact: facts.TenantMay) -> Changes:
    if not fact.gone:
        return {"suspended": fact.suspended, "gone": False}
    return {"suspended": True, "gone": True, "schedules": {}, "first_due_at": None}


def _config_kept(state: Ledger, fact: facts.ConfigKept) -> Changes:
    config = fact.config
    revision = RevisionPart(
        revision=config.revision,
        saved_at=config.saved_at,
        saved_by=config.saved_by,
        bytes=len(config.source.encode()),
    )
    known = state.history.get(config.config_id, ())
    history = {**state.history, config.config_id: (*known, revision)[-REMEMBERED_REVISIONS:]}
    return {"configs": {**state.configs, config.config_id: config}, "history": history}


def _config_dropped(state: Ledger, fact: facts.ConfigDropped) -> Changes:
    name = fact.config_id
    changes: Changes = {"configs": {k: v for k, v in state.configs.items() if k != name}}
    if history := state.history.get(name):
        last = history[-1].model_copy(update={"deleted_at": fact.at})
        changes["history"] = {**state.history, name: (*history[:-1], last)}
    return changes


def _schedule_kept(state: Ledger, fact: facts.ScheduleKept) -> Changes:
    name = fact.schedule.config_id
    before = state.schedules.get(name)
    last = before.last_due_at if before else None
    planned = Planned(
        schedule=fact.schedule,
        due_at=None,
        last_due_at=last,
        offset_seconds=fact.offset_seconds,
    ).due(fact.due_at)
    return _schedules({**state.schedules, name: planned})


def _schedule_dropped(state: Ledger, fact: facts.ScheduleDropped) -> Changes:
    return _schedules({k: v for k, v in state.schedules.items() if k != fact.config_id})


def _schedule_advanced(state: Ledger, fact: facts.ScheduleAdvanced) -> Changes:
    planned = state.schedules[fact.config_id].due(fact.due_at, last_due_at=fact.last_due_at)
    return _schedules({**state.schedules, fact.config_id: planned})


def _schedules(schedules: dict[Any, Planned]) -> Changes:
    return {"schedules": schedules, "first_due_at": first_due(schedules.values())}


def _backfill_kept(state: Ledger, fact: facts.BackfillKept) -> Changes:
    kept = Backfill(about=fact.backfill, parameters=fact.parameters)
    return {"backfills": {**state.backfills, kept.id: kept}}


def _backfill_moved(state: Ledger, fact: facts.BackfillMoved) -> Changes:
    known = state.backfills[fact.backfill_id]
    update: Changes = {"next_date": fact.next_date, "status": fact.status}
    if fact.status.is_final:
        update["ended_at"] = fact.at
    moved = known.model_copy(update={"about": known.about.model_copy(update=update)})
    return {"backfills": {**state.backfills, known.id: moved}}


def _admitted(state: Ledger, fact: facts.Admitted) -> Changes:
    place = state.admitted + 1
    lease = Lease(
        request=fact.request,
        day=fact.day,
        priority=fact.priority,
        place=place,
        queued=fact.queued,
        until=fact.lease_until,
        backfill_id=fact.backfill_id,
        of_template=fact.of_template,
    )
    keys = (fact.day, fact.day[:7])  # what is past is in the log
    charged = {key: state.charged.get(key, 0) + 1 for key in keys}
    runs = {**state.runs, fact.request.run_id: lease}
    changes: Changes = {"admitted": place, "charged": charged, "runs": runs}
    if fact.backfill_id is not None:
        changes |= _backfill_run(state, fact, fact.request.run_id)
    return changes


def _backfill_run(state: Ledger, fact: facts.Admitted, run_id: RunId) -> Changes:
    known = state.backfills[fact.backfill_id]  # type: ignore[index] # only called with one
    about = known.about.model_copy(update={"started": known.about.started + 1})
    moved = known.model_copy(update={"about": about, "active": known.active | {run_id}})
    return {"backfills": {**state.backfills, known.id: moved}}


def _requested(state: Ledger, fact: facts.Requested) -> Changes:
    lease = state.runs[fact.run_id]
    request = lease.request.model_copy(update={"attempt": fact.attempt})
    update: Changes = {"request": request, "queued": False, "until": fact.lease_until}
    update["returned"] = lease.returned + fact.returned
    is_first = fact.returned or fact.attempt == 1
    update["unheard"] = 0 if is_first else lease.unheard + 1
    if fact.place is not None:
        update["platform_place"] = fact.place
    return {"runs": {**state.runs, fact.run_id: lease.model_copy(update=update)}}


def _place_seen(state: Ledger, fact: facts.PlaceSeen) -> Changes:
    return {"last_place": max(state.last_place, fact.number)}


def _lease_extended(state: Ledger, fact: facts.LeaseExtended) -> Changes:
    lease = state.runs[fact.run_id]
    started = lease.started_at or fact.started_at
    update = {"until": fact.until, "started_at": started, "unheard": 0}
    return {"runs": {**state.runs, fact.run_id: lease.model_copy(update=update)}}


def _cancel_asked(state: Ledger, fact: facts.CancelAsked) -> Changes:
    update = {"cancelling": True, "cancelled_by": fact.by}
    lease = state.runs[fact.run_id].model_copy(update=update)
    return {"runs": {**state.runs, fact.run_id: lease}}


def _ended(state: Ledger, fact: facts.Ended) -> Changes:
    lease = state.runs[fact.run_id]
    runs = {k: v for k, v in state.runs.items() if k != fact.run_id}
    most = max(state.remembered_runs, len(state.ended))  # a smaller plan forgets nothing at once
    ended = state.ended.having(fact.run_id, _remembered(lease, fact)).newest(most)
    changes: Changes = {"runs": runs, "ended": ended}
    if fact.refund:
        keys = {lease.day, lease.day[:7]}
        refunds = {key: used - 1 for key, used in state.charged.items() if key in keys}
        changes["charged"] = {**state.charged, **refunds}
    took = fact.took
    if took is None and lease.started_at is not None and fact.at is not None:
        took = (fact.at - lease.started_at).total_seconds()
    if took is not None:
        changes["usual_seconds"] = _usual(state, took)
    if fact.status is RunStatus.COMPLETED:
        name, day = lease.request.config_id, lease.request.run_date.toordinal()
        changes["done"] = {**state.done, name: with_day(state.done.get(name, ()), day)}
    if lease.backfill_id is not None:
        changes |= _backfill_run_ended(state, lease, fact)
    return changes


def _remembered(lease: Lease, fact: facts.Ended) -> EndedRun:
    request = lease.request
    return EndedRun(
        status=fact.status,
        config_id=request.config_id,
        revision=request.revision,
        run_date=request.run_date,
        parameters=request.parameters,
        priority=lease.priority,
        trigger=request.trigger.type,
        at=fact.at,
        attempts=request.attempt,
        generation=request.generation,
        of_template=lease.of_template,
    )


def _usual(state: Ledger, seconds: float) -> float:
    if state.usual_seconds is None:
        return max(0.0, seconds)
    return state.usual_seconds + NEWEST_COUNTS * (max(0.0, seconds) - state.usual_seconds)


def _backfill_run_ended(state: Ledger, lease: Lease, fact: facts.Ended) -> Changes:
    known = state.backfills.get(lease.backfill_id)  # type: ignore[arg-type] # only called with one
    if known is None:
        return {}
    good = fact.status is RunStatus.COMPLETED
    counts = {
        "completed": known.about.completed + good,
        "failed": known.about.failed + (not good),
    }
    update = {
        "about": known.about.model_copy(update=counts),
        "active": known.active - {fact.run_id},
    }
    return {"backfills": {**state.backfills, known.id: known.model_copy(update=update)}}


def _forgotten(state: Ledger, fact: facts.Forgotten) -> Changes:
    gone = {
        name
        for name, history in state.history.items()
        if name not in state.configs
        and history[-1].deleted_at is not None
        and history[-1].deleted_at < fact.before
    }
    return {
        "ended": PagedDict(
            {k: v for k, v in state.ended.items() if v.at is None or v.at >= fact.before}
        ),
        "backfills": {
            k: v
            for k, v in state.backfills.items()
            if v.about.ended_at is None or v.about.ended_at >= fact.before
        },
        "history": {k: v for k, v in state.history.items() if k not in gone},
        "done": {k: v for k, v in state.done.items() if k not in gone},
    }


def _reminded(state: Ledger, fact: facts.Reminded) -> Changes:
    return {"reminder": fact.at, "reminders": state.reminders + 1}


_CHANGES: dict[type[BaseModel], Callable[[Ledger, Any], Changes]] = {
    facts.TenantKnown: _tenant_known,
    facts.TenantMay: _tenant_may,
    facts.ConfigKept: _config_kept,
    facts.ConfigDropped: _config_dropped,
    facts.ScheduleKept: _schedule_kept,
    facts.ScheduleDropped: _schedule_dropped,
    facts.ScheduleAdvanced: _schedule_advanced,
    facts.BackfillKept: _backfill_kept,
    facts.BackfillMoved: _backfill_moved,
    facts.Admitted: _admitted,
    facts.Requested: _requested,
    facts.PlaceSeen: _place_seen,
    facts.LeaseExtended: _lease_extended,
    facts.CancelAsked: _cancel_asked,
    facts.Ended: _ended,
    facts.Forgotten: _forgotten,
    facts.Reminded: _reminded,
}

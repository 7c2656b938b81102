"""One tenant's ledger, and how each fact changes it.

Counters are keyed by UTC day and month, so a new period is a new key. A slot is
a lease with an attempt number: a heartbeat extends it, its end requests the next
attempt, and what an older attempt says is not applied.
"""

from typing import Any

from pydantic import BaseModel, Field

from contracts.identifiers import ConfigId, RunId
from contracts.message import Utc
from contracts.pipelines import (
    ConfigPart,
)
from contracts.runs import (
    RunRequestedV1,
    RunStatus,
)
from contracts.tenants import (
    LimitsPart,
)
from services.scheduler.domain.facts import (
    Admitted,
    CancelAsked,
    ConfigDropped,
    ConfigKept,
    Ended,
    Fact,
    LeaseExtended,
    Requested,
    TenantKnown,
    TenantMay,
)

REMEMBERED_RUNS = 5_000


class Lease(Fact):
    """An admitted run that has not ended."""

    request: RunRequestedV1
    day: str
    priority: int = 0
    place: int
    """Order of admission among this tenant's runs."""
    queued: bool
    until: Utc
    started_at: Utc | None = None
    cancelling: bool = False


class Ledger(Fact):
    """One tenant's configs, counters, slots and queue."""

    known: bool = False
    gone: bool = False
    suspended: bool = False
    plan: str = ""
    limits: LimitsPart = LimitsPart(daily=0, monthly=0, concurrent=0)
    datasets: tuple[str, ...] = ()
    configs: dict[ConfigId, ConfigPart] = Field(default_factory=dict)
    revisions: dict[ConfigId, int] = Field(default_factory=dict)
    """The last revision ever used, also of configs that were deleted."""
    charged: dict[str, int] = Field(default_factory=dict)
    """Runs by day (2026-01-31) and by month (2026-01)."""
    admitted: int = 0
    runs: dict[RunId, Lease] = Field(default_factory=dict)
    ended: dict[RunId, RunStatus] = Field(default_factory=dict)

    @property
    def running(self) -> list[Lease]:
        return [lease for lease in self.runs.values() if not lease.queued]

    @property
    def waiting(self) -> list[Lease]:
        queued = (lease for lease in self.runs.values() if lease.queued)
        return sorted(queued, key=lambda lease: (-lease.priority, lease.place))


def evolve(state: Ledger, fact: BaseModel) -> Ledger:
    """Apply one fact; total over every kind of fact."""
    return state.model_copy(update=_changes(state, fact))


def _changes(state: Ledger, fact: BaseModel) -> dict[str, Any]:
    match fact:
        case TenantKnown():
            datasets = state.datasets if fact.datasets is None else fact.datasets
            known = {"known": True, "plan": fact.plan, "limits": fact.limits}
            return {**known, "datasets": datasets}
        case TenantMay():
            return {"suspended": fact.suspended, "gone": fact.gone}
        case ConfigKept(config=config):
            name = config.config_id
            revisions = {**state.revisions, name: config.revision}
            return {"configs": {**state.configs, name: config}, "revisions": revisions}
        case ConfigDropped(config_id=name):
            return {"configs": {k: v for k, v in state.configs.items() if k != name}}
        case Admitted():
            return _admitted(state, fact)
        case _:
            return {"runs": _changed_runs(state, fact), **_ended(state, fact)}


def _admitted(state: Ledger, fact: Admitted) -> dict[str, Any]:
    place = state.admitted + 1
    lease = Lease(
        request=fact.request,
        day=fact.day,
        priority=fact.priority,
        place=place,
        queued=fact.queued,
        until=fact.lease_until,
    )
    charged = {
        key: used
        for key, used in state.charged.items()
        if key in {fact.day, fact.day[:7]}  # what is past is in the log
    }
    for key in (fact.day, fact.day[:7]):
        charged[key] = charged.get(key, 0) + 1
    runs = {**state.runs, fact.request.run_id: lease}
    return {"admitted": place, "charged": charged, "runs": runs}


def _changed_runs(state: Ledger, fact: BaseModel) -> dict[RunId, Lease]:
    runs = dict(state.runs)
    match fact:
        case Requested(run_id=run_id, attempt=attempt, lease_until=until):
            lease = runs[run_id]
            request = lease.request.model_copy(update={"attempt": attempt})
            runs[run_id] = lease.model_copy(
                update={"request": request, "queued": False, "until": until}
            )
        case LeaseExtended(run_id=run_id, until=until, started_at=started):
            lease = runs[run_id]
            first = lease.started_at or started
            runs[run_id] = lease.model_copy(update={"until": until, "started_at": first})
        case CancelAsked(run_id=run_id):
            runs[run_id] = runs[run_id].model_copy(update={"cancelling": True})
        case Ended(run_id=run_id):
            del runs[run_id]
        case _:
            raise TypeError(fact)
    return runs


def _ended(state: Ledger, fact: BaseModel) -> dict[str, Any]:
    if not isinstance(fact, Ended):
        return {}
    ended = {**state.ended, fact.run_id: fact.status}
    while len(ended) > REMEMBERED_RUNS:
        del ended[next(iter(ended))]
    if not fact.refund:
        return {"ended": ended}
    day = state.runs[fact.run_id].day
    refunds = {key: used - 1 for key, used in state.charged.items() if key in {day, day[:7]}}
    return {"ended": ended, "charged": {**state.charged, **refunds}}

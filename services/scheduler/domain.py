"""Admission: pure decisions over one tenant's ledger.

Counters are keyed by UTC day and month, so a new period is a new key. A slot is
a lease with an attempt number: a heartbeat extends it, its end requests the next
attempt, and what an older attempt says is not applied.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Message, Utc
from contracts.pipelines import (
    ConfigDeletedV1,
    ConfigPart,
    ConfigSavedV1,
    DefinitionPart,
    DeleteConfigV1,
    SaveConfigV1,
)
from contracts.platform import CommandRefusedV1
from contracts.quota import QuotaV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptStartedV1,
    CancelRunV1,
    ErrorPart,
    RunCancelRequestedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.tenants import (
    LimitsPart,
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)

REMEMBERED_RUNS = 5_000
MOST_CONFIGS = 1_000


class TenantUnknownError(Exception):
    """The tenant's onboarding has not reached this service yet, or never happened."""

    def __init__(self, tenant: TenantId) -> None:
        super().__init__(f"tenant {tenant}")


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class TenantKnown(Fact):
    kind: Literal["tenant_known"] = "tenant_known"
    plan: str
    limits: LimitsPart
    datasets: tuple[str, ...] | None = None


class TenantMay(Fact):
    kind: Literal["tenant_may"] = "tenant_may"
    suspended: bool
    gone: bool = False


class ConfigKept(Fact):
    kind: Literal["config_kept"] = "config_kept"
    config: ConfigPart


class ConfigDropped(Fact):
    kind: Literal["config_dropped"] = "config_dropped"
    config_id: ConfigId


class Admitted(Fact):
    """A run is charged, and has a slot or a place in the queue."""

    kind: Literal["admitted"] = "admitted"
    request: RunRequestedV1
    queued: bool
    priority: int
    day: str
    lease_until: Utc


class Requested(Fact):
    """A run has a slot for its next attempt."""

    kind: Literal["requested"] = "requested"
    run_id: RunId
    attempt: int
    lease_until: Utc


class LeaseExtended(Fact):
    kind: Literal["lease_extended"] = "lease_extended"
    run_id: RunId
    until: Utc
    started_at: Utc | None = None


class CancelAsked(Fact):
    kind: Literal["cancel_asked"] = "cancel_asked"
    run_id: RunId


class Ended(Fact):
    kind: Literal["ended"] = "ended"
    run_id: RunId
    status: RunStatus
    refund: bool = False


AnyFact = Annotated[
    TenantKnown
    | TenantMay
    | ConfigKept
    | ConfigDropped
    | Admitted
    | Requested
    | LeaseExtended
    | CancelAsked
    | Ended,
    Field(discriminator="kind"),
]
FACTS: TypeAdapter[Fact] = TypeAdapter(AnyFact)


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


class Rules(Fact):
    """What the deployment decides."""

    lease_seconds: float = 60.0
    max_attempts: int = 5
    queue_limit: int = 100
    max_bytes_billed: int = 1 << 40


class KeepConfig(Message):
    """Not a contract: a definition that the handler has read."""

    command: SaveConfigV1
    definition: DefinitionPart

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class Look(Message):
    """Not a contract: a tick, for one tenant's ledger."""

    tenant_id: TenantId


Outcome = tuple[tuple[Fact, ...], tuple[Message, ...]]
NOTHING: Outcome = ((), ())


def refuse(tenant: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant, code=code, detail=detail),)


# tenants


def tenant_onboarded(_: Ledger, event: TenantOnboardedV1, __: datetime, ___: Rules) -> Outcome:
    fact = TenantKnown(plan=event.plan, limits=event.limits, datasets=event.datasets)
    return (fact,), ()


def plan_changed(_: Ledger, event: PlanChangedV1, __: datetime, ___: Rules) -> Outcome:
    return (TenantKnown(plan=event.plan, limits=event.limits),), ()


def tenant_may(
    _: Ledger,
    event: TenantSuspendedV1 | TenantResumedV1 | TenantOffboardedV1,
    __: datetime,
    ___: Rules,
) -> Outcome:
    gone = isinstance(event, TenantOffboardedV1)
    return (TenantMay(suspended=not isinstance(event, TenantResumedV1), gone=gone),), ()


# configs


def keep_config(state: Ledger, message: KeepConfig, now: datetime, _: Rules) -> Outcome:
    command = message.command
    _check_known(state, command.tenant_id)
    current = state.configs.get(command.config_id)
    if wrong := _wrong_revision(command, current):
        return wrong
    if current is None and len(state.configs) >= MOST_CONFIGS:
        detail = f"at most {MOST_CONFIGS} configs; delete one first"
        return refuse(command.tenant_id, "too_many_configs", detail)
    config = ConfigPart(
        config_id=command.config_id,
        revision=state.revisions.get(command.config_id, 0) + 1,
        source=command.source,
        definition=message.definition,
        saved_at=now,
        saved_by=command.requested_by,
    )
    event = ConfigSavedV1(
        tenant_id=command.tenant_id,
        config_id=config.config_id,
        revision=config.revision,
        source=config.source,
        definition=config.definition,
        requested_by=command.requested_by,
    )
    return (ConfigKept(config=config),), (event,)


def delete_config(state: Ledger, command: DeleteConfigV1, _: datetime, __: Rules) -> Outcome:
    current = state.configs.get(command.config_id)
    if current is None:
        return _no_config(command.tenant_id, command.config_id)
    if wrong := _wrong_revision(command, current):
        return wrong
    event = ConfigDeletedV1(
        tenant_id=command.tenant_id,
        config_id=command.config_id,
        revision=current.revision,
        requested_by=command.requested_by,
    )
    return (ConfigDropped(config_id=command.config_id),), (event,)


def _wrong_revision(
    command: SaveConfigV1 | DeleteConfigV1, current: ConfigPart | None
) -> Outcome | None:
    found = current.revision if current else 0
    if command.if_revision is None or command.if_revision == found:
        return None
    detail = (
        f"{command.config_id} is at revision {found}, not {command.if_revision}: "
        "read it again and repeat your change"
    )
    return refuse(command.tenant_id, "revision_conflict", detail)


def _no_config(tenant: TenantId, config_id: ConfigId) -> Outcome:
    return refuse(tenant, "config_not_found", f"there is no pipeline {config_id}")


# runs


def submit_run(state: Ledger, command: SubmitRunV1, now: datetime, rules: Rules) -> Outcome:
    """Admit with a slot, admit into the queue, or reject: never both charged and rejected."""
    _check_known(state, command.tenant_id)
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
        day=_day(state, now),
        lease_until=_lease(now, rules),
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
    day = _day(state, now)
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


def attempt_started(state: Ledger, event: AttemptStartedV1, now: datetime, rules: Rules) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    fact = LeaseExtended(run_id=event.run_id, until=_lease(now, rules), started_at=event.started_at)
    if not lease.cancelling:
        return (fact,), ()
    # The cancellation may have come before anybody had the run to cancel.
    return (fact,), (_ask_cancel(event.tenant_id, event.run_id, event.attempt, ""),)


def attempt_alive(state: Ledger, event: AttemptHeartbeatV1, now: datetime, rules: Rules) -> Outcome:
    if _current(state, event.run_id, event.attempt) is None:
        return NOTHING
    return (LeaseExtended(run_id=event.run_id, until=_lease(now, rules)),), ()


def attempt_finished(
    state: Ledger, event: AttemptFinishedV1, now: datetime, rules: Rules
) -> Outcome:
    lease = _current(state, event.run_id, event.attempt)
    if lease is None:
        return NOTHING
    facts, emits = _end(lease, event.status, event.finished_at, event.error, event.started_at)
    return _then_drain(state, facts, emits, now, rules)


def cancel_run(state: Ledger, command: CancelRunV1, now: datetime, rules: Rules) -> Outcome:
    lease = state.runs.get(command.run_id)
    if lease is None:
        ended = state.ended.get(command.run_id)
        if ended is None:
            return refuse(command.tenant_id, "run_not_found", f"there is no run {command.run_id}")
        return refuse(command.tenant_id, "run_ended", f"run {command.run_id} is {ended} already")
    if lease.queued:
        facts, emits = _end(lease, RunStatus.CANCELLED, now, None, None)
        return _then_drain(state, facts, emits, now, rules)
    attempt = lease.request.attempt
    asked = _ask_cancel(command.tenant_id, command.run_id, attempt, command.requested_by)
    return (CancelAsked(run_id=command.run_id),), (asked,)


def look(state: Ledger, message: Look, now: datetime, rules: Rules) -> Outcome:
    """Give up attempts whose lease has ended; start what waits if slots are free."""
    del message
    facts: list[Fact] = []
    emits: list[Message] = []
    for lease in state.running:
        if lease.until <= now:
            more_facts, more_emits = _expire(lease, now, rules)
            facts += more_facts
            emits += more_emits
    return _then_drain(state, tuple(facts), tuple(emits), now, rules)


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
    again = request.model_copy(update={"attempt": request.attempt + 1})
    fact = Requested(run_id=request.run_id, attempt=again.attempt, lease_until=_lease(now, rules))
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


def _then_drain(
    state: Ledger,
    facts: tuple[Fact, ...],
    emits: tuple[Message, ...],
    now: datetime,
    rules: Rules,
) -> Outcome:
    """After what was decided, fill the slots that are free from the queue."""
    for fact in facts:
        state = evolve(state, fact)
    free = state.limits.concurrent - len(state.running)
    if free <= 0 or state.suspended:
        return facts, emits
    chosen = state.waiting[:free]
    until = _lease(now, rules)
    requested = tuple(
        Requested(run_id=lease.request.run_id, attempt=1, lease_until=until) for lease in chosen
    )
    return (*facts, *requested), (*emits, *(lease.request for lease in chosen))


def quota(state: Ledger, tenant: TenantId, now: datetime) -> QuotaV1:
    day = _day(state, now)
    return QuotaV1(
        tenant_id=tenant,
        plan=state.plan,
        limits=state.limits,
        used_today=state.charged.get(day, 0),
        used_this_month=state.charged.get(day[:7], 0),
        running=len(state.running),
        queued=len(state.waiting),
        day_resets_at=next_reset(day, "daily"),
        month_resets_at=next_reset(day, "monthly"),
        suspended=state.suspended,
    )


def _check_known(state: Ledger, tenant: TenantId) -> None:
    if not state.known:
        raise TenantUnknownError(tenant)


def _current(state: Ledger, run_id: RunId, attempt: int) -> Lease | None:
    """The run's lease, if this is the attempt that holds it."""
    lease = state.runs.get(run_id)
    if lease is None or lease.queued or lease.request.attempt != attempt:
        return None
    return lease


def _ask_cancel(tenant: TenantId, run_id: RunId, attempt: int, by: str) -> RunCancelRequestedV1:
    return RunCancelRequestedV1(tenant_id=tenant, run_id=run_id, attempt=attempt, requested_by=by)


def _lease(now: datetime, rules: Rules) -> datetime:
    return now + timedelta(seconds=rules.lease_seconds)


def _day(state: Ledger, now: datetime) -> str:
    """Today, or the last day that was charged when the clock has gone back."""
    today = now.astimezone(UTC).date().isoformat()
    return max([today, *(key for key in state.charged if len(key) == len(today))])


def next_reset(day: str, limit: str) -> datetime:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    if limit == "daily":
        return start + timedelta(days=1)
    return (start.replace(day=28) + timedelta(days=4)).replace(day=1)


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

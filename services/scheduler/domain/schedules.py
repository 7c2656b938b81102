"""When pipelines run by themselves, and what becomes of times that were missed.

A run's id follows from its tenant, pipeline and due time, and a schedule only
moves forward: a tick that comes twice, late or out of order starts nothing twice.
"""

import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.platform import CommandRefusedV1, ProblemPart
from contracts.runs import SubmitRunV1, TriggerPart, TriggerType
from contracts.schedules import (
    AdvancedPart,
    DeleteScheduleV1,
    MisfirePolicy,
    SaveScheduleV1,
    ScheduleDeletedV1,
    ScheduleMissedV1,
    SchedulePart,
    ScheduleRowPart,
    SchedulesAdvancedV1,
    ScheduleSavedV1,
)
from contracts.tenants import LimitsPart
from services.scheduler.domain import cron
from services.scheduler.domain.admission import Pinned, admit
from services.scheduler.domain.deciding import NOTHING, Outcome, Rules, Working, check_known, refuse
from services.scheduler.domain.facts import ScheduleAdvanced, ScheduleDropped, ScheduleKept
from services.scheduler.domain.ledger import Ledger, Planned

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/scheduler/schedules")
SHOWN_TIMES = 10
MOST_ON_TIME = 60
"""Of one schedule; with more of them due, those before count as missed."""
MOST_AT_ONCE = 1_000
"""Runs of one tenant that one tick tries to start."""
MONTH = 31


def save_schedule(state: Ledger, command: SaveScheduleV1, now: datetime, rules: Rules) -> Outcome:
    """From now on the schedule is this one; what has come of the one before is acted on first.

    So each time belongs to the schedule that stood when it came, and to no other.
    """
    check_known(state, command.tenant_id)
    schedule = command.schedule
    if schedule.config_id not in state.configs:
        detail = f"there is no pipeline {schedule.config_id}; save it first"
        return refuse(command.tenant_id, "config_not_found", detail)
    try:
        cron.check(schedule.cron, schedule.time_zone, now)
    except cron.CronError as error:
        return (), (_refused(command.tenant_id, error),)
    work = Working(state, now, rules)
    due = _until_saved(work, command.tenant_id, schedule) if schedule.enabled else None
    fact = ScheduleKept(
        schedule=schedule, due_at=due, offset_seconds=_jitter(command.tenant_id, schedule)
    )
    event = ScheduleSavedV1(
        tenant_id=command.tenant_id,
        schedule=schedule,
        next_times=_next_times(schedule, fact.due_at),
        requested_by=command.requested_by,
    )
    work.take(((fact,), (event,)))
    return work.outcome


def _until_saved(work: Working, tenant: TenantId, schedule: SchedulePart) -> datetime | None:
    """Act on what has come of the schedule before; returns when the new one comes first."""
    before = work.state.schedules.get(schedule.config_id)
    decided = before.last_due_at if before is not None else None
    since = max(work.now, decided or work.now)  # the clock may have gone back
    following = cron.next_after(schedule.cron, schedule.time_zone, since)
    if before is None or before.due_at is None or before.due_at > work.now:
        return following
    if not work.state.suspended:
        _start_one(work, tenant, before, before.due_at, work.now)
        return following
    if _times(before.schedule) == _times(schedule):
        return before.due_at
    work.take(_missed(tenant, before.schedule, before.due_at, work.now, 0))
    return following


def _times(schedule: SchedulePart) -> tuple[str, str]:
    return schedule.cron, schedule.time_zone


def delete_schedule(state: Ledger, command: DeleteScheduleV1, _: datetime, __: Rules) -> Outcome:
    if command.config_id not in state.schedules:
        detail = f"pipeline {command.config_id} has no schedule"
        return refuse(command.tenant_id, "schedule_not_found", detail)
    return drop_schedule(state, command.tenant_id, command.config_id, command.requested_by)


def drop_schedule(state: Ledger, tenant: TenantId, config_id: ConfigId, by: str) -> Outcome:
    """Nothing when there is none."""
    if config_id not in state.schedules:
        return NOTHING
    event = ScheduleDeletedV1(tenant_id=tenant, config_id=config_id, requested_by=by)
    return (ScheduleDropped(config_id=config_id),), (event,)


def start_due(state: Ledger, tenant: TenantId, now: datetime, rules: Rules) -> Outcome:
    """Start all whose time has come, the longest due first; what is too much waits for a tick."""
    if state.suspended or state.first_due_at is None or state.first_due_at > now:
        return NOTHING
    work, tried = Working(state, now, rules), 0
    due = [one for one in state.schedules.values() if one.starts_at and one.starts_at <= now]
    for planned in sorted(due, key=lambda one: one.starts_at or now):
        if tried >= MOST_AT_ONCE:
            break
        first = (planned.starts_at or now) - planned.offset
        tried += _start_one(work, tenant, planned, first, now - planned.offset)
    work.take(_told_of(tenant, work.outcome))
    return work.outcome


def _start_one(
    work: Working, tenant: TenantId, planned: Planned, first: datetime, until: datetime
) -> int:
    """Act on the times from the first one to the last; returns how many runs were tried."""
    schedule = planned.schedule
    missed_before = until - timedelta(seconds=work.rules.misfire_seconds)
    second = cron.next_after(*_times(schedule), first)
    if first >= missed_before and (second is None or second > until):
        _submit(work, tenant, schedule, first)  # as almost always: one time, and it is on time
        work.take(_advanced(schedule, first, second))
        return 1
    on_time = _latest(schedule, max(first, missed_before), until, MOST_ON_TIME)
    if len(on_time) == MOST_ON_TIME:
        missed_before = on_time[0]  # whatever was before is too much to be on time
    made_up: tuple[datetime, ...] = ()
    if first < missed_before:
        made_up = _made_up(schedule, first, missed_before, on_time)
    admitted = sum(_submit(work, tenant, schedule, due) for due in made_up)
    if first < missed_before:
        work.take(_missed(tenant, schedule, first, missed_before, admitted))
    for due in on_time:
        _submit(work, tenant, schedule, due)
    last, following = (
        (on_time or made_up or (first,))[-1],
        cron.next_after(*_times(schedule), until),
    )
    work.take(_advanced(schedule, last, following))
    return len(made_up) + len(on_time)


def _advanced(schedule: SchedulePart, last: datetime, following: datetime | None) -> Outcome:
    fact = ScheduleAdvanced(config_id=schedule.config_id, last_due_at=last, due_at=following)
    return (fact,), ()


def _told_of(tenant: TenantId, outcome: Outcome) -> Outcome:
    """One event says of all schedules how far they have come."""
    moved = tuple(
        AdvancedPart(
            config_id=fact.config_id, last_due_at=fact.last_due_at, next_due_at=fact.due_at
        )
        for fact in outcome[0]
        if isinstance(fact, ScheduleAdvanced)
    )
    return (), (SchedulesAdvancedV1(tenant_id=tenant, schedules=moved),)


def _made_up(
    schedule: SchedulePart, first: datetime, before: datetime, on_time: tuple[datetime, ...]
) -> tuple[datetime, ...]:
    """Which of the missed times run after all."""
    end = before - timedelta(microseconds=1)
    match schedule.misfire:
        case MisfirePolicy.SKIP:
            return ()
        case MisfirePolicy.RUN_ONCE:
            return () if on_time else _latest(schedule, first, end, 1)
        case MisfirePolicy.RUN_ALL:
            return _latest(schedule, first, end, schedule.misfire_limit)


def _latest(
    schedule: SchedulePart, first: datetime, until: datetime, most: int
) -> tuple[datetime, ...]:
    return cron.latest(schedule.cron, schedule.time_zone, first, until, most)


def _submit(work: Working, tenant: TenantId, schedule: SchedulePart, due: datetime) -> bool:
    """Whether the run was admitted; it may be over a limit."""
    config = work.state.configs[schedule.config_id]
    command = SubmitRunV1(
        tenant_id=tenant,
        run_id=scheduled_run_id(tenant, schedule.config_id, due),
        config_id=schedule.config_id,
        run_date=due.astimezone(ZoneInfo(schedule.time_zone)).date(),
        parameters=schedule.parameters,
        trigger=TriggerPart(type=TriggerType.SCHEDULE, by=schedule.cron),
        priority=schedule.priority,
    )
    pinned = Pinned(config.revision, config.definition)
    facts, said = admit(work.state, command, pinned, work.now, work.rules)
    if not any(isinstance(message, CommandRefusedV1) for message in said):
        work.take((facts, said))  # else the clock went back to before a time that has run
    return bool(facts)


def scheduled_run_id(tenant: TenantId, config_id: ConfigId, due: datetime) -> RunId:
    return RunId(str(uuid5(NAMESPACE, f"{tenant}/{config_id}/{due.isoformat()}")))


def _missed(
    tenant: TenantId, schedule: SchedulePart, first: datetime, until: datetime, started: int
) -> Outcome:
    event = ScheduleMissedV1(
        tenant_id=tenant,
        config_id=schedule.config_id,
        policy=schedule.misfire,
        first_due_at=first,
        until=until,
        started=started,
    )
    return (), (event,)


def row(planned: Planned) -> ScheduleRowPart:
    return ScheduleRowPart(
        schedule=planned.schedule,
        last_due_at=planned.last_due_at,
        next_times=_next_times(planned.schedule, planned.due_at),
    )


def upcoming(planned: Iterable[Planned], until: datetime, most: int) -> int:
    """How many runs schedules will still start before a time; counts no further than `most`."""
    found = 0
    for one in planned:
        if found >= most:
            return most
        if one.due_at is not None and one.due_at < until:
            found += 1
            times = cron.following(one.schedule.cron, one.schedule.time_zone, one.due_at)
            found += sum(1 for at in islice(times, most - found) if at < until)
    return min(found, most)


def needed_until(
    planned: Iterable[Planned], first: datetime, until: datetime, limits: LimitsPart
) -> int:
    """How many runs the days from `first` to before `until` need, none more than a day may have."""
    days = [0] * (until - first).days
    for one in planned:
        if min(days, default=limits.daily) >= limits.daily or sum(days) >= limits.monthly:
            break
        if one.due_at is not None and one.due_at < until:
            written = one.schedule.cron, one.schedule.time_zone
            month = cron.by_day(*written, until, MONTH, limits.daily)
            more = month[len(month) - len(days) :]
            days = [min(limits.daily, a + b) for a, b in zip(days, more, strict=True)]
    return min(limits.monthly, sum(days))


def _next_times(schedule: SchedulePart, due: datetime | None) -> tuple[datetime, ...]:
    if due is None:
        return ()
    more = cron.following(schedule.cron, schedule.time_zone, due)
    return (due, *islice(more, SHOWN_TIMES - 1))


def _jitter(tenant: TenantId, schedule: SchedulePart) -> int:
    """Always the same for one pipeline, different for each."""
    spread = zlib.crc32(f"{tenant}/{schedule.config_id}".encode())
    return spread % (schedule.jitter_seconds + 1)


def _refused(tenant: TenantId, error: cron.CronError) -> CommandRefusedV1:
    problem = ProblemPart(pointer=f"/{error.field}", detail=str(error))
    return CommandRefusedV1(
        tenant_id=tenant, code="invalid_schedule", detail=str(error), problems=(problem,)
    )

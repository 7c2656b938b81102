"""What follows from a decision: free slots are filled, and somebody looks again in time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.identifiers import TenantId
from services.scheduler.domain.backfills import step_backfills
from services.scheduler.domain.deciding import Outcome, Rules, Worked, Working, lease_until
from services.scheduler.domain.facts import Reminded
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import day_of, next_reset
from services.scheduler.domain.queue import drain

Rule = Callable[[Ledger, Any, datetime, Rules], Outcome]


def settle(
    state: Ledger, outcome: Outcome, tenant: TenantId, now: datetime, rules: Rules
) -> Outcome:
    """What was decided, then what waits and fits, then what backfills may use."""
    work = Working(state, now, rules)
    work.take(outcome)
    work.decide(drain)
    work.decide(step_backfills, tenant)
    return work.outcome


def settled(rule: Rule) -> Rule:
    """The rule, and what follows from what it decides: it may set slots and quota free."""

    def decide(state: Ledger, message: Any, now: datetime, rules: Rules) -> Outcome:
        outcome = rule(state, message, now, rules)
        return settle(state, outcome, message.scope, now, rules) if outcome[0] else outcome

    return decide


def remind(
    state: Ledger, outcome: Outcome, now: datetime, rules: Rules, *, anew: bool = False
) -> Worked:
    """Add when somebody must look again, if that is sooner than is known or has just passed.

    `anew`: in any case, so that the reminder that led to this one is used up.
    """
    work = Working(state, now, rules)
    work.take(outcome)
    at = next_look(work.state, now, rules)
    known = work.state.reminder
    passed = known is not None and known <= now
    if anew or passed or (at is not None and (known is None or at < known)):
        work.take(((Reminded(at=at),), ()))
    return work.outcome


def next_look(state: Ledger, now: datetime, rules: Rules) -> datetime | None:
    """When time alone changes something: a lease ends, a schedule is due, a quota is new."""
    times = [lease.until for lease in state.running]
    if not state.suspended:
        if state.first_due_at is not None:
            times.append(state.first_due_at)
        if state.free and any(lease.queued for lease in state.runs.values()):
            # It waits for a place of the platform's, unless that limit is gone by then.
            times.append(lease_until(now, rules))
        if any(one.is_active for one in state.backfills.values()):
            times.append(next_reset(day_of(state, now), "daily"))
    return _whole_second(max(min(times), now + timedelta(seconds=1))) if times else None


def _whole_second(at: datetime) -> datetime:
    """Reminders are kept by the second; a little late is in time."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=0) + timedelta(seconds=1 if at.microsecond else 0)

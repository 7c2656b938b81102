"""Who gets the slots that are free."""

from datetime import datetime

from contracts.message import Message
from services.scheduler.domain.deciding import Outcome, Rules, lease_until
from services.scheduler.domain.facts import Fact, Requested
from services.scheduler.domain.ledger import Ledger, evolve


def then_drain(
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
    until = lease_until(now, rules)
    requested = tuple(
        Requested(run_id=lease.request.run_id, attempt=1, lease_until=until) for lease in chosen
    )
    return (*facts, *requested), (*emits, *(lease.request for lease in chosen))

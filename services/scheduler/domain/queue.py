"""Who gets the slots that are free: by priority, which grows with waiting; then by arrival."""

from datetime import datetime

from contracts.identifiers import TenantId
from contracts.runs import RunRequestedV1
from services.scheduler.domain.deciding import NOTHING, Outcome, Rules, lease_until
from services.scheduler.domain.facts import PlaceSeen, Requested
from services.scheduler.domain.ledger import Lease, Ledger
from services.scheduler.domain.places import Demand, Granted


def waiting(state: Ledger, rules: Rules) -> list[Lease]:
    """The queue. Two runs that wait never change places, so nobody starves."""

    def order(lease: Lease) -> tuple[float, int]:
        waits_since = lease.request.submitted_at.timestamp()
        return waits_since - lease.priority * rules.aging_seconds, lease.place

    return sorted((lease for lease in state.runs.values() if lease.queued), key=order)


def drain(state: Ledger, now: datetime, rules: Rules) -> Outcome:
    """Fill the slots that are free from the queue; with a limit, the platform's places do it."""
    if state.suspended or not state.free or rules.max_running:
        return NOTHING
    chosen = waiting(state, rules)[: state.free]
    until = lease_until(now, rules)
    requested = tuple(
        Requested(run_id=lease.request.run_id, attempt=1, lease_until=until) for lease in chosen
    )
    reason = "a slot is free, and it is its turn in the queue"
    return requested, tuple(_begin(lease, reason) for lease in chosen)


def take_place(state: Ledger, offer: Granted, now: datetime, rules: Rules) -> Outcome:
    """The next of the queue takes it. Offered twice, or when nobody waits, it is left."""
    if offer.number <= state.last_place:
        return NOTHING
    seen = PlaceSeen(number=offer.number)
    line = waiting(state, rules)
    if state.suspended or not state.free or not line:
        return (seen,), ()
    request = _begin(line[0], "the platform has a place for it, and it is its turn in the queue")
    taken = Requested(
        run_id=request.run_id, attempt=1, lease_until=lease_until(now, rules), place=offer.number
    )
    return (seen, taken), (request,)


def _begin(lease: Lease, reason: str) -> RunRequestedV1:
    return lease.request.model_copy(update={"reason": reason})


def demand(state: Ledger, tenant: TenantId) -> Demand:
    """What this tenant holds of the platform's places, and could use."""
    waits = sum(lease.queued for lease in state.runs.values())
    places = (lease.platform_place for lease in state.runs.values())
    return Demand(
        tenant_id=tenant,
        version=state.changes,
        wants=0 if state.suspended else min(state.free, waits),
        holds=frozenset(place for place in places if place is not None),
        seen=state.last_place,
        weight=weight(state),
    )


def weight(state: Ledger) -> int:
    """A plan that allows more concurrent runs has a larger part of what there is."""
    return max(1, state.limits.concurrent)

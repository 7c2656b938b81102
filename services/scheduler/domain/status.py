"""What a tenant has of the work that runs, and why it has no more."""

from datetime import datetime

from contracts.identifiers import TenantId
from contracts.quota import TenantSharePart
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.explaining import blocking_limit, expected_start
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import Places, rounds_until
from services.scheduler.domain.queue import waiting, weight


def share(  # noqa: PLR0913, PLR0917  all that a share is of
    state: Ledger,
    tenant: TenantId,
    all_running: int,
    now: datetime,
    rules: Rules,
    places: Places | None = None,
) -> TenantSharePart:
    rounds = 0.0 if places is None else rounds_until(places, tenant, 1, rules.max_running)
    line = waiting(state, rules)
    since = min((lease.request.submitted_at for lease in line), default=now)
    return TenantSharePart(
        tenant_id=tenant,
        plan=state.plan,
        weight=weight(state),
        running=len(state.running),
        waiting=len(line),
        share=round(len(state.running) / all_running, 4) if all_running else 0.0,
        blocking_limit=blocking_limit(state, rules) if line else "",
        oldest_wait_seconds=max(0.0, (now - since).total_seconds()),
        expected_start_at=expected_start(state, 1, now, rounds) if line else None,
    )

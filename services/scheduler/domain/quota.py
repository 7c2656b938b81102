"""What a tenant may still run."""

from datetime import datetime

from contracts.identifiers import TenantId
from contracts.quota import QuotaV1
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import day_of, next_reset


def quota(state: Ledger, tenant: TenantId, now: datetime) -> QuotaV1:
    day = day_of(state, now)
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

"""What a tenant may still run."""

from datetime import datetime

from contracts.identifiers import TenantId
from contracts.quota import QuotaV1
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import day_of, next_reset


def quota(state: Ledger, tenant: TenantId, now: datetime, rules: Rules) -> QuotaV1:
    day = day_of(state, now)
    used_today, used_this_month = state.charged.get(day, 0), state.charged.get(day[:7], 0)
    return QuotaV1(
        tenant_id=tenant,
        plan=state.plan,
        limits=state.limits,
        used_today=used_today,
        used_this_month=used_this_month,
        running=len(state.running),
        queued=len(state.runs) - len(state.running),
        day_resets_at=next_reset(day, "daily"),
        month_resets_at=next_reset(day, "monthly"),
        suspended=state.suspended,
        reserved_today=sum(lease.day == day for lease in state.runs.values()),
        reserved_this_month=sum(lease.day[:7] == day[:7] for lease in state.runs.values()),
        left_today=max(0, state.limits.daily - used_today),
        left_this_month=max(0, state.limits.monthly - used_this_month),
        queue_limit=rules.queue_limit,
    )

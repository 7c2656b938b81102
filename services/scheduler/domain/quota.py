"""What a tenant may still run, and when it has used much of it."""

from collections.abc import Iterator
from datetime import datetime

from contracts.identifiers import TenantId
from contracts.quota import QuotaReachedV1, QuotaV1
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.periods import day_of, next_reset

TOLD_PERCENTS = (80, 100)


def reached(state: Ledger, tenant: TenantId, now: datetime) -> Iterator[QuotaReachedV1]:
    """What one more run, charged to today, reaches of the limits."""
    day = day_of(state, now)
    for limit, period, most in limits_of(state, day):
        used = state.charged.get(period, 0) + 1
        for percent in TOLD_PERCENTS:
            if (used - 1) * 100 < most * percent <= used * 100:
                yield QuotaReachedV1(
                    tenant_id=tenant,
                    limit=limit,
                    percent=percent,
                    used=used,
                    most=most,
                    period=period,
                    resets_at=next_reset(day, limit),
                    reached_at=now,
                )


def limits_of(state: Ledger, day: str) -> tuple[tuple[str, str, int], ...]:
    """Each limit with the period it is for and how much it is."""
    return (
        ("daily", day, state.limits.daily),
        ("monthly", day[:7], state.limits.monthly),
    )


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

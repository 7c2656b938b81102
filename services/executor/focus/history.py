"""How a load compares with what was there before: restated months, gaps, days that stand out."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median

from contracts.quality import CheckPart, CheckStatus, Severity
from libs.clock import earlier, later
from services.executor.focus.begins import begins_on, month_of
from services.executor.focus.counted import MOST_SHOWN, none_of, not_made
from services.executor.focus.money import NOTHING, ROUNDED, added, less, shown
from services.executor.focus.tally import COMMITMENTS, DAYS, USED, Day, Key, Tally

LOOKBACK = timedelta(days=28)
FEWEST_DAYS, DEVIATIONS = 7, 6
NORMAL = 1.4826
"""Makes a median of distances comparable with a standard deviation."""
LATE = timedelta(hours=72)


def history_checks(
    tally: Tally,
    changes: Mapping[Key, tuple[Decimal, Decimal]],
    days: Mapping[Day, Decimal],
    now: datetime,
) -> list[CheckPart]:
    """`changes` is what the table holds of periods, and will.

    `days` is what days cost beside the load: those before it, and what stays of its own.
    """
    return [
        _restated(tally, changes, now),
        _covered(tally),
        _complete(tally),
        _fresh(tally, now),
        _usual(tally, days),
    ]


def _restated(
    tally: Tally, changes: Mapping[Key, tuple[Decimal, Decimal]], now: datetime
) -> CheckPart:
    """A month that was closed and changes all the same."""
    changed = {
        key: less(after, before)
        for key, (before, after) in changes.items()
        if before != after and _month_after(key[0]) <= now
    }
    restated = "; ".join(
        f"{month_of(start)} account {account}: {shown(delta)} {currency}"
        for (start, account, currency), delta in sorted(changed.items())[:MOST_SHOWN]
    )
    return _said("closed_periods_stay", tally, len(changed), "restated closed periods", restated)


def _covered(tally: Tally) -> CheckPart:
    """What a commitment's usage costs in effect, used or not, is its recurring price at least.

    It is more where a part was paid upfront.
    """
    kind = "commitments whose usage costs less in effect than was paid"
    torn = [
        name
        for (_, name), found in sorted(tally.commitments.items())
        if found.covered and less(found.recurring, found.effective) > ROUNDED
    ]
    named = ", ".join(torn[:MOST_SHOWN])
    return _said("commitments_cost_what_they_cover", tally, len(torn), kind, named, of=COMMITMENTS)


def _complete(tally: Tally) -> CheckPart:
    """Days without a charge between the first and the last of an account that is used daily."""
    gaps = []
    for account, days in sorted(tally.used.items()):
        span = (max(days) - min(days)).days + 1
        if span > len(days) >= FEWEST_DAYS:
            gaps.append(f"{account or 'no account'} ({span - len(days)})")
    kind, named = "accounts with days missing", ", ".join(gaps[:MOST_SHOWN])
    return _said("no_day_is_missing", tally, len(gaps), kind, named, of=USED)


def _fresh(tally: Tally, now: datetime) -> CheckPart:
    lag, newest = timedelta(0), tally.used_until or tally.newest
    if newest is not None and tally.period_end is not None:
        lag = max(min(now, tally.period_end) - newest, timedelta(0))
    return CheckPart(
        name="charges_are_recent",
        kind="hours_between_the_last_charge_and_now",
        severity=Severity.WARN,
        status=CheckStatus.FAILED if lag > LATE else CheckStatus.PASSED,
        observed=f"{lag.total_seconds() / 3600:.0f}",
        expected=f"at most {LATE.total_seconds() / 3600:.0f}, or to the end of the period",
        row_count=tally.rows_in,
    )


def _usual(tally: Tally, beside: Mapping[Day, Decimal]) -> CheckPart:
    """Each day of an account against the median of the days before it: a robust z."""
    costs: dict[tuple[str, str], dict[date, Decimal]] = {}
    for (day, *of), cost in (*beside.items(), *tally.days.items()):
        days = costs.setdefault((of[0], of[1]), {})
        days[day] = added(days.get(day, NOTHING), cost)
    odd = []
    for day, account, currency in sorted(tally.days):
        days = costs[account, currency]
        past = [days[d] for d in days if earlier(day, LOOKBACK) <= d < day]
        if len(past) >= FEWEST_DAYS and _stands_out(days[day], past):
            odd.append(
                f"{day} account {account}: {shown(days[day])} {currency}"
                f" against {shown(median(past))}"
            )
    kind, worst = "days that stand out", "; ".join(odd[:MOST_SHOWN])
    return _said("daily_cost_is_usual", tally, len(odd), kind, worst, of=DAYS)


def _stands_out(cost: Decimal, past: Sequence[Decimal]) -> bool:
    middle = median(past)
    spread = float(median([abs(one - middle) for one in past])) * NORMAL
    least = abs(float(middle)) * 0.05  # days that are all alike leave room for five per cent
    return abs(float(cost - middle)) > DEVIATIONS * max(spread, least, 1e-9)


def _said(  # noqa: PLR0913  as many as a check has
    name: str, tally: Tally, failing: int, kind: str, detail: str, *, of: str = ""
) -> CheckPart:
    """`of` is what the tally keeps for this check, if it is kept for it alone."""
    kind = kind.replace(" ", "_")
    if of in tally.given_up:
        return not_made(name, kind, tally.rows_in, tally.given_up[of])
    return none_of(name, kind, failing, tally.rows_in, detail=detail)


def _month_after(start: datetime) -> datetime:
    day = begins_on(start)
    return later(start, timedelta(days=monthrange(day.year, day.month)[1]))

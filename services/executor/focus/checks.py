"""What must hold of a load before it takes its place, as quality checks with figures."""

from decimal import Decimal

from contracts.quality import CheckPart, CheckStatus, Severity
from services.executor.focus.tally import Tally, Unmapped

MOST_SHOWN, MOST_OF_VALUE = 5, 100
BUDGET = Decimal("0.05")
"""The share of the costs that may be unmapped before a check warns."""


def checks_of(tally: Tally, unmapped_budget: Decimal = BUDGET) -> list[CheckPart]:
    """Conservation first: it alone says that nothing was lost or counted twice."""
    mapped = _mapped(tally, unmapped_budget)
    return [_conservation(tally), _rows(tally), _rounded(tally), *mapped]


def _conservation(tally: Tally) -> CheckPart:
    lost = tally.lost
    shown = "; ".join(
        f"{start:%Y-%m} account {account}: {amount.normalize():f} {currency}"
        for (start, account, currency), amount in list(lost.items())[:MOST_SHOWN]
    )
    total = sum(tally.billed.values())
    return CheckPart(
        name="cost_is_conserved",
        kind="sum_of_bill_equals_sum_of_BilledCost",
        column="BilledCost",
        severity=Severity.FAIL,
        status=CheckStatus.FAILED if lost else CheckStatus.PASSED,
        observed=f"{total:f}",
        expected=f"{sum(tally.raw.values()):f}",
        row_count=tally.rows_in,
        detail=f"missing from the result: {shown}" if lost else "",
    )


def _rows(tally: Tally) -> CheckPart:
    dropped = ", ".join(f"{name} {n}" for name, n in sorted(tally.dropped.items()) if n)
    added = ", ".join(f"{name} {n}" for name, n in sorted(tally.added.items()) if n)
    return CheckPart(
        name="rows_are_accounted_for",
        kind="rows_in_less_dropped_plus_added_equals_rows_out",
        severity=Severity.FAIL,
        status=CheckStatus.PASSED if tally.rows_accounted else CheckStatus.FAILED,
        observed=str(tally.rows_out),
        expected=f"{tally.rows_in} less {dropped or 'nothing'} plus {added or 'nothing'}",
        row_count=tally.rows_in,
    )


def _rounded(tally: Tally) -> CheckPart:
    return CheckPart(
        name="amounts_fit_eighteen_decimals",
        kind="digits_beyond_the_eighteenth_decimal",
        severity=Severity.WARN,
        status=CheckStatus.FAILED if tally.rounded else CheckStatus.PASSED,
        observed=str(tally.rounded),
        expected="0",
        row_count=tally.rows_in,
        failing_rows=tally.rounded,
    )


def _mapped(tally: Tally, budget: Decimal) -> list[CheckPart]:
    return [_of_unmapped(name, found, tally, budget) for name, found in tally.unmapped.items()]


def _of_unmapped(name: str, found: Unmapped, tally: Tally, budget: Decimal) -> CheckPart:
    """How much of the bill, signs aside, has values that are not known."""
    cost = sum(found.costs.values(), Decimal(0))
    share = cost / tally.turnover if tally.turnover else Decimal(0)
    dearest = sorted(found.rows, key=lambda value: (-found.costs[value], value))[:MOST_SHOWN]
    shown = ", ".join(
        f"{value[:MOST_OF_VALUE]} ({found.rows[value]} rows, {found.costs[value].normalize():f})"
        for value in dearest
    )
    return CheckPart(
        name=f"{name}_is_known",
        kind="share_of_cost_that_is_unmapped",
        severity=Severity.WARN,
        status=CheckStatus.FAILED if share > budget else CheckStatus.PASSED,
        observed=_percent(share),
        expected=f"at most {_percent(budget)}",
        row_count=tally.rows_in,
        failing_rows=found.rows.total(),
        detail=f"not known: {shown}" if shown else "",
    )


def _percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal('0.01')).normalize():f} %"

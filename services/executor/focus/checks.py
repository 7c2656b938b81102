"""What must hold of a load before it takes its place, as quality checks with figures."""

from contracts.quality import CheckPart, CheckStatus, Severity
from services.executor.focus.tally import Tally

MOST_SHOWN = 5


def checks_of(tally: Tally) -> list[CheckPart]:
    """Conservation first: it alone says that nothing was lost or counted twice."""
    return [_conservation(tally), _rows(tally), _rounded(tally), *_mapped(tally)]


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


def _mapped(tally: Tally) -> list[CheckPart]:
    found = []
    for table, counts in sorted(tally.unmapped.items()):
        most = ", ".join(f"{key} ({n})" for key, n in counts.most_common(MOST_SHOWN))
        found.append(
            CheckPart(
                name=f"{table}_knows_every_value",
                kind="unmapped_values",
                severity=Severity.WARN,
                status=CheckStatus.FAILED,
                observed=str(counts.total()),
                expected="0",
                row_count=tally.rows_in,
                failing_rows=counts.total(),
                detail=f"not known: {most}",
            )
        )
    return found

"""A check that counts what should not be there."""

from contracts.quality import CheckPart, CheckStatus, Severity

MOST_SHOWN = 5
"""Of what a check has found."""


def not_made(name: str, kind: str, rows: int, why: str) -> CheckPart:
    """A check of which nothing is known; it stops nothing."""
    return CheckPart(
        name=name,
        kind=kind,
        severity=Severity.WARN,
        status=CheckStatus.ERROR,
        expected="0",
        row_count=rows,
        detail=f"not checked: {why}",
    )


def none_of(  # noqa: PLR0913  as many as a check has
    name: str,
    kind: str,
    found: int,
    rows: int,
    *,
    severity: Severity = Severity.WARN,
    column: str = "",
    detail: str = "",
) -> CheckPart:
    return CheckPart(
        name=name,
        kind=kind,
        column=column,
        severity=severity,
        status=CheckStatus.FAILED if found else CheckStatus.PASSED,
        observed=str(found),
        expected="0",
        row_count=rows,
        failing_rows=found,
        detail=detail,
    )

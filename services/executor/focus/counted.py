"""A check that counts what should not be there."""

from contracts.quality import CheckPart, CheckStatus, Severity

MOST_SHOWN = 5
"""Of what a check has found."""


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

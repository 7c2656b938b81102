"""What the row that a scan came back with says of each check."""

import math
from collections.abc import Mapping
from typing import Any

from contracts.message import Part
from contracts.quality import CheckPart, CheckStatus
from services.executor.steps.checks import (
    FAILS,
    LONG_NAMES,
    Check,
    Config,
    Fresh,
    RowCheck,
    RowCount,
    UsualVolume,
)

LONGEST_VALUE = 200
FEWEST_DAYS = 3
Row = Mapping[str, Any]


class _Found(Part):
    """Before it is put into the words of a check."""

    passed: bool
    observed: str
    expected: str
    failing_rows: int = 0


def findings_of(config: Config, row: Row) -> tuple[CheckPart, ...]:
    return tuple(_finding(check, index, row) for index, check in enumerate(config.checks))


def _finding(check: Check, index: int, row: Row) -> CheckPart:
    found = _found(check, index, row)
    kind = LONG_NAMES.get(check.type, check.type)
    column = getattr(check, "column", "")
    return CheckPart(
        name=check.name or " ".join(filter(None, (kind, column))),
        kind=kind,
        column=column if column != "_" else "",
        severity=check.severity,
        status=CheckStatus.PASSED if found.passed else CheckStatus.FAILED,
        observed=found.observed,
        expected=found.expected,
        row_count=row["row_count"],
        failing_rows=found.failing_rows,
        samples=tuple(_shown(s) for s in row.get(f"samples_{index}") or () if s[FAILS]),
    )


def _found(check: Check, index: int, row: Row) -> _Found:
    if isinstance(check, RowCheck):
        return _of_rows(check, row[f"failing_{index}"] or 0, row["row_count"])
    if isinstance(check, RowCount):
        return _of_count(check, row["row_count"])
    if isinstance(check, Fresh):
        return _of_age(check, row[f"newest_{index}"], row[f"age_{index}"])
    return _of_volume(check, index, row)


def _of_rows(check: RowCheck, failing: int, rows: int) -> _Found:
    allowed = math.floor(rows * (1 - check.mostly) + 1e-9)
    return _Found(
        passed=failing <= allowed,
        observed=f"{failing} of {rows} rows fail",
        expected=f"at most {allowed}",
        failing_rows=failing,
    )


def _of_count(check: RowCount, rows: int) -> _Found:
    low = check.min_value or 0
    high = math.inf if check.max_value is None else check.max_value
    expected = f"at least {low}" if high == math.inf else f"{low} to {high}"
    return _Found(passed=low <= rows <= high, observed=f"{rows} rows", expected=expected)


def _of_age(check: Fresh, newest: str | None, minutes: int | None) -> _Found:
    return _Found(
        passed=minutes is not None and minutes <= check.max_age_hours * 60,
        observed=f"newest is {newest}" if newest else "no value",
        expected=f"not older than {check.max_age_hours:g} hours",
    )


def _of_volume(check: UsualVolume, index: int, row: Row) -> _Found:
    days, before = row[f"days_{index}"] or 0, row[f"before_{index}"] or 0
    today = row[f"today_{index}"] or 0
    if days < FEWEST_DAYS:
        return _Found(
            passed=True,
            observed=f"{today} rows",
            expected=f"nothing yet: {days} days of history, {FEWEST_DAYS} are needed",
        )
    mean = before / days
    spread = math.sqrt(max(row[f"squares_{index}"] / days - mean**2, 0.0))
    margin = max(check.deviations * spread, 0.05 * mean)
    return _Found(
        passed=abs(today - mean) <= margin,
        observed=f"{today} rows",
        expected=f"{max(mean - margin, 0):.0f} to {mean + margin:.0f}, as on {days} days before",
    )


def _shown(sample: Row) -> dict[str, Any]:
    """A key as JSON, each value cut to what a person looks at."""
    return {
        name: value if isinstance(value, int | float | None) else str(value)[:LONGEST_VALUE]
        for name, value in sample.items()
        if name != FAILS
    }

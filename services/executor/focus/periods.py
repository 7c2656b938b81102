"""The billing period of each row, as its mapping says where to find it. The end is exclusive."""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from services.executor.focus.errors import BadValueError
from services.executor.focus.specification import TIME
from services.executor.ingest.values import spread

DECEMBER = 12


def with_period(frame: pl.DataFrame, said: Mapping[str, str]) -> pl.DataFrame:
    """Adds `period_start` and `period_end`. Raises `BadValueError`."""
    if "month" not in said:
        return _from_times(frame, said)
    return _from_months(frame, frame[said["month"]], ZoneInfo(said.get("zone", "UTC")))


def _from_times(frame: pl.DataFrame, said: Mapping[str, str]) -> pl.DataFrame:
    """As the bill says; where it does not, the month of another time."""
    nothing = pl.lit(None, dtype=TIME)
    start, end = (pl.col(said[n]) if n in said else nothing for n in ("start", "end"))
    if "month_of" in said and _lacks(frame, said):
        start = pl.coalesce(start, pl.col(said["month_of"]).dt.truncate("1mo"))
        end = pl.coalesce(end, start.dt.offset_by("1mo"))
    return frame.with_columns(start.alias("period_start"), end.alias("period_end"))


def _lacks(frame: pl.DataFrame, said: Mapping[str, str]) -> bool:
    return any(n not in said or frame[said[n]].has_nulls() for n in ("start", "end"))


def _from_months(frame: pl.DataFrame, months: pl.Series, zone: ZoneInfo) -> pl.DataFrame:
    rows = []
    for month in months.drop_nulls().unique():
        try:
            year, number = int(month[:4]), int(month[4:].lstrip("-"))
            rows.append((month, *_bounds(year, number, zone)))
        except ValueError:
            row = int(months.eq_missing(month).arg_max() or 0)
            raise BadValueError(months.name, row, month, "a month such as 202601") from None
    known = pl.DataFrame(
        rows,
        schema={months.name: pl.String, "period_start": TIME, "period_end": TIME},
        orient="row",
    )
    return frame.with_columns(
        spread(months, known[months.name], known[bound]).alias(bound)
        for bound in ("period_start", "period_end")
    )


def _bounds(year: int, month: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    after = (year + 1, 1) if month == DECEMBER else (year, month + 1)
    start = datetime(year, month, 1, tzinfo=zone).astimezone(UTC)
    return start, datetime(*after, 1, tzinfo=zone).astimezone(UTC)

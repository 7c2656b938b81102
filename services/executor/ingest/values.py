"""Text as exporters write numbers and times, read as what it is; exact, or said to be wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import Any, Literal

import polars as pl

from libs.clock import later

MONEY = pl.Decimal(38, 18)
"""Amounts are kept to eighteen decimals; finer digits are rounded half to even and counted."""
LARGEST = 10**20 - 1
"""What has room in it before the point."""
INSTANT = pl.Datetime("us", "UTC")
Kind = Literal["decimal", "time", "end", "last_day", "epoch", "int", "bool", "date"]
NOTHING = ("", "NULL", "null", "None")
"""What stands for no number and no time."""
EXPECTED: dict[Kind, str] = {
    "decimal": "a number",
    "time": "a date or time",
    "end": "a date or time",
    "last_day": "a date",
    "epoch": "seconds since 1970",
    "int": "a whole number",
    "bool": "true or false",
    "date": "a date",
}
_MONTH_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: 00:00(?::00)?)?")
_DAY_FIRST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?: 00:00(?::00)?)?")
_COMMA_NUMBER = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"
_INSTANT, _INSTANT_SIZE = "%Y-%m-%dT%H:%M:%SZ", len("2026-01-31T23:59:59Z")
LAST_SECOND = 59
"""Of a period whose end is meant to be in it."""
_SECOND, _MINUTE = 10**6, 60 * 10**6
"""In the unit of `INSTANT`."""
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Between them every time has a next second, in every zone."""
_TEMPORAL = (pl.Datetime, pl.Date)
_BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


STYLE = ("decimal_comma", "day_first")
"""What `Style` says, and a step's config."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a delivery writes what can be written in two ways."""

    decimal_comma: bool = False
    """`1.234,56`; a dot groups thousands and nothing else."""
    day_first: bool = False
    """`31/12/2026` and `31.12.2026`; otherwise the month comes first: `12/31/2026`."""

    def said(self) -> dict[str, str]:
        """To be kept with a delivery."""
        return {name: "yes" for name in STYLE if getattr(self, name)}

    @classmethod
    def of(cls, said: dict[str, str]) -> "Style":
        return cls("decimal_comma" in said, "day_first" in said)


@dataclass(frozen=True, slots=True)
class Bad:
    """The first value that cannot be read."""

    row: int
    value: object


PLAIN = Style()


def read(values: pl.Series, kind: Kind, style: Style = PLAIN) -> pl.Series:
    """Null where there is nothing, and where a value cannot be read: see `bad`."""
    match kind:
        case "decimal":
            return _decimals(values, style)
        case "int":
            return _decimals_as_ints(_decimals(values, style))
        case "bool":
            return _bools(values)
        case "date":
            return _times(values, "time", style).dt.date()
        case _:
            return _times(values, kind, style)


def unread(values: pl.Series, found: pl.Series) -> pl.Series:
    """Which values are something and could not be read."""
    there = values.is_not_null()
    if values.dtype == pl.String:
        there &= ~values.str.strip_chars().is_in(list(NOTHING))
    return there & found.is_null()


def bad(values: pl.Series, found: pl.Series) -> Bad | None:
    if values.null_count() == found.null_count():
        return None
    wrong = unread(values, found)
    if not wrong.any():
        return None
    row = int(wrong.arg_max() or 0)
    one = values.slice(row, 1)
    if values.dtype in _TEMPORAL and not _has_a_year(one).item():
        return Bad(row, f"a time of the year {one.dt.year().item() or 'beyond all'}")
    return Bad(row, one.item())


def decimals(value: pl.Expr, type_: pl.DataType, style: Style = PLAIN) -> pl.Expr:
    """Null where there is nothing, and where a value is no number."""
    return bare_decimals(value.str.strip_chars() if type_ == pl.String else value, type_, style)


def bare_decimals(value: pl.Expr, type_: pl.DataType, style: Style = PLAIN) -> pl.Expr:
    """As `decimals`, in half the time, but null where there are spaces around a number, too."""
    if type_.is_float():
        return value.cast(pl.String).cast(MONEY, strict=False)
    if type_ == pl.String and style.decimal_comma:
        value = with_point(value)
    return value.cast(MONEY, strict=False)


def with_point(value: pl.Expr) -> pl.Expr:
    """A number that has a comma, as others write it; null where it is no such number."""
    value = pl.when(value.str.contains(_COMMA_NUMBER)).then(value)
    return value.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)


def _decimals(values: pl.Series, style: Style) -> pl.Series:
    read_ = decimals(pl.col(values.name), values.dtype, style)
    return values.to_frame().select(read_).to_series()


def _decimals_as_ints(values: pl.Series) -> pl.Series:
    whole = values.cast(pl.Int64, strict=False)
    return whole.set(whole.cast(MONEY, strict=False) != values, None)


def _bools(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    return text.replace_strict(_BOOLS, default=None, return_dtype=pl.Boolean)


def _times(values: pl.Series, kind: Kind, style: Style) -> pl.Series:
    if _is_one_text(values):
        return _quick_or_different(values.head(1), kind, style).new_from_index(0, values.len())
    return _quick_or_different(values, kind, style)


def _is_one_text(values: pl.Series) -> bool:
    """The same in all rows, as a bill's period is."""
    there = values.dtype == pl.String and values.len() > 0 and not values.has_nulls()
    return there and bool((values == values.head(1)).all())


def _quick_or_different(values: pl.Series, kind: Kind, style: Style) -> pl.Series:
    quick = _instants(values, kind)
    return quick if quick is not None else _different(values, kind, style)


def _instants(values: pl.Series, kind: Kind) -> pl.Series | None:
    """Of a column that holds times, or writes all of them as most exports do; else nothing."""
    if kind not in {"time", "end"}:
        return None
    if isinstance(values.dtype, pl.Datetime):
        return _ended(_in_utc(values, values.dtype), kind)
    if values.dtype != pl.String:
        return None
    size = values.str.len_bytes()
    if not values.len() or size.min() != _INSTANT_SIZE or size.max() != _INSTANT_SIZE:
        return None
    found = values.str.to_datetime(_INSTANT, time_unit="us", strict=False)
    if found.null_count() > values.null_count():
        return None
    return _ended(found.dt.replace_time_zone("UTC"), kind)


def _in_utc(values: pl.Series, type_: pl.Datetime) -> pl.Series:
    if type_.time_zone is None:
        return values.cast(pl.Datetime("us"), strict=False).dt.replace_time_zone("UTC")
    return values.dt.convert_time_zone("UTC").cast(INSTANT, strict=False)


def _ended(found: pl.Series, kind: Kind) -> pl.Series | None:
    """Nothing when a time is none of Python's: such are looked at one by one."""
    if not found.drop_nulls().is_between(_FIRST, _LAST).all():
        return None
    if kind == "time" or (found.to_physical() % _MINUTE < _MINUTE - _SECOND).all():
        return found
    at = pl.col(found.name)
    next_second = at.dt.truncate("1s") + pl.duration(seconds=1)
    ended = pl.when(at.dt.second() == LAST_SECOND).then(next_second).otherwise(at)
    return found.to_frame().select(ended).to_series()


def _different(values: pl.Series, kind: Kind, style: Style) -> pl.Series:
    """Exports repeat their times: each different text is read once."""
    different = values.drop_nulls().unique()
    if values.dtype in _TEMPORAL:
        different = different.filter(_has_a_year(different))
    times = [_time(value, kind, style) if value not in NOTHING else None for value in different]
    return spread(values, different, pl.Series(times, dtype=INSTANT))


def _has_a_year(times: pl.Series) -> pl.Series:
    """That Python's times have."""
    return times.dt.year().is_between(MINYEAR, MAXYEAR).fill_null(value=False)


def spread(values: pl.Series, different: pl.Series, made: pl.Series) -> pl.Series:
    """What was made of each different value, wherever that stands; null where none does."""
    if values.dtype == pl.String:
        # Half of what a join takes.
        places = values.cast(pl.Enum(different), strict=False).to_physical()
        return made.gather(places).alias(values.name)
    table = pl.DataFrame({"value": different, "made": made})
    given = values.alias("value").to_frame()
    found = given.join(table, on="value", how="left", maintain_order="left")
    return found["made"].alias(values.name)


def _time(value: Any, kind: Kind, style: Style) -> datetime | None:
    try:
        if kind == "epoch":
            return datetime.fromtimestamp(int(value), UTC)
        found = value if isinstance(value, datetime) else _from_text(str(value).strip(), style)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return _ENDS.get(kind, _as_it_is)(found)


def _as_it_is(found: datetime) -> datetime:
    return found


def _exclusive(found: datetime) -> datetime:
    if found.second == LAST_SECOND:
        return later(found.replace(microsecond=0), timedelta(seconds=1))
    return found


def _day_after(found: datetime) -> datetime:
    return later(found, timedelta(days=1))


_ENDS: dict[Kind, Callable[[datetime], datetime]] = {"end": _exclusive, "last_day": _day_after}


def _from_text(text: str, style: Style) -> datetime:
    written = (_DAY_FIRST if style.day_first else _MONTH_FIRST).fullmatch(text)
    if written is not None:
        first, second, year = map(int, written.groups())
        month, day = (second, first) if style.day_first else (first, second)
        return datetime(year, month, day, tzinfo=UTC)
    return datetime.fromisoformat(text.removesuffix(" UTC"))

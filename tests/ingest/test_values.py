"""Numbers and times as exporters write them: read exactly, or found to be wrong."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from services.executor.ingest.fitting import too_fine
from services.executor.ingest.values import PLAIN, Bad, Kind, Style, bad, read

LAST = datetime.max.replace(tzinfo=UTC)
COMMA, DAY_FIRST = Style(decimal_comma=True), Style(day_first=True)
WRONG, BEFORE = "wrong", "1969-12-31T23:59:58"


@pytest.mark.parametrize(
    ("written", "kind", "style", "expected"),
    [
        ("1.5", "decimal", PLAIN, Decimal("1.5")),
        (" -7e-10 ", "decimal", PLAIN, Decimal("-7e-10")),
        ("1,5", "decimal", PLAIN, WRONG),
        ("1,5", "decimal", COMMA, Decimal("1.5")),
        ("-1.234.567,89", "decimal", COMMA, Decimal("-1234567.89")),
        ("1.234", "decimal", COMMA, Decimal(1234)),
        ("1.5", "decimal", COMMA, WRONG),
        ("12.34,5", "decimal", COMMA, WRONG),
        ("", "decimal", COMMA, None),
        ("null", "decimal", PLAIN, None),
        ("12", "int", PLAIN, 12),
        ("12.0", "int", PLAIN, 12),
        ("12.5", "int", PLAIN, WRONG),
        ("Yes", "bool", PLAIN, True),
        ("0", "bool", PLAIN, False),
        ("maybe", "bool", PLAIN, WRONG),
        ("2026-11-05", "date", PLAIN, date(2026, 11, 5)),
        ("11/5/2026", "date", PLAIN, date(2026, 11, 5)),
        ("5/11/2026", "date", DAY_FIRST, date(2026, 11, 5)),
        ("05.11.2026", "date", DAY_FIRST, date(2026, 11, 5)),
        ("05.11.2026", "date", PLAIN, WRONG),
        ("13/1/2026", "date", PLAIN, WRONG),
        ("13/1/2026", "date", DAY_FIRST, date(2026, 1, 13)),
        ("2026-11-05T10:00:00+02:00", "time", PLAIN, datetime(2026, 11, 5, 8, tzinfo=UTC)),
        ("2026-11-05 23:59:59", "end", PLAIN, datetime(2026, 11, 6, tzinfo=UTC)),
        ("11/30/2026", "last_day", PLAIN, datetime(2026, 12, 1, tzinfo=UTC)),
        ("1793491200", "epoch", PLAIN, datetime(2026, 11, 1, tzinfo=UTC)),
        ("November", "time", PLAIN, WRONG),
        ("9999-12-31 23:59:59", "end", PLAIN, LAST),
        ("12/31/9999", "last_day", PLAIN, LAST),
        ("0001-01-01T00:00:00+02:00", "end", PLAIN, WRONG),
    ],
)
def test_a_value_is_read(written: str, kind: Kind, style: Style, expected: Any) -> None:
    values = pl.Series("v", ["", written], dtype=pl.String)
    found = read(values, kind, style)
    wrong = bad(values, found)
    if expected == WRONG:
        assert wrong is not None
        assert (wrong.row, wrong.value, found[1]) == (1, written, None)
    else:
        assert (found[1], wrong) == (expected, None)


@pytest.mark.parametrize(
    ("written", "kind", "expected"),
    [
        (["2026-11-05T23:59:59Z", "2026-11-05T22:00:00Z"], "end", ["2026-11-06", "2026-11-05T22"]),
        (["2026-11-05T23:59:59Z"] * 3, "end", ["2026-11-06"] * 3),
        (["1969-12-31T23:59:59Z", "1969-12-31T23:59:58Z"], "end", ["1970-01-01", BEFORE]),
        (["11/30/2026"] * 3, "last_day", ["2026-12-01"] * 3),
        (["2026-11-05", None, "2026-11-05"], "time", ["2026-11-05", None, "2026-11-05"]),
        ([""] * 3, "time", [None] * 3),
        (["November"] * 3, "time", WRONG),
        ([], "time", []),
    ],
)  # fmt: skip
def test_a_column_of_times_is_read(written: list[str | None], kind: Kind, expected: Any) -> None:
    values = pl.Series("v", written, dtype=pl.String)
    found = read(values, kind)
    if expected == WRONG:
        assert bad(values, found) == Bad(0, written[0])
        return
    times = [None if t is None else datetime.fromisoformat(t).replace(tzinfo=UTC) for t in expected]
    assert (found.to_list(), found.name, bad(values, found)) == (times, "v", None)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1.5, "decimal"), (3, "decimal"), (True, "bool"), (datetime(2026, 1, 1, tzinfo=UTC), "time")],
)
def test_what_is_typed_already_stays_what_it_is(value: Any, kind: Kind) -> None:
    values = pl.Series("v", [value])
    assert read(values, kind)[0] == value
    assert bad(values, read(values, kind)) is None


@pytest.mark.parametrize("kind", ["time", "end", "last_day"])
@pytest.mark.parametrize(
    ("type_", "beyond", "year"),
    [
        (pl.Datetime("us", "UTC"), 400 * 10**15, 14645),
        (pl.Datetime("ms"), 400 * 10**12, 14645),
        (pl.Datetime("ms"), -(10**14), -1199),
        (pl.Datetime("ms"), 2**62, "beyond all"),
        (pl.Date(), 10**7, 29349),
        (pl.Date(), 2**30, "beyond all"),
    ],
)
def test_a_time_of_a_year_that_is_none_of_pythons_is_refused(
    type_: pl.DataType, beyond: int, year: object, kind: Kind
) -> None:
    values = pl.Series("v", [None, 0, beyond]).cast(type_)
    found = read(values, kind)
    assert bad(values, found) == Bad(2, f"a time of the year {year}")
    assert found.is_null().to_list() == [True, False, True]


@pytest.mark.parametrize(
    ("written", "fine"),
    [
        ("0.1234567890123456789", 1),
        ("0.1234567890123456780000", 0),
        ("0,1234567890123456789", 1),
        ("1e-19", 1),
        ("1E-18", 0),
        ("1.25E-17", 1),
        ("1.20E-17", 0),
        ("1.2345678901234567890E-5", 1),
        ("0.1234567890123456789E+5", 0),
        ("NULL", 0),
        (None, 0),
        (0.1, 0),
        (Decimal("0.1234567890123456789"), 1),
        (Decimal("0.1234567890123456780"), 0),
    ],
)
def test_a_value_with_more_decimals_than_are_kept_is_counted(written: Any, fine: int) -> None:
    assert too_fine(pl.Series("cost", [written])) == fine

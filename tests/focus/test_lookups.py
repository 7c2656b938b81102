"""What look-ups make of keys as exports write them."""

from decimal import Decimal

import polars as pl
import pytest

from services.executor.focus.lookups import load_lookup

UNITS = load_lookup("azure_units_2", block="block")


@pytest.mark.parametrize(
    ("written", "block", "unit"),
    [
        ("1", 1, "Units"),
        ("100 ", 100, "Units"),
        ("1M", 1_000_000, "Units"),
        ("1b", 1_000_000_000, "Units"),
        ("100000000000", 100_000_000_000, "Units"),
        ("1 MB", 1, "MB"),
        ("10K Transactions", 10_000, "Transactions"),
        ("10K/Month", 10_000, "Units/Month"),
        ("10 /Hour", 10, "Units/Hour"),
        ("1/10 Days", 1, "Units/10 Days"),
        ("1 1 Hour", 1, "Hours"),
        ("1000000 OPERATIONS", 1_000_000, "Operations"),
        ("102400 TiB/Hour", 102_400, "TiB-Hours"),
        ("1 小时", 1, "Hours"),
        ("Hours", 1, "Hours"),
        ("10000s", 1, "10000 Transactions"),
        ("25K Flux Charges", 25_000, None),
        ("Flux Charges", None, None),
        ("0 Hours", None, None),
        ("1,000 Hours", None, None),
        ("1.000 Hours", None, None),
        ("10Kilo", None, None),
        ("9" * 5000, None, None),
        (None, None, None),
    ],
)
def test_a_unit_says_how_many_of_it_a_price_is_for(
    written: str | None, block: int | None, unit: str | None
) -> None:
    places, found = UNITS.find(pl.Series([written, "1 GB"], dtype=pl.String))
    of_it = None if block is None else Decimal(block)
    assert found.rows() == [(unit, of_it), ("GB", Decimal(1))]
    assert places.is_null().to_list() == [unit is None, False]

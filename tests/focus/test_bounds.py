"""What is kept of a bill is bounded, whatever it names."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from contracts.quality import CheckStatus, Severity
from services.executor.focus import tally
from services.executor.focus.checks import checks_of
from services.executor.focus.errors import TooManyError
from services.executor.focus.history import history_checks
from services.executor.focus.needed import ACCOUNT, CURRENCY
from services.executor.focus.tally import AMOUNT, MOST_KEYS, Tally
from tests.focus.ledger import load_ledger

NOVEMBER, DECEMBER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
DAY = datetime(2026, 11, 2, tzinfo=UTC)
GIVEN_UP = {
    "SubAccountId": "no_day_is_missing",
    "CommitmentDiscountId": "commitments_cost_what_they_cover",
    "cancelling": "covered_usage_is_negated",
}


def usage(names: range, of: str) -> pl.DataFrame:
    """FOCUS rows as a tally sees them, each of which names something else."""
    name = pl.Series([f"/subscriptions/11111111-2222-3333-4444-{n:012}" for n in names])
    rows = pl.select(
        BillingPeriodStart=pl.lit(NOVEMBER),
        BillingAccountId=pl.lit("a"),
        BillingCurrency=pl.lit("USD"),
        ChargeCategory=pl.lit("Usage"),
        ChargeFrequency=pl.lit("Usage-Based"),
        SubAccountId=pl.lit("s"),
        CommitmentDiscountId=pl.lit("c"),
        CommitmentDiscountStatus=pl.lit("Used"),
        ChargePeriodStart=pl.lit(NOVEMBER),
        ChargePeriodEnd=pl.lit(DAY),
        BillingPeriodEnd=pl.lit(DECEMBER),
        BilledCost=pl.lit(Decimal("0.5")),
        EffectiveCost=pl.lit(Decimal("0.5")),
    )
    rows = rows.select(pl.all().repeat_by(len(names)).explode())
    return rows.with_columns(name.alias(of)) if of in rows.columns else rows


def tally_of(numbers: int, of: str, batch: int = 50_000) -> Tally:
    found = Tally()
    found.cancelling["covered_usage_is_negated"] = {}
    for first in range(0, numbers, batch):
        names = range(first, min(first + batch, numbers))
        rows = usage(names, of)
        charged = rows.select(
            "BillingPeriodStart",
            pl.col("BillingAccountId").alias(ACCOUNT),
            pl.col("BillingCurrency").alias(CURRENCY),
            pl.col("BilledCost").alias(AMOUNT),
        )
        found.add_charged(charged)
        if of == "cancelling":
            by = pl.DataFrame({"by": [f"arn:aws:savingsplans::{name}" for name in names]})
            found.add_cancelling("covered_usage_is_negated", by, charged)
        found.add_result(rows)
    return found


@pytest.mark.parametrize("of", GIVEN_UP)
def test_a_check_of_too_many_names_is_given_up_and_says_so(
    of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MOST_NAMES", "MOST_DAYS_USED"):
        monkeypatch.setattr(tally, limit, 1000)
    for numbers, given_up in ((1000, set[str]()), (1001, {GIVEN_UP[of]}), (3000, {GIVEN_UP[of]})):
        found = tally_of(numbers, of, 300)
        checks = [*history_checks(found, {}, {}, DECEMBER), *checks_of(found)]
        assert {check.name for check in checks if check.status is CheckStatus.ERROR} == given_up
        for check in checks:
            if check.name in given_up:
                assert check.severity is Severity.WARN
                assert check.detail == (
                    "not checked: the bill has more than 1,000 of what it looks at"
                )
        assert found.conserved


def test_days_of_too_many_accounts_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_NAMES", 500)
    found = Tally()
    for day in range(1, 7):
        rows = usage(range(100), "BillingAccountId")
        at = datetime(2026, 11, day, tzinfo=UTC)
        found.add_result(rows.with_columns(ChargePeriodStart=pl.lit(at)))
    checks = history_checks(found, {}, {}, DECEMBER)
    assert [c.name for c in checks if c.status is CheckStatus.ERROR] == ["daily_cost_is_usual"]


def test_a_bill_of_too_many_accounts_is_refused() -> None:
    rows = usage(range(MOST_KEYS + 1), "BillingAccountId")
    Tally().add_result(rows.head(MOST_KEYS))
    with pytest.raises(TooManyError, match=r"more than 20,000 .* 20,001 accounts .* 1 periods and"):
        Tally().add_result(rows)
    bill = load_ledger("focus_file")
    frame = bill.frame(bill.lines[:1]).select(pl.all().repeat_by(MOST_KEYS + 1).explode())
    accounts = pl.int_range(frame.height, eager=True).cast(pl.String).alias("BillingAccountId")
    with pytest.raises(TooManyError, match="See that BillingAccountId is who pays"):
        bill.converter().convert(frame.with_columns(accounts))


MEASURED = """
import re
from pathlib import Path
from tests.focus.test_bounds import tally_of

def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))

before = kilobytes("VmRSS")
for of in ("SubAccountId", "CommitmentDiscountId", "cancelling"):
    tally_of(800_000, of)
print((kilobytes("VmHWM") - before) // 1024)
"""


def test_memory_is_bounded_whatever_a_bill_names() -> None:
    command = [sys.executable, "-c", MEASURED]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(found) < 300

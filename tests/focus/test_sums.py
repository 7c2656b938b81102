"""What a bill adds up to, and how much of it is not known."""

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from contracts.quality import CheckPart, CheckStatus, Severity
from services.executor.focus.checks import checks_of
from services.executor.focus.engine import Converter
from services.executor.focus.mapping import load_mapping
from services.executor.focus.money import total
from services.executor.focus.tally import Tally, add_sums
from services.executor.focus.twice import LEAST, SAMPLE, Twice
from tests.focus.ledger import load_ledger

LEDGER = load_ledger("aws_cur")
FIRST = LEDGER.frame(LEDGER.lines[:1])
KEY = ("BillingPeriodStart", "BillingAccountId", "BillingCurrency")


def tally_of(frame: pl.DataFrame) -> Tally:
    converter = Converter(load_mapping("aws_cur"), frame.schema)
    converter.convert(frame)
    return converter.tally


def test_what_is_not_known_is_counted_with_what_it_costs() -> None:
    unmapped = tally_of(LEDGER.frame(LEDGER.lines)).unmapped
    assert {name: dict(found.rows) for name, found in unmapped.items()} == {
        "service": {"7gxyz9example": 3, "AmazonNovelty": 1},
        "region": {"xx-new-1": 1},
        "unit": {},
        "line_type": {"QuantumSurcharge": 1},
    }
    assert unmapped["service"].costs == {
        ("7gxyz9example", "USD"): Decimal(8 + 1200 + 228),
        ("AmazonNovelty", "USD"): Decimal("1.25"),
    }
    assert unmapped["line_type"].costs == {("QuantumSurcharge", "USD"): Decimal("0.77")}


def test_a_category_that_focus_does_not_know_is_counted() -> None:
    bill = load_ledger("focus_file")
    found = bill.convert(bill.lines)[1].tally.unmapped["line_type"]
    assert dict(found.rows) == {"Rebate": 1, "nothing": 1}


@pytest.mark.parametrize(
    ("costs", "status", "observed"),
    [
        (("95", "-4", "-1"), CheckStatus.PASSED, "5 %"),
        (("94", "-5", "-1"), CheckStatus.FAILED, "6 %"),
        (("0", "0", "0"), CheckStatus.PASSED, "0 %"),
    ],
)
def test_a_share_of_unmapped_costs_above_the_budget_is_told(
    costs: tuple[str, str, str], status: CheckStatus, observed: str
) -> None:
    frame = pl.concat([FIRST] * 3).with_columns(
        line_item_unblended_cost=pl.Series(costs),
        line_item_product_code=pl.Series(["AmazonEC2", "New", "Newer"]),
    )
    checks = {check.name: check for check in checks_of(tally_of(frame), Decimal("0.05"))}
    found = checks["service_is_known"]
    assert (found.status, found.observed, found.severity) == (status, observed, Severity.WARN)
    assert (found.failing_rows, found.row_count) == (2, 3)
    assert checks["region_is_known"].status == CheckStatus.PASSED
    if status is CheckStatus.FAILED:
        assert found.detail == "not known: New (1 rows, 5 USD), Newer (1 rows, 1 USD)"


@pytest.mark.parametrize("name", ["aws_cur", "azure_export", "gcp_billing"])
def test_checks_of_what_is_known_have_the_documented_names(name: str) -> None:
    ledger = load_ledger(name)
    names = {check.name for check in checks_of(ledger.convert(ledger.lines)[1].tally)}
    documented = {"service_is_known", "region_is_known", "unit_is_known", "line_type_is_known"}
    more = {"consumed_unit_is_known"} if name == "gcp_billing" else set()
    assert {name for name in names if name.endswith("_is_known")} == documented | more


def test_the_share_of_each_currency_is_its_own_and_the_worst_counts() -> None:
    frame = pl.concat([FIRST] * 4).with_columns(
        line_item_unblended_cost=pl.Series(["9900", "100", "9", "1"]),
        line_item_currency_code=pl.Series(["JPY", "JPY", "USD", "USD"]),
        line_item_product_code=pl.Series(["AmazonEC2", "New", "AmazonEC2", "New"]),
    )
    checks = {check.name: check for check in checks_of(tally_of(frame), Decimal("0.05"))}
    found = checks["service_is_known"]
    assert (found.status, found.observed) == (CheckStatus.FAILED, "10 % of USD, 1 % of JPY")
    assert found.detail == "not known: New (2 rows, 1 USD and 100 JPY)"


@pytest.mark.parametrize(
    ("cost", "status", "observed"),
    [
        ("0.000000000000000001", CheckStatus.FAILED, "less than 0.01 %"),
        ("0", CheckStatus.PASSED, "0 %"),
    ],
)
def test_a_budget_of_nothing_leaves_nothing_unmapped_that_costs(
    cost: str, status: CheckStatus, observed: str
) -> None:
    frame = pl.concat([FIRST] * 2).with_columns(
        line_item_unblended_cost=pl.Series(["12345678901234567890", cost]),
        line_item_product_code=pl.Series(["AmazonEC2", "New"]),
    )
    checks = {check.name: check for check in checks_of(tally_of(frame), Decimal(0))}
    found = checks["service_is_known"]
    assert (found.status, found.observed) == (status, observed)


LARGE, TINY = Decimal(12345678901), Decimal("0.000000000000000004")


def test_what_is_lost_is_found_whatever_digits_an_amount_has() -> None:
    def sums(amount: Decimal) -> pl.DataFrame:
        amounts = pl.Series("amount", [amount], dtype=pl.Decimal(38, 18))
        return pl.DataFrame(
            {"period": [datetime(2026, 11, 1, tzinfo=UTC)], "account": ["1"], "currency": ["USD"]}
        ).with_columns(amounts)

    tally = Tally()
    add_sums(tally.raw, sums(LARGE))
    add_sums(tally.raw, sums(TINY))
    add_sums(tally.billed, sums(LARGE))
    assert list(tally.lost.values()) == [TINY]
    conserved = checks_of(tally)[0]
    assert conserved.status is CheckStatus.FAILED
    assert conserved.expected == "12345678901.000000000000000004"
    assert conserved.detail.endswith(": 0.000000000000000004 USD")


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_what_is_conserved_does_not_depend_on_where_a_bill_is_cut(cut: int) -> None:
    amounts = [f"{LARGE:f}", *[f"{TINY:f}"] * 4] * 2
    frame = pl.concat([FIRST] * 10).with_columns(line_item_unblended_cost=pl.Series(amounts))
    tally = Tally()
    converter = Converter(load_mapping("aws_cur"), frame.schema, tally)
    results = [converter.convert(piece) for piece in frame.iter_slices(cut)]
    assert tally.lost == {}
    whole = Tally()
    add_sums(whole.raw, pl.concat(results).select(*KEY, "BilledCost"))
    assert tally.raw == whole.raw
    assert tally.turnover == {"USD": total(tally.raw.values())}
    assert [f"{amount:f}" for amount in tally.raw.values()] == ["24691357802.000000000000000032"]


def test_a_credit_that_stands_twice_in_its_row_is_told() -> None:
    bill = load_ledger("gcp_billing")
    line = next(line for line in bill.lines if line.given.get("credits"))
    credit = {"id": "c-1", "name": "Trial", "type": "PROMOTION", "amount": "-1"}
    other = {**credit, "id": "c-2"}
    credits_ = [[credit, other], [credit], [credit, credit, credit], [], [other, credit, other]]
    frame = pl.concat([bill.frame([line])] * len(credits_)).with_columns(
        credits=pl.Series(credits_)
    )
    converter = Converter(load_mapping("gcp_billing"), frame.schema)
    converter.convert(frame)
    (found,) = (c for c in checks_of(converter.tally) if c.name == "credits_stand_once")
    assert (found.status, found.observed) == (CheckStatus.FAILED, "3")


def rows(file: str, numbers: range) -> pl.DataFrame:
    return pl.DataFrame({"id": numbers, "file": file}, schema_overrides={"id": pl.Int64})


def found_in(*files: pl.DataFrame, cut: int = 1000) -> CheckPart:
    twice = Twice(otherwise="deliver one")
    for file in files:
        for batch in file.iter_slices(cut):
            twice.add(batch, "file")
    return checks_of(Tally(twice=twice))[0]


@pytest.mark.parametrize("number", [10, 2 * SAMPLE])
@pytest.mark.parametrize("of", [0.0, 0.5, 1.0])
def test_the_share_of_a_files_rows_in_others_is_told_from_a_sample(number: int, of: float) -> None:
    """However the files are cut into batches, and whatever order their rows have."""
    begin = int(number * (1 - of))
    twice = Twice()
    for file in (rows("a", range(number)), rows("b", range(begin, begin + number)).reverse()):
        for batch in file.iter_slices(max(number // 3, 1)):
            twice.add(batch, "file")
    assert float(twice.worst().share) == pytest.approx(of, abs=0.03)


def test_a_file_that_stands_in_a_larger_one_is_found_though_its_share_of_all_is_small() -> None:
    large = 2 * SAMPLE
    found = found_in(rows("first", range(large // 20)), rows("later", range(large)), cut=9999)
    assert (found.status, found.severity, found.observed) == (
        CheckStatus.FAILED,
        Severity.FAIL,
        "100 %",
    )
    assert found.detail == "first and later have rows in common: deliver one"


def test_files_too_small_for_the_sample_are_judged_together_or_said_to_be_too_small() -> None:
    number = SAMPLE // LEAST
    parts = [rows(f"{run}/{n}", range(20 * n, 20 * n + 20)) for run in "ab" for n in range(number)]
    all_twice = found_in(pl.concat(parts))
    assert (all_twice.severity, all_twice.observed) == (Severity.FAIL, "100 %")
    tiny = found_in(rows("large", range(2 * SAMPLE)), rows("tiny", range(-4, 0)), cut=9999)
    assert tiny.status is CheckStatus.PASSED
    assert tiny.detail == "files too small to be judged alone: 1"


def test_rows_of_a_file_too_small_to_judge_stop_nothing_but_are_told() -> None:
    """Whichever of the rows the sample has."""
    found = found_in(rows("large", range(2 * SAMPLE)), rows("tiny", range(LEAST)), cut=9999)
    assert (found.status, found.severity) == (CheckStatus.FAILED, Severity.WARN)
    assert found.observed == "100 %"
    assert found.detail.endswith("deliver one; files too small to be judged alone: 1")


def covered_and_negated(*charges: tuple[str, str, str]) -> CheckPart:
    frame = pl.concat([FIRST] * len(charges)).with_columns(
        line_item_line_item_type=pl.Series([f"SavingsPlan{kind}" for kind, _, _ in charges]),
        savings_plan_savings_plan_a_r_n=pl.Series([plan for _, plan, _ in charges]),
        line_item_unblended_cost=pl.Series([cost for _, _, cost in charges]),
    )
    tally = tally_of(frame)
    assert tally.conserved
    (found,) = (c for c in checks_of(tally) if c.name == "covered_usage_is_negated")
    return found


def test_what_a_plan_covers_cancels_out_for_each_plan() -> None:
    good = covered_and_negated(
        ("CoveredUsage", "a", "10"), ("Negation", "a", "-10"),
        ("CoveredUsage", "b", "10"), ("CoveredUsage", "b", "2"), ("Negation", "b", "-12"),
    )  # fmt: skip
    assert (good.status, good.severity) == (CheckStatus.PASSED, Severity.FAIL)
    bad = covered_and_negated(
        ("CoveredUsage", "a", "10"), ("Negation", "a", "-8"),
        ("CoveredUsage", "b", "10"), ("Negation", "b", "-12"),
    )  # fmt: skip
    assert (bad.status, bad.failing_rows) == (CheckStatus.FAILED, 2)
    assert bad.detail == "left over: 2026-11 a: 2; 2026-11 b: -2"


def net_costs(*lines: tuple[str, str, str]) -> CheckPart:
    frame = pl.concat([FIRST] * len(lines)).with_columns(
        line_item_line_item_type=pl.Series([kind for kind, _, _ in lines]),
        line_item_unblended_cost=pl.Series([cost for _, cost, _ in lines]),
        line_item_net_unblended_cost=pl.Series([net for _, _, net in lines]),
    )
    (found,) = (c for c in checks_of(tally_of(frame)) if c.name == "discounts_are_in_net_costs")
    assert found.severity is Severity.WARN
    return found


@pytest.mark.parametrize(
    ("lines", "left_out", "taken"),
    [
        ([("Usage", "10", "9"), ("EdpDiscount", "-1", "")], "1", "1"),
        ([("Usage", "10", "9.0000000001"), ("SppDiscount", "-1", "")], "0.9999999999", "1"),
        ([("Usage", "10", ""), ("EdpDiscount", "-1", "")], "0", "0"),
        ([("Usage", "1000", "901"), ("EdpDiscount", "-100", "0")], "99", "100"),
    ],
)
def test_net_costs_leave_out_what_discounts_take_away(
    lines: list[tuple[str, str, str]], left_out: str, taken: str
) -> None:
    found = net_costs(*lines)
    assert (found.observed, found.expected, found.detail) == (left_out, taken, "")
    assert found.status is CheckStatus.PASSED


def test_a_discount_that_net_costs_do_not_leave_out_is_told() -> None:
    found = net_costs(("Usage", "10", "9"), ("EdpDiscount", "-1", ""), ("SppDiscount", "-4", ""))
    assert (found.status, found.observed, found.expected) == (CheckStatus.FAILED, "1", "5")
    assert found.detail == "2026-11 account 012345678901: 1 instead of 5 USD"


@pytest.mark.parametrize(
    ("alike", "status", "severity"),
    [
        (0, CheckStatus.PASSED, Severity.FAIL),
        (1, CheckStatus.FAILED, Severity.WARN),
        (5, CheckStatus.FAILED, Severity.WARN),
        (6, CheckStatus.FAILED, Severity.FAIL),
    ],
)
def test_some_rows_may_be_alike_in_two_files_by_chance_but_are_told(
    alike: int, status: CheckStatus, severity: Severity
) -> None:
    found = found_in(rows("a", range(20)), rows("b", range(20 - alike, 60 - alike)))
    assert found.name == "no_row_stands_in_two_files"
    assert (found.status, found.severity) == (status, severity)
    assert found.detail == ("a and b have rows in common: deliver one" if alike else "")

"""From a delivered file to FOCUS rows in BigQuery, and what happens when it comes again."""

import gzip
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.executor.steps.step import StepError
from tests.focus.ledger import Line, load_ledger
from tests.ingest.surroundings import Surroundings

LEDGER = load_ledger("aws_cur")
RAW = {
    "files": "aws/${parameters.period}/*.csv.gz",
    "target_table": "${tenant_id}.raw_aws",
    "slice": "${parameters.period}",
}
FOCUS = {
    "mapping": "aws_cur",
    "source_table": "${tenant_id}.raw_aws",
    "slice": "${parameters.period}",
}
PERIOD = "2026-11"


def cur(lines: Any) -> bytes:
    return gzip.compress(LEDGER.frame(lines).write_csv().encode(), mtime=0)


async def load(around: Surroundings, lines: Any) -> int:
    around.deliver(f"aws/{PERIOD}/cur-1.csv.gz", cur(lines))
    await around.run("ingest.file", RAW, period=PERIOD)
    return (await around.run("cost.focus", FOCUS, period=PERIOD)).rows


async def test_a_bill_becomes_focus_rows_that_add_up_to_it(around: Surroundings) -> None:
    rows = await load(around, LEDGER.lines)
    (sums,) = await around.rows(
        "SELECT COUNT(*) AS n, SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective,"
        " MIN(BillingAccountId) AS account FROM $.focus_costs"
    )
    assert str(rows) == LEDGER.totals["rows_out"]
    assert sums == {
        "n": rows,
        "billed": Decimal(LEDGER.totals["BilledCost"]),
        "effective": Decimal(LEDGER.totals["EffectiveCost"]),
        "account": "012345678901",
    }
    assert around.heard.checks["cost_is_conserved"] == "PASSED"
    assert around.heard.checks["rows_are_accounted_for"] == "PASSED"
    (raw,) = await around.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT x_row) AS r FROM $.raw_aws")
    assert raw == {"n": len(LEDGER.lines), "r": len(LEDGER.lines)}


async def test_discounts_are_in_net_costs_that_a_later_file_has(around: Surroundings) -> None:
    """A file of discounts alone does not say that the bill has net costs."""
    usage, discount = (
        next(line for line in LEDGER.lines if title in line.title)
        for title in ("as listed", "A bundled discount")
    )

    async def billed(net: str) -> Decimal:
        costs = (("a", discount, "-6", ""), ("b", usage, "10", net))
        for file, line, cost, own in costs:
            given = {"line_item_unblended_cost": cost, "line_item_net_unblended_cost": own}
            around.deliver(
                f"aws/{PERIOD}/cur-{file}.csv.gz", cur([Line("own", line.given | given, ())])
            )
        await around.run("ingest.file", RAW, period=PERIOD)
        await around.run("cost.focus", FOCUS, period=PERIOD)
        (row,) = await around.rows("SELECT SUM(BilledCost) AS c FROM $.focus_costs")
        return Decimal(row["c"])

    assert await billed("4") == 4
    assert await billed("") == 4
    assert await billed("9.5") == Decimal("9.5")
    assert around.heard.checks["discounts_are_in_net_costs"] == "FAILED"


async def test_tags_that_parquet_holds_as_maps_reach_the_table(around: Surroundings) -> None:
    """As AWS writes CUR 2.0, and FOCUS."""
    first = LEDGER.frame(LEDGER.lines[:1])
    maps = pa.array(
        [[("user_team", "data"), ("aws_env", 'a "b"')]], pa.map_(pa.string(), pa.string())
    )
    bill = first.select(c for c in first.columns if not c.startswith("resourceTags/")).to_arrow()
    path = around.landing / str(around.tenant) / "aws" / PERIOD / "cur.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(bill.append_column("resource_tags", maps), path)
    raw = {**RAW, "files": "aws/${parameters.period}/*.parquet"}
    await around.run("ingest.file", raw, period=PERIOD)
    await around.run("cost.focus", FOCUS, period=PERIOD)
    (row,) = await around.rows("SELECT Tags FROM $.focus_costs")
    assert row == {"Tags": '{"team":"data","aws:env":"a \\"b\\""}'}
    (raw_row,) = await around.rows("SELECT resource_tags AS t FROM $.raw_aws")
    assert "user_team" in raw_row["t"]


async def test_the_same_delivery_again_changes_nothing(around: Surroundings) -> None:
    first = await load(around, LEDGER.lines)
    assert await load(around, LEDGER.lines) == first
    assert around.heard.notes == [
        "the same files are loaded already",
        "nothing new was delivered",
    ]
    (kept,) = await around.rows("SELECT COUNT(*) AS n, MAX(version) AS v FROM $.focus_loads")
    assert kept == {"n": 1, "v": 1}


async def test_a_restated_period_replaces_the_one_before_and_tells_by_how_much(
    around: Surroundings,
) -> None:
    await load(around, LEDGER.lines)
    fewer = [line for line in LEDGER.lines if line.title != "Value added tax"]
    await load(around, fewer)
    (sums,) = await around.rows("SELECT SUM(BilledCost) AS billed FROM $.focus_costs")
    before = Decimal(LEDGER.totals["BilledCost"])
    assert sums["billed"] == before - Decimal("23.45")
    versions = await around.rows(
        "SELECT version, billed_cost, billed_before, period_closed FROM $.focus_loads"
        " ORDER BY version"
    )
    assert [tuple(v.values()) for v in versions] == [
        (1, before, None, True),
        (2, before - Decimal("23.45"), before, True),
    ]


async def test_other_periods_and_accounts_are_left_alone(around: Surroundings) -> None:
    await load(around, LEDGER.lines)
    other = Line(
        "another account",
        {**LEDGER.lines[0].given, "bill_payer_account_id": "999999999999"},
        (),
    )
    around.deliver("aws/other/cur.csv.gz", cur([other]))
    await around.run("ingest.file", RAW, period="other")
    await around.run("cost.focus", FOCUS, period="other")
    accounts = await around.rows(
        "SELECT BillingAccountId AS a, COUNT(*) AS n FROM $.focus_costs GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row.values()) for row in accounts] == [
        ("012345678901", int(LEDGER.totals["rows_out"])),
        ("999999999999", 1),
    ]


async def test_a_bill_that_does_not_add_up_leaves_the_table_as_it_was(
    around: Surroundings,
) -> None:
    rows = await load(around, LEDGER.lines)
    broken = [line for line in LEDGER.lines if line.title != "Its negation"]
    with pytest.raises(StepError, match=r"28\.541176") as caught:
        await load(around, broken)
    assert caught.value.code == "cost_is_conserved"
    assert around.heard.checks["cost_is_conserved"] == "FAILED"
    (kept,) = await around.rows("SELECT COUNT(*) AS n FROM $.focus_costs")
    assert kept["n"] == rows


def ledger_with(amount: str, note: str = "") -> list[Line]:
    before = {**LEDGER.lines[1].given, "line_item_line_item_description": note}
    bad = {**LEDGER.lines[0].given, "line_item_unblended_cost": amount}
    return [Line("before", before, ()), Line("bad", bad, ())]


async def test_credits_that_are_none_are_refused_with_file_line_and_column(
    around: Surroundings,
) -> None:
    bill = load_ledger("gcp_billing")
    lists = ("labels", "system_labels", "project_labels", "tags")
    frame = bill.frame([bill.lines[0]] * 2).drop(lists)
    frame = frame.with_columns(credits=pl.Series(["[]", "{amount=-1}"]))
    around.deliver(f"aws/{PERIOD}/gcp.csv.gz", gzip.compress(frame.write_csv().encode()))
    await around.run("ingest.file", RAW, period=PERIOD)
    with pytest.raises(StepError) as caught:
        await around.run("cost.focus", {**FOCUS, "mapping": "gcp_billing"}, period=PERIOD)
    said = str(caught.value)
    assert "gcp.csv.gz" in said and "line 3" in said and "credits" in said  # noqa: PT018


@pytest.mark.parametrize(("note", "line"), [("", 3), ("a\nnote of\nthree lines", 5)])
async def test_a_bad_amount_is_refused_with_file_line_and_column(
    around: Surroundings, note: str, line: int
) -> None:
    with pytest.raises(StepError) as caught:
        await load(around, ledger_with("12,50", note))
    assert caught.value.code == "file_refused"
    assert caught.value.detail == (
        f"aws/2026-11/cur-1.csv.gz, line {line}, column line_item_unblended_cost:"
        " '12,50' is not a number"
    )


async def test_a_row_without_its_account_is_refused_with_file_line_and_column(
    around: Surroundings,
) -> None:
    nobody = {**LEDGER.lines[0].given, "bill_payer_account_id": ""}
    with pytest.raises(StepError) as caught:
        await load(around, [LEDGER.lines[1], Line("nobody's", nobody, ())])
    assert caught.value.code == "file_refused"
    assert caught.value.detail == (
        "aws/2026-11/cur-1.csv.gz, line 3, column bill_payer_account_id:"
        " it is empty, where a billing account must be"
    )


async def test_a_bad_amount_behind_an_empty_line_is_refused_with_its_row(
    around: Surroundings,
) -> None:
    written = gzip.decompress(cur(ledger_with("12,50"))).replace(b"\n", b"\n\n")
    around.deliver(f"aws/{PERIOD}/cur-1.csv.gz", gzip.compress(written, mtime=0))
    await around.run("ingest.file", RAW, period=PERIOD)
    with pytest.raises(StepError, match=r"cur-1.csv.gz, column line_item_unb.*: row 2: '12,50'"):
        await around.run("cost.focus", FOCUS, period=PERIOD)


async def test_a_bad_amount_of_a_file_without_lines_is_refused_with_its_row(
    around: Surroundings,
) -> None:
    path = around.landing / str(around.tenant) / "aws" / PERIOD / "cur"
    path.parent.mkdir(parents=True)
    LEDGER.frame(ledger_with("12,50")).write_parquet(path)
    files = {"files": "aws/${parameters.period}/cur", "format": "parquet"}
    await around.run("ingest.file", {**RAW, **files}, period=PERIOD)
    with pytest.raises(StepError, match=r"11/cur, column line_item_unb.*: row 2: '12,50'"):
        await around.run("cost.focus", FOCUS, period=PERIOD)


async def test_a_bill_with_decimal_commas_and_days_first_is_read_when_it_is_said(
    around: Surroundings,
) -> None:
    given = {
        **LEDGER.lines[0].given,
        "line_item_unblended_cost": "1.012,5",
        "pricing_public_on_demand_cost": "1.012,50",
        "line_item_usage_amount": "1",
        "line_item_usage_start_date": "03.11.2026",
        "line_item_usage_end_date": "04/11/2026",
    }
    around.deliver(f"aws/{PERIOD}/cur-1.csv.gz", cur([Line("written in Europe", given, ())]))
    raw = {**RAW, "decimal_comma": True, "day_first": True}
    await around.run("ingest.file", raw, period=PERIOD)
    await around.run("cost.focus", FOCUS, period=PERIOD)
    (row,) = await around.rows(
        "SELECT BilledCost AS c, CAST(DATE(ChargePeriodStart) AS STRING) AS d FROM $.focus_costs"
    )
    assert row == {"c": Decimal("1012.5"), "d": "2026-11-03"}


async def test_nothing_to_convert_is_said_in_words(around: Surroundings) -> None:
    with pytest.raises(StepError, match="let an ingest step fill it first"):
        await around.run("cost.focus", FOCUS, period="2020-01")


@pytest.mark.parametrize("name", ["source_table", "target_table"])
async def test_tables_of_others_are_refused(around: Surroundings, name: str) -> None:
    config = {**FOCUS, name: "somebody_else.raw_aws"}
    with pytest.raises(StepError, match="is not yours"):
        await around.run("cost.focus", config, period=PERIOD)


async def test_columns_that_are_kept_stay_beside_the_costs(around: Surroundings) -> None:
    first = await load(around, LEDGER.lines)
    for keep in ("bill_bill_type, line_item*, no_such", ["line_item_line_item_type"]):
        config = {**FOCUS, "keep": "${parameters.keep}" if isinstance(keep, str) else keep}
        done = await around.run("cost.focus", config, period=PERIOD, keep=keep)
        assert done.rows == first
        (row,) = await around.rows(
            "SELECT COUNT(x_line_item_line_item_type) AS n, COUNT(x_bill_bill_type) AS m"
            " FROM $.focus_costs"
        )
        assert row == {"n": first, "m": first if isinstance(keep, str) else 0}
    assert around.heard.checks["columns_to_be_kept_are_there"] == "FAILED"
    assert around.heard.checks["cost_is_conserved"] == "PASSED"

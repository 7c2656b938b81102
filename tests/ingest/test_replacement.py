"""What a load of costs replaces, what it adds to, and what is told of it right afterwards."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from contracts.costs import CostChangesV1, CostV1, GetCostChangesV1, GetCostV1
from contracts.quality import CheckPart, QualityCheckedV1
from libs.bus.message import Context
from libs.warehouse.jobs import JobResult
from services.executor.costs import Costs
from services.executor.ingest.deliveries import Deliveries
from services.executor.steps.cost_report import CostReport
from services.executor.steps.step import StepError
from tests.audit_log.recorder import delivery
from tests.focus.ledger import Line, load_ledger
from tests.ingest.surroundings import Surroundings

LEDGER = load_ledger("aws_cur")
PERIODS = {
    "2026-10": ("2026-10-01", "2026-11-01"),
    "2026-11": ("2026-11-01", "2026-12-01"),
    "2026-12": ("2026-12-01", "2027-01-01"),
}
OCT, NOV, DEC = PERIODS
Row = tuple[str, str, str] | tuple[str, str, str, int]
"""Billing period, billing account, cost; and the day, which is the third."""
NOTHING: tuple[Row, ...] = ()


def line(row: Row) -> Line:
    period, account, cost, *days = row
    day = f"{period}-{days[0] if days else 3:02}"
    start, end = PERIODS[period]
    given = {
        **LEDGER.lines[0].given,
        "bill_payer_account_id": account,
        "bill_billing_period_start_date": f"{start}T00:00:00Z",
        "bill_billing_period_end_date": f"{end}T00:00:00Z",
        "line_item_usage_start_date": f"{day}T10:00:00Z",
        "line_item_usage_end_date": f"{day}T11:00:00Z",
        "line_item_unblended_cost": cost,
        "pricing_public_on_demand_cost": cost,
    }
    return Line("a charge", given, ())


def bring(around: Surroundings, rows: tuple[Row, ...], table: str, slice_: str) -> None:
    written = LEDGER.frame([line(row) for row in rows]).write_csv().encode()
    around.deliver(f"{table}/{slice_}.csv", written)


async def ingest(around: Surroundings, table: str, slice_: str) -> int:
    config = {"files": f"{table}/{slice_}.csv", "target_table": f"${{tenant_id}}.{table}"}
    return (await around.run("ingest.file", {**config, "slice": slice_})).rows


async def convert(around: Surroundings, table: str, slice_: str, **more: str) -> int:
    config = {"mapping": "aws_cur", "source_table": f"${{tenant_id}}.{table}", "slice": slice_}
    return (await around.run("cost.focus", {**config, **more})).rows


async def load(
    around: Surroundings, *rows: Row, table: str = "raw_cur", slice_: str = NOV, **more: str
) -> int:
    bring(around, rows, table, slice_)
    await ingest(around, table, slice_)
    return await convert(around, table, slice_, **more)


async def held(around: Surroundings) -> dict[tuple[str, str], str]:
    """What GET /cost says: by month and billing account."""
    asked = GetCostV1(
        tenant_id=around.tenant,
        group_by=("month", "billing_account"),
        from_date=date(2026, 1, 1),
        to_date=date(2027, 12, 31),
    )
    costs = Costs(around.tools.warehouse)
    (told,) = await costs.on_get_cost(asked, Context(delivery(asked).envelope))
    assert isinstance(told, CostV1)
    return {(g.keys[0], g.keys[1]): f"{g.billed_cost.normalize():f}" for g in told.groups}


async def changes(
    around: Surroundings, period: date | None = None
) -> set[tuple[str, str, int, str, str]]:
    """What GET /cost/diff says: month, account, version, billed before and after."""
    asked = GetCostChangesV1(tenant_id=around.tenant, billing_period=period)
    costs = Costs(around.tools.warehouse)
    (told,) = await costs.on_get_cost_changes(asked, Context(delivery(asked).envelope))
    assert isinstance(told, CostChangesV1)
    return {
        (
            f"{c.billing_period:%Y-%m}",
            c.billing_account_id,
            c.version,
            f"{c.billed_before.normalize():f}",
            f"{c.billed_after.normalize():f}",
        )
        for c in told.changes
    }


def found(around: Surroundings, name: str) -> CheckPart:
    """The last time that it was told."""
    events = [event for event in around.heard.events if isinstance(event, QualityCheckedV1)]
    return [check for event in events for check in event.checks if check.name == name][-1]


async def test_a_stray_row_of_another_month_adds_to_it(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"), (NOV, "a", "20.5"))
    await load(around, (DEC, "a", "7"), (NOV, "a", "0.25"), slice_=DEC)
    assert await held(around) == {(NOV, "a"): "30.75", (DEC, "a"): "7"}
    assert await changes(around) == {(NOV, "a", 2, "30.5", "30.75")}
    assert around.heard.checks["closed_periods_stay"] == "FAILED"
    await load(around, (DEC, "a", "8"), slice_=DEC)
    assert await held(around) == {(NOV, "a"): "30.5", (DEC, "a"): "8"}
    assert await changes(around) == {
        (NOV, "a", 2, "30.5", "30.75"),
        (NOV, "a", 3, "30.75", "30.5"),
        (DEC, "a", 2, "7", "8"),
    }


async def test_a_delivery_again_beside_strays_of_its_month_is_not_loaded_again(
    around: Surroundings,
) -> None:
    november = (NOV, "a", "10")
    await load(around, november)
    await load(around, (DEC, "a", "7"), (NOV, "a", "0.25"), slice_=DEC)
    await load(around, november)
    assert around.heard.notes[-1] == "nothing new was delivered"
    assert await held(around) == {(NOV, "a"): "10.25", (DEC, "a"): "7"}


async def test_an_account_that_vanishes_from_a_delivery_vanishes(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"), (NOV, "b", "5"), (OCT, "b", "1"))
    await load(around, (NOV, "a", "10"))
    assert await held(around) == {(NOV, "a"): "10"}
    assert await changes(around) == {(NOV, "b", 2, "5", "0"), (OCT, "b", 2, "1", "0")}
    (row,) = await around.rows(
        "SELECT row_count AS n, effective_before AS e FROM $.focus_loads"
        " WHERE billing_account_id = 'b' AND billing_period = '2026-11-01' AND version = 2"
    )
    assert row == {"n": 0, "e": Decimal(5)}


async def test_an_empty_delivery_empties(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"))
    await load(around, (DEC, "a", "7"), slice_=DEC)
    assert await load(around) == 0
    assert await held(around) == {(DEC, "a"): "7"}
    assert await changes(around) == {(NOV, "a", 2, "10", "0")}
    assert around.heard.checks["closed_periods_stay"] == "FAILED"
    await load(around)
    assert around.heard.notes[-1] == "nothing new was delivered"
    await load(around, (NOV, "a", "12"), (NOV, "b", "1"))
    assert await held(around) == {(NOV, "a"): "12", (NOV, "b"): "1", (DEC, "a"): "7"}
    assert await changes(around) == {(NOV, "a", 2, "10", "0"), (NOV, "a", 3, "0", "12")}
    (row,) = await around.rows(
        "SELECT effective_before AS e FROM $.focus_loads"
        " WHERE billing_account_id = 'a' AND version = 3"
    )
    assert row == {"e": Decimal(0)}
    told = found(around, "closed_periods_stay")
    assert (told.observed, told.detail) == ("1", "2026-11 account a: 12 USD")


async def test_an_empty_delivery_takes_nothing_of_another_table(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"))
    await load(around, table="raw_focus")
    assert await held(around) == {(NOV, "a"): "10"}


async def test_the_bill_in_another_form_replaces_it_and_is_replaced(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"), (NOV, "b", "3"))
    await load(around, (NOV, "a", "11"), table="raw_focus")
    assert await held(around) == {(NOV, "a"): "11", (NOV, "b"): "3"}
    await load(around, (NOV, "a", "10"), (NOV, "b", "3"))
    assert await held(around) == {(NOV, "a"): "10", (NOV, "b"): "3"}
    await load(around, (NOV, "a", "11"), table="raw_focus")
    assert await held(around) == {(NOV, "a"): "11", (NOV, "b"): "3"}
    assert (NOV, "a", 4, "10", "11") in await changes(around)


async def test_only_its_own_month_is_taken_over_from_another_table(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"), (OCT, "a", "0.5"))
    await load(around, (DEC, "a", "7"), (NOV, "a", "0.25"), slice_=DEC)
    await load(around, (DEC, "a", "7"), (NOV, "a", "0.25"), slice_=DEC, table="raw_focus")
    assert await held(around) == {(OCT, "a"): "0.5", (NOV, "a"): "10.25", (DEC, "a"): "7"}
    await load(around, (NOV, "a", "10"), (OCT, "a", "0.5"), table="raw_focus")
    assert await held(around) == {(OCT, "a"): "0.5", (NOV, "a"): "10.25", (DEC, "a"): "7"}


@pytest.mark.parametrize(("first", "then"), [("all", NOV), (NOV, "all"), ("all", "whole")])
async def test_slices_that_are_no_months_are_taken_over_by_their_periods(
    around: Surroundings, first: str, then: str
) -> None:
    await load(around, (NOV, "a", "10"), slice_=first)
    await load(around, (NOV, "a", "11"), slice_=then, table="raw_focus")
    assert await held(around) == {(NOV, "a"): "11"}


@pytest.mark.parametrize(
    ("start", "end", "day"),
    [
        ("2026-10-15T00:00:00Z", "2026-11-15T00:00:00Z", "2026-10-15"),
        ("2026-09-30T15:00:00Z", "2026-10-31T15:00:00Z", "2026-10-01"),
        ("2026-10-31T07:00:00Z", "2026-11-30T07:00:00Z", "2026-10-31"),
    ],
    ids=["from the 15th", "from midnight in Tokyo", "from the 31st in Los Angeles"],
)
async def test_a_period_is_of_the_month_in_which_it_begins_where_it_is_billed(
    around: Surroundings, start: str, end: str, day: str
) -> None:
    asked = pl.lit(start).alias("bill_billing_period_start_date")
    for cost, table in (("10", "raw_cur"), ("11", "raw_cur"), ("12", "raw_focus")):
        rows = LEDGER.frame([line((OCT, "a", cost))])
        ends = pl.lit(end).alias("bill_billing_period_end_date")
        await charged(around, rows.with_columns(asked, ends), table, OCT)
    assert await held(around) == {(OCT, "a"): "12"}
    told = {(OCT, "a", 2, "10", "11"), (OCT, "a", 3, "11", "12")}
    assert await changes(around, date(2026, 10, 1)) == told
    assert await changes(around, date(2026, 9, 1)) == set()
    assert await changes(around, date(2026, 11, 1)) == set()
    assert found(around, "closed_periods_stay").detail == f"{OCT} account a: 1 USD"
    days = await around.rows(
        "SELECT DISTINCT CAST(billing_period AS STRING) AS d FROM $.focus_loads"
    )
    assert days == [{"d": day}]


async def test_another_provider_is_left_alone(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"))
    await load(around, (NOV, "a", "11"), table="raw_focus", provider="reseller")
    assert await held(around) == {(NOV, "a"): "21"}


async def test_what_was_loaded_for_another_provider_goes_with_its_source(
    around: Surroundings,
) -> None:
    await load(around, (NOV, "a", "10"))
    await load(around, (NOV, "a", "10"), provider="reseller")
    assert await held(around) == {(NOV, "a"): "10"}


async def test_the_same_files_in_two_slices_are_not_counted_twice(around: Surroundings) -> None:
    bring(around, ((NOV, "a", "10"),), "raw_cur", "bill")
    config = {"files": "raw_cur/bill.csv", "target_table": "${tenant_id}.raw_cur"}
    given = {**config, "slice": "${parameters.part}"}
    for slice_ in ("one", "two"):
        await around.run("ingest.file", given, part=slice_)
    await convert(around, "raw_cur", "one")
    with pytest.raises(StepError, match=r"no_charge_stands_in_two_slices.*raw_cur.one; name"):
        await convert(around, "raw_cur", "two")
    assert await held(around) == {(NOV, "a"): "10"}
    bring(around, NOTHING, "raw_cur", "one")
    await ingest(around, "raw_cur", "one")
    await convert(around, "raw_cur", "one")
    await convert(around, "raw_cur", "two")
    assert await held(around) == {(NOV, "a"): "10"}


DECEMBER = tuple((DEC, "a", f"{day}.5", day) for day in range(1, 9))
TWO_MONTHS = tuple((NOV, "a", f"{day}.25", day) for day in range(1, 31)) + DECEMBER
ONCE = {(NOV, "a"): "472.5", (DEC, "a"): "40"}


@pytest.mark.parametrize(("first", "then"), [(NOV, DEC), (DEC, NOV)])
async def test_a_bill_that_two_months_find_is_not_counted_twice(
    around: Surroundings, first: str, then: str
) -> None:
    """It has grown by a day when it is found again, and a charge has changed."""
    await load(around, *TWO_MONTHS[:-1], slice_=first)
    before = await held(around)
    changed = ((NOV, "a", "1.5", 1), *TWO_MONTHS[1:])
    with pytest.raises(StepError, match=rf"no_charge_stands_in_two_slices.*raw_cur.{first}; name"):
        await load(around, *changed, slice_=then)
    assert await held(around) == before
    assert await load(around, *changed, slice_=first) == len(TWO_MONTHS)


@pytest.mark.parametrize("turn", [(NOV, DEC), (DEC, NOV)])
async def test_what_was_counted_twice_before_is_mended_by_whichever_month_comes_first(
    around: Surroundings, turn: tuple[str, str]
) -> None:
    """As earlier releases let it be: each of the two slices has the whole bill."""
    await load(around, *TWO_MONTHS, slice_=NOV)
    await load(around, *TWO_MONTHS, slice_=DEC, provider="other")
    await around.rows("UPDATE $.focus_costs SET x_provider = 'aws' WHERE TRUE")
    await around.rows("UPDATE $.focus_loads SET provider = 'aws' WHERE TRUE")
    with pytest.raises(StepError, match="no_charge_stands_in_two_slices"):
        await load(around, *TWO_MONTHS, (DEC, "a", "1", 9), slice_=turn[0])
    for slice_ in turn:
        await load(around, *(row for row in TWO_MONTHS if row[0] == slice_), slice_=slice_)
    assert await held(around) == ONCE
    assert around.heard.checks["no_charge_stands_in_two_slices"] == "PASSED"


async def test_one_bill_that_two_months_find_at_once_is_counted_once(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """December takes its place between November's being looked at and taking its own."""
    for slice_ in (NOV, DEC):
        bring(around, TWO_MONTHS, "raw_cur", slice_)
        await ingest(around, "raw_cur", slice_)
    looked = CostReport.beside

    async def look(self: CostReport, *given: Any) -> tuple[JobResult, CheckPart]:
        found = await looked(self, *given)
        monkeypatch.setattr(CostReport, "beside", looked)
        await convert(around, "raw_cur", DEC)
        return found

    monkeypatch.setattr(CostReport, "beside", look)
    with pytest.raises(StepError, match=r"no_charge_stands_in_two_slices.*loaded meanwhile"):
        await convert(around, "raw_cur", NOV)
    assert await held(around) == ONCE


async def test_sub_accounts_that_cost_the_same_may_be_slices(around: Surroundings) -> None:
    for slice_ in ("one", "two"):
        rows = LEDGER.frame([line((NOV, "a", "10", day)) for day in range(1, 9)])
        written = rows.with_columns(line_item_usage_account_id=pl.lit(slice_)).write_csv()
        around.deliver(f"raw_cur/{slice_}.csv", written.encode())
        await ingest(around, "raw_cur", slice_)
        await convert(around, "raw_cur", slice_)
    assert await held(around) == {(NOV, "a"): "160"}
    assert around.heard.checks["no_charge_stands_in_two_slices"] == "PASSED"


async def charged(around: Surroundings, rows: pl.DataFrame, table: str, slice_: str) -> None:
    around.deliver(f"{table}/{slice_}.csv", rows.write_csv().encode())
    await ingest(around, table, slice_)
    await convert(around, table, slice_)


FLAT = tuple((NOV, "a", "2.568", day) for day in range(1, 31))
"""One instance for a month."""


async def test_parts_of_a_bill_that_cost_the_same_for_something_else_may_be_slices(
    around: Surroundings,
) -> None:
    part = LEDGER.frame([line(row) for row in FLAT])
    await charged(around, part, "raw_cur", "first")
    for column in (
        "line_item_resource_id",
        "product_sku",
        "line_item_line_item_description",
        "product_region_code",
    ):
        part = part.with_columns(pl.lit("eu-west-9").alias(column))
        await charged(around, part, "raw_cur", column)
        assert around.heard.checks["no_charge_stands_in_two_slices"] == "PASSED"
    assert await held(around) == {(NOV, "a"): "385.2"}
    with pytest.raises(StepError, match="no_charge_stands_in_two_slices"):
        await charged(around, part.reverse(), "raw_cur", "again")


async def test_how_often_something_stands_in_a_day_counts(around: Surroundings) -> None:
    """Rows that are alike do not cancel out."""
    rows = LEDGER.frame([line((NOV, "a", "2", 3))] * 3)
    for slice_, of in (("one", ["i-1", "i-1", "i-2"]), ("two", ["i-1", "i-2", "i-2"])):
        part = rows.with_columns(pl.Series("line_item_resource_id", of))
        await charged(around, part, "raw_cur", slice_)
    assert await held(around) == {(NOV, "a"): "12"}


async def test_a_bill_in_another_form_that_two_months_find_is_not_counted_twice(
    around: Surroundings,
) -> None:
    """Another export says what a charge is in other words; its costs are the same."""
    await load(around, *TWO_MONTHS, slice_=NOV)
    other = LEDGER.frame([line(row) for row in TWO_MONTHS]).with_columns(
        line_item_line_item_description=pl.lit("in other words"), product_sku=pl.lit("another")
    )
    with pytest.raises(StepError, match=r"no_charge_stands_in_two_slices.*raw_cur.2026-11"):
        await charged(around, other, "raw_focus", DEC)
    assert await held(around) == ONCE


async def test_a_day_that_is_alike_among_others_is_told_alone(around: Surroundings) -> None:
    await load(around, *TWO_MONTHS[:30])
    strays = ((NOV, "a", "1.25", 1), (NOV, "a", "9", 2), (NOV, "a", "9", 3))
    await load(around, *DECEMBER, *strays, slice_=DEC)
    assert around.heard.checks["no_charge_stands_in_two_slices"] == "FAILED"
    assert await held(around) == {(NOV, "a"): "491.75", (DEC, "a"): "40"}


async def test_rows_that_went_missing_come_back_with_the_same_delivery(
    around: Surroundings,
) -> None:
    await load(around, (NOV, "a", "10"), (NOV, "b", "3"))
    await around.rows("DELETE FROM $.focus_costs WHERE BillingAccountId = 'b'")
    await load(around, (NOV, "a", "10"), (NOV, "b", "3"))
    assert await held(around) == {(NOV, "a"): "10", (NOV, "b"): "3"}


async def test_a_load_whose_end_was_not_written_down_is_noticed(around: Surroundings) -> None:
    """Killed behind the swap: what is said to be there is the load before."""
    await load(around, (NOV, "a", "10"))
    said = (str(around.tenant), f"{around.tenant}.focus_costs", f"{around.tenant}.raw_cur.{NOV}")
    deliveries = Deliveries(around.tools.data)
    before = await deliveries.current(*said)
    await load(around, (NOV, "a", "11"))
    assert before is not None
    await deliveries.commit(*said, before)
    await load(around, (NOV, "a", "10"))
    assert await held(around) == {(NOV, "a"): "10"}


async def test_rows_of_loads_that_nobody_knows_give_way_by_period(around: Surroundings) -> None:
    await load(around, (NOV, "a", "10"), (NOV, "b", "3"))
    await around.rows("UPDATE $.focus_costs SET x_load_id = NULL WHERE TRUE")
    await load(around, (NOV, "a", "11"))
    assert await held(around) == {(NOV, "a"): "11", (NOV, "b"): "3"}


async def test_two_slices_at_once_are_both_there(around: Surroundings) -> None:
    await load(around, (NOV, "a", "1"))
    bring(around, ((NOV, "a", "10"), (DEC, "a", "0.5")), "raw_cur", NOV)
    bring(around, ((DEC, "a", "7"), (NOV, "a", "0.25")), "raw_cur", DEC)
    for slice_ in (NOV, DEC):
        await ingest(around, "raw_cur", slice_)
    await asyncio.gather(*(convert(around, "raw_cur", slice_) for slice_ in (NOV, DEC)))
    assert await held(around) == {(NOV, "a"): "10.25", (DEC, "a"): "7.5"}
    versions = await around.rows(
        "SELECT billed_cost AS c FROM $.focus_loads WHERE billing_period = '2026-11-01'"
        " ORDER BY version"
    )
    assert [row["c"] for row in versions][-1] == Decimal("10.25")
    assert len(versions) == 3

"""What is told of each load: the rules of FOCUS, and how it compares with what was there."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from contracts.costs import CostSourcesV1, CostV1, GetCostSourcesV1, GetCostV1
from contracts.quality import CheckPart, QualityCheckedV1
from libs.bus.message import Context
from services.executor.costs import Costs
from services.executor.focus.conformance import conformance, cost_rows
from services.executor.focus.history import history_checks
from services.executor.focus.tally import Tally
from services.executor.ingest.parts import ROLE
from tests.audit_log.recorder import delivery
from tests.focus.ledger import Line, exports_of, load_ledger
from tests.ingest.surroundings import Surroundings

LEDGERS = (
    "aws_cur",
    "azure_export",
    "gcp_billing",
    "openai_costs",
    "anthropic_costs",
    "focus_file",
)
NOW = datetime(2026, 12, 3, tzinfo=UTC)
COMMITTED = datetime(2026, 12, 3, 4, 5, 6, tzinfo=UTC)
"""When all loads are, by the clock of the surroundings."""


async def loaded(around: Surroundings, name: str, lines: Any = None) -> dict[str, CheckPart]:
    """What was found, the worst of two loads: Azure has bills with and without roles."""
    bill, before = load_ledger(name), len(around.heard.events)
    folder = around.landing / str(around.tenant)
    folder.mkdir(parents=True, exist_ok=True)
    files, roles = dict[str, Any](), dict[str, str]()
    for role, frame in by_role(bill.frame(list(lines or bill.lines))):
        file = f"{role or 'bill'}.parquet"
        frame.write_parquet(folder / file)
        (roles if role else files)[role or "raw"] = file
    if roles:
        files["raw_roles"] = roles
    for table, some in files.items():
        raw = {"target_table": f"${{tenant_id}}.{table}", "slice": "2026-11"}
        await around.run("ingest.file", {"files": some, **raw})
        focus = {"source_table": raw["target_table"], "slice": "2026-11"}
        await around.run("cost.focus", {"mapping": bill.mapping, **focus})
    told = [event for event in around.heard.events[before:] if isinstance(event, QualityCheckedV1)]
    checks = [check for event in told for check in event.checks]
    return {check.name: check for check in sorted(checks, key=lambda each: each.status != "PASSED")}


def by_role(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    if ROLE not in frame.columns:
        yield "", frame
        return
    for (role,), rows in frame.group_by(ROLE, maintain_order=True):
        yield str(role), rows.drop(ROLE)


@pytest.mark.parametrize("name", LEDGERS)
async def test_every_ledger_conforms(around: Surroundings, name: str) -> None:
    checks = await loaded(around, name)
    rules = [check["name"] for check in conformance()]
    assert len(rules) > 100
    assert set(rules) <= set(checks)
    broken = {rule: checks[rule].observed for rule in rules if checks[rule].status != "PASSED"}
    assert broken == {}
    assert {check["name"] for check in cost_rows()} <= set(checks)


OLDER = {file.name: file.read_bytes() for file in exports_of("focus_file")}


@pytest.mark.parametrize("name", OLDER)
async def test_files_of_older_versions_conform(around: Surroundings, name: str) -> None:
    around.deliver(name, OLDER[name])
    table = {"target_table": "${tenant_id}.raw", "slice": "2026-09"}
    await around.run("ingest.file", {"files": name, **table})
    focus = {"mapping": "focus_file", "source_table": "${tenant_id}.raw", "slice": "2026-09"}
    await around.run("cost.focus", focus)
    rules = {check["name"] for check in conformance()}
    assert rules <= set(around.heard.checks)
    assert {
        n for n, status in around.heard.checks.items() if n in rules and status != "PASSED"
    } == set()


async def test_what_a_sender_has_of_its_own_reaches_the_table(around: Surroundings) -> None:
    first, second = load_ledger("focus_file").lines[:2]
    own = {**first.given, "x_CostModel": "flex", "x_provider": "theirs"}
    await loaded(around, "focus_file", [Line("own", own, ()), second])
    rows = await around.rows("SELECT x_costmodel AS m, x_provider AS p FROM $.focus_costs")
    assert sorted(str(row["m"]) for row in rows) == ["None", "flex"]
    assert "theirs" not in {row["p"] for row in rows}


async def test_broken_rules_are_reported_and_the_load_goes_on(around: Surroundings) -> None:
    given = dict(load_ledger("focus_file").lines[0].given)
    wrong = {
        **given,
        "BilledCost": "-3",
        "Tags": '{"team": {"name": "data"}}',
        "SkuPriceId": "p",
        "SkuPriceDetails": '{"Colour": "red"}',
        "ContractApplied": '{"Elements": []}',
    }
    checks = await loaded(around, "focus_file", [Line("wrong", wrong, ())])
    failed = {name for name, check in checks.items() if check.status == "FAILED"}
    assert failed >= {
        "only_credits_and_corrections_are_negative",
        "Tags-C-001-M",
        "SkuPriceDetails-C-017-C",
        "ContractAppliedObject-O-067-M",
    }
    assert not failed & {"SkuPriceDetails-C-001-M", "ContractApplied-C-001-M"}
    (row,) = await around.rows("SELECT SUM(BilledCost) AS c FROM $.focus_costs")
    assert row["c"] == -3


async def test_dq_check_runs_the_same_rules_over_a_whole_table(around: Surroundings) -> None:
    await loaded(around, "aws_cur")
    config = {"table": "${tenant_id}.focus_costs", "suite": "focus_1_4"}
    assert (await around.run("dq.check", config)).rows > 0
    event = around.heard.events[-1]
    assert isinstance(event, QualityCheckedV1)
    assert {check.status for check in event.checks} == {"PASSED"}


def tally(days: dict[date, str]) -> Tally:
    found = Tally()
    found.days = {(day, "acc", "USD"): Decimal(cost) for day, cost in days.items()}
    found.used = {"a": set(days)}
    return found


def named(checks: list[CheckPart]) -> dict[str, CheckPart]:
    return {check.name: check for check in checks}


DAYS = {date(2026, 11, day): "100.5" for day in range(1, 29)}


@pytest.mark.parametrize(
    ("days", "odd"),
    [
        (DAYS, 0),
        ({**DAYS, date(2026, 11, 20): "400"}, 1),
        ({**DAYS, date(2026, 11, 28): "3"}, 1),
        ({**DAYS, date(2026, 11, 3): "400"}, 0),  # too early to know what is usual
    ],
)
def test_a_day_that_stands_out_is_told(days: dict[date, str], odd: int) -> None:
    found = named(history_checks(tally(days), {}, {}, NOW))["daily_cost_is_usual"]
    assert found.failing_rows == odd


def test_the_days_before_the_load_count_as_usual() -> None:
    before = {(date(2026, 10, day), "acc", "USD"): Decimal("1.5") for day in range(20, 31)}
    found = named(history_checks(tally({date(2026, 11, 1): "90"}), {}, before, NOW))
    detail = "2026-11-01 account acc: 90 USD against 1.5"
    assert found["daily_cost_is_usual"].detail == detail


@pytest.mark.parametrize("other", [("other", "USD"), ("acc", "EUR")])
def test_what_is_usual_of_an_account_in_a_currency_is_so_of_no_other(
    other: tuple[str, str],
) -> None:
    before = {
        (date(2026, 10, day), *of): Decimal(cost)
        for day in range(20, 31)
        for of, cost in ((("acc", "USD"), "90"), (other, "1.5"))
    }
    found = tally({date(2026, 11, 1): "90"})
    assert named(history_checks(found, {}, before, NOW))["daily_cost_is_usual"].failing_rows == 0
    found.days[date(2026, 11, 1), *other] = Decimal(90)
    odd = named(history_checks(found, {}, before, NOW))["daily_cost_is_usual"].detail
    assert odd == f"2026-11-01 account {other[0]}: 90 {other[1]} against 1.5"


async def test_days_are_compared_with_the_same_accounts_whole_days(around: Surroundings) -> None:
    base = load_ledger("focus_file").lines[0].given

    async def odd(table: str, slice_: str, month: str, account: str, cost: str) -> str:
        after = f"2026-{int(month[5:]) + 1:02}-01"
        period = {"BillingPeriodStart": f"{month}-01", "BillingPeriodEnd": after}
        whose = {"BillingAccountId": account, "BilledCost": cost, "EffectiveCost": cost}
        days = [
            {"ChargePeriodStart": f"{month}-{day:02}", "ChargePeriodEnd": f"{month}-{day + 1:02}"}
            for day in range(1, 15)
        ]
        rows = pl.DataFrame([base | period | whose | day for day in days])
        around.deliver("bill.csv", rows.write_csv().encode())
        raw = {"target_table": f"${{tenant_id}}.{table}", "slice": slice_}
        await around.run("ingest.file", {"files": "bill.csv", **raw})
        of = {"mapping": "focus_file", "source_table": raw["target_table"], "slice": slice_}
        await around.run("cost.focus", of)
        told = [event for event in around.heard.events if isinstance(event, QualityCheckedV1)]
        checks = {check.name: check for event in told for check in event.checks}
        return checks["daily_cost_is_usual"].detail

    assert await odd("raw_b", "2026-09", "2026-09", "b", "1000") == ""
    assert await odd("raw_a", "east-09", "2026-09", "a", "60") == ""
    # One part of an account beside another, which comes second.
    assert await odd("raw_a", "west-09", "2026-09", "a", "40") == ""
    assert "2026-10-01 account a: 60 USD against 100" in await odd(
        "raw_a", "east-10", "2026-10", "a", "60"
    )
    assert await odd("raw_a", "west-10", "2026-10", "a", "40") == ""
    # What gives way does not count beside what takes its place.
    assert "2026-10-01 account a: 140 USD against 100" in await odd(
        "raw_a", "west-10", "2026-10", "a", "80"
    )


def test_days_that_are_missing_are_told() -> None:
    days = {day: cost for day, cost in DAYS.items() if day.day not in {5, 6}}
    assert named(history_checks(tally(days), {}, {}, NOW))["no_day_is_missing"].detail == "a (2)"


async def test_cost_is_told_of_all_the_days_there_are(around: Surroundings) -> None:
    await loaded(around, "focus_file")
    costs = Costs(around.tools.warehouse)

    async def charges(first: date, last: date) -> int:
        asked = GetCostV1(
            tenant_id=around.tenant, group_by=("service",), from_date=first, to_date=last
        )
        (told,) = await costs.on_get_cost(asked, Context(delivery(asked).envelope))
        assert isinstance(told, CostV1)
        return sum(group.charges for group in told.groups)

    assert await charges(date.min, date.max) == len(load_ledger("focus_file").lines)
    assert await charges(date.max, date.max) == 0
    assert await charges(date.min, date.min) == 0


async def test_sources_are_those_that_were_loaded_since(around: Surroundings) -> None:
    costs = Costs(around.tools.warehouse)

    async def sources(since: datetime) -> list[tuple[str, date]]:
        asked = GetCostSourcesV1(tenant_id=around.tenant, loaded_since=since)
        (told,) = await costs.on_get_cost_sources(asked, Context(delivery(asked).envelope))
        assert isinstance(told, CostSourcesV1)
        assert all(one.loaded_at == COMMITTED for one in told.sources)
        return [(one.source, one.newest_period) for one in told.sources]

    assert await sources(COMMITTED) == []
    for name in ("openai_costs", "aws_cur"):
        await loaded(around, name)
    both = [("aws", date(2026, 11, 1)), ("openai", date(2028, 2, 1))]
    assert await sources(COMMITTED) == both
    assert await sources(COMMITTED + timedelta(seconds=1)) == []


def test_a_month_may_be_the_last_there_is() -> None:
    last = (datetime(9999, 12, 1, tzinfo=UTC), "acc", "USD")
    checks = named(history_checks(Tally(), {last: (Decimal(10), Decimal(0))}, {}, NOW))
    assert checks["closed_periods_stay"].status == "PASSED"


def test_a_closed_month_that_changes_is_told_with_the_difference() -> None:
    key = (datetime(2026, 10, 1, tzinfo=UTC), "acc", "USD")
    change = {key: (Decimal(10), Decimal("10.25"))}
    checks = named(history_checks(Tally(), change, {}, NOW))
    assert checks["closed_periods_stay"].detail == "2026-10 account acc: 0.25 USD"
    checks = named(history_checks(Tally(), {key: (Decimal(10), Decimal(10))}, {}, NOW))
    assert checks["closed_periods_stay"].status == "PASSED"


@pytest.mark.parametrize(("newest", "status"), [(30, "PASSED"), (20, "FAILED")])
def test_charges_that_lag_behind_are_told(newest: int, status: str) -> None:
    found = Tally()
    found.newest = datetime(2026, 11, newest, tzinfo=UTC)
    found.period_end = datetime(2026, 12, 1, tzinfo=UTC)
    assert named(history_checks(found, {}, {}, NOW))["charges_are_recent"].status == status


RECENT = {
    "a month's fee": ([("Usage", "", 10, 11), ("Purchase", "", 1, 30)], "216"),
    "what is stored for a month": ([("Usage", "", 10, 11), ("Usage", "", 1, 30)], "216"),
    "what nobody used": ([("Usage", "", 10, 11), ("Usage", "Unused", 19, 20)], "216"),
    "what somebody used": ([("Usage", "", 10, 11), ("Usage", "Used", 18, 19)], "24"),
    "usage of a month alone": ([("Usage", "", 1, 30), ("Tax", "", 1, 2)], "0"),
    "no usage": ([("Purchase", "", 1, 18)], "48"),
}


@pytest.mark.parametrize(("charges", "hours"), RECENT.values(), ids=RECENT)
def test_usage_of_a_day_says_how_recent_a_bill_is(
    charges: list[tuple[str, str, int, int]], hours: str
) -> None:
    bill = load_ledger("focus_file")
    month = {"BillingPeriodStart": "2026-11-01", "BillingPeriodEnd": "2026-12-01"}
    lines = [
        Line(
            category,
            bill.lines[0].given
            | month
            | {"ChargeCategory": category, "CommitmentDiscountStatus": status}
            | {"CommitmentDiscountId": status and "c", "ChargePeriodStart": f"2026-11-{first:02}"}
            | {"ChargePeriodEnd": f"2026-11-{last:02}"},
            (),
        )
        for category, status, first, last in charges
    ]
    at = datetime(2026, 11, 20, tzinfo=UTC)
    checks = named(history_checks(bill.convert(lines)[1].tally, {}, {}, at))
    assert checks["charges_are_recent"].observed == hours


PLAN, RESERVATION = "savingsplan/sp-1", "ri:db-1"
COVERED = {
    "whole": ({}, ""),
    "a part was paid upfront": ({"The upfront fee": None}, ""),
    "rounded": ({"An hour that the plan": "5.9999999999"}, ""),
    "a covered line is missing": ({"An hour that the plan": None}, PLAN),
    "a covered line costs a cent less, and more": ({"An hour that the plan": "5.98"}, PLAN),
    "upfront alone, in the month of the purchase": ({"The upfront fee": "1200"}, ""),
    "usage is missing": ({"Usage under the reservation": None}, RESERVATION),
}


@pytest.mark.parametrize(("changes", "torn"), COVERED.values(), ids=COVERED)
def test_a_commitment_costs_what_it_covers(changes: dict[str, str | None], torn: str) -> None:
    bill = load_ledger("aws_cur")
    cost = {"An hour that the plan": "savings_plan_savings_plan_effective_cost"}
    lines = []
    for line in bill.lines:
        title = next((each for each in changes if line.title.startswith(each)), None)
        told = changes[title] if title else ""
        if title and told:
            own = {cost.get(title, "line_item_unblended_cost"): told}
            lines.append(Line(line.title, line.given | own, ()))
        # The ledger has no usage for the fee of "A reservation without unused hours".
        elif told is not None and not line.title.startswith("A reservation without"):
            lines.append(line)
    checks = named(history_checks(bill.convert(lines)[1].tally, {}, {}, NOW))
    found = checks["commitments_cost_what_they_cover"].detail
    assert found.endswith(torn) if torn else not found


def test_a_refund_of_a_fee_changes_nothing_of_what_the_fee_covers() -> None:
    bill = load_ledger("aws_cur")
    fees = [line for line in bill.lines if not line.title.startswith("A refund of")]
    assert len(fees) < len(bill.lines)
    name = "commitments_cost_what_they_cover"
    refunded = named(history_checks(bill.convert(bill.lines)[1].tally, {}, {}, NOW))[name]
    paid = named(history_checks(bill.convert(fees)[1].tally, {}, {}, NOW))[name]
    assert refunded.detail == paid.detail

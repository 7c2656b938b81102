"""Checks of a table: one scan, observed values, keys of failing rows, severities."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from contracts.quality import CheckPart, QualityCheckedV1
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.checks import Config, compile_checks
from services.executor.steps.dq_check import DqCheck
from services.executor.steps.step import StepError
from services.executor.steps.tools import Tools
from tests.executor.stage import Heard, given, step

ROWS = """
SELECT 1 AS id, 'a' AS kind, 1.5 AS cost, DATE '2026-01-31' AS day, 'x@y.z' AS mail, 1 AS owner
UNION ALL SELECT 2, 'b', -2.0, DATE '2026-01-31', 'nobody', 2
UNION ALL SELECT 2, NULL, 3.0, DATE '2026-01-30', 'p@q.r', 9
UNION ALL SELECT 4, 'z', 4.0, DATE '2026-01-29', 's@t.u', NULL
"""


@pytest.fixture
async def bill(warehouse: Warehouse) -> Warehouse:
    await warehouse.query(f"CREATE TABLE acme.bill AS {ROWS}")
    await warehouse.query("CREATE TABLE acme.owners AS SELECT 1 AS owner UNION ALL SELECT 2")
    return warehouse


async def checked(tools: Tools, *checks: dict[str, Any], **more: Any) -> tuple[CheckPart, ...]:
    """All checks as warnings, so that what was found is returned."""
    config = {"table": "${tenant_id}.bill", "key": ["id"], **more}
    config["checks"] = [{"severity": "warn", **check} for check in checks]
    heard = Heard()
    await DqCheck(tools).run(given(step("dq.check", config), heard))
    event = heard.said["quality"]
    assert isinstance(event, QualityCheckedV1)
    return event.checks


FAILING: list[tuple[dict[str, Any], int, set[int]]] = [
    ({"type": "not_null", "column": "kind"}, 1, {2}),
    ({"type": "expect_column_values_to_not_be_null", "column": "owner"}, 1, {4}),
    ({"type": "unique", "column": "id"}, 2, {2}),
    ({"type": "unique_together", "columns": ["id", "day"]}, 0, set()),
    ({"type": "in_set", "column": "kind", "value_set": ["a", "b"]}, 1, {4}),
    ({"type": "between", "column": "cost", "min_value": 0, "max_value": 3}, 2, {2, 4}),
    ({"type": "regex", "column": "mail", "regex": "^.+@.+$"}, 1, {2}),
    (
        {
            "type": "referential",
            "column": "owner",
            "other_table": "acme.owners",
            "other_column": "owner",
        },
        1,
        {2},
    ),
    ({"type": "sql", "condition": "cost > 0 OR kind = 'b'"}, 0, set()),
    ({"type": "sql", "condition": "cost > id"}, 2, {2, 4}),
]


@pytest.mark.parametrize(("check", "failing", "keys"), FAILING, ids=lambda x: str(x)[:50])
async def test_failing_rows_are_counted_and_named(
    tools: Tools, bill: Warehouse, check: dict[str, Any], failing: int, keys: set[int]
) -> None:
    (found,) = await checked(tools, check)
    assert (found.failing_rows, found.row_count) == (failing, 4)
    assert {sample["id"] for sample in found.samples} == keys
    assert found.status == ("FAILED" if failing else "PASSED")
    assert found.kind.startswith("expect_")


async def test_all_checks_of_a_table_are_one_scan(tools: Tools, bill: Warehouse) -> None:
    found = await checked(tools, *(check for check, _, _ in FAILING))
    assert [part.failing_rows for part in found] == [failing for _, failing, _ in FAILING]
    config = Config(table="acme.bill", checks=[check for check, _, _ in FAILING])  # type: ignore[arg-type]
    assert compile_checks(config, "`acme.bill`").sql("").count("`acme.bill`") == 1


async def test_mostly_lets_some_rows_fail(tools: Tools, bill: Warehouse) -> None:
    (found,) = await checked(tools, {"type": "not_null", "column": "kind", "mostly": 0.75})
    assert (found.status, found.failing_rows, found.expected) == ("PASSED", 1, "at most 1")


async def test_only_the_wanted_rows_are_looked_at(tools: Tools, bill: Warehouse) -> None:
    (found,) = await checked(tools, {"type": "row_count", "min_value": 3}, where="day = ${date}")
    assert (found.status, found.observed, found.expected) == ("FAILED", "2 rows", "at least 3")


async def test_freshness_is_measured_against_now(tools: Tools, bill: Warehouse) -> None:
    (old,) = await checked(tools, {"type": "freshness", "column": "day", "max_age_hours": 24})
    age = datetime.now(UTC) - datetime(2026, 1, 31, tzinfo=UTC)
    hours = age / timedelta(hours=1) + 1
    (new,) = await checked(tools, {"type": "freshness", "column": "day", "max_age_hours": hours})
    assert (old.status, new.status) == ("FAILED", "PASSED")
    assert "2026-01-31" in old.observed


@pytest.mark.parametrize(("today", "status"), [(11, "PASSED"), (60, "FAILED"), (0, "FAILED")])
async def test_an_unusual_volume_is_noticed(
    tools: Tools, warehouse: Warehouse, today: int, status: str
) -> None:
    counts = {date(2026, 1, 31): today} | {
        date(2026, 1, 31) - timedelta(days=n): 10 + n % 3 for n in range(1, 15)
    }
    rows = " UNION ALL ".join(
        f"SELECT {n} AS id, DATE '{day}' AS day"
        for day, count in counts.items()
        for n in range(count)
    )
    await warehouse.query(f"CREATE TABLE acme.bill AS {rows}")
    (found,) = await checked(tools, {"type": "volume", "column": "day"}, key=[])
    assert (found.status, found.observed) == (status, f"{today} rows")


async def test_a_failing_check_fails_the_step_and_says_why(tools: Tools, bill: Warehouse) -> None:
    heard = Heard()
    checks = [{"type": "not_null", "column": "kind", "name": "kind is known"}]
    part = step("dq.check", {"table": "acme.bill", "checks": checks})
    with pytest.raises(StepError) as caught:
        await DqCheck(tools).run(given(part, heard))
    assert caught.value.code == "data_quality"
    assert "kind is known: 1 of 4 rows fail, expected at most 0" in caught.value.detail
    assert "quality" in heard.said


async def test_an_empty_table_has_no_failing_rows(tools: Tools, warehouse: Warehouse) -> None:
    await warehouse.query("CREATE TABLE acme.bill AS SELECT 1 AS id, 'a' AS kind LIMIT 0")
    (found,) = await checked(tools, {"type": "not_null", "column": "kind"})
    assert (found.status, found.row_count) == ("PASSED", 0)


ROW_COUNT = {"type": "row_count"}
STOLEN = "EXISTS(SELECT 1 FROM other.t)"
REFERENCE = {
    "type": "referential",
    "column": "id",
    "other_table": "other.t",
    "other_column": "id",
}


@pytest.mark.parametrize(
    "config",
    [
        {"table": "other.bill", "checks": [ROW_COUNT]},
        {"table": "acme.bill", "where": STOLEN, "checks": [ROW_COUNT]},
        {"table": "acme.bill", "checks": [{"type": "sql", "condition": STOLEN}]},
        {"table": "acme.bill` AS t, other.x --", "checks": [ROW_COUNT]},
        {"table": "acme.bill", "checks": [REFERENCE]},
    ],
)
async def test_a_check_reads_nothing_of_others(
    tools: Tools, warehouse: Warehouse, config: dict[str, Any]
) -> None:
    with pytest.raises(StepError) as caught:
        await DqCheck(tools).run(given(step("dq.check", config)))
    assert caught.value.code == "sql_not_allowed"

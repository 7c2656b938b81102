"""`transform.sql`: models made anew, merged by key, replaced by day; never half done."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.quality import SchemaDriftedV1
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.step import Spent, StepError, StepResult, StepRun
from services.executor.steps.tools import Tools
from services.executor.steps.transform_sql import TransformSql
from tests.executor.stage import Heard, given, step

MERGE = {"materialized": "incremental", "unique_key": ["id"]}
DAYS = {"materialized": "incremental", "strategy": "replace_days", "partition_by": "day"}


def model(sql: str, **config: Any) -> StepRun:
    config = {"sql": sql, "target_table": "${tenant_id}.model", **config}
    return given(step("transform.sql", config))


async def make(tools: Tools, sql: str, **config: Any) -> StepResult:
    return await TransformSql(tools).run(model(sql, **config))


async def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    found = await warehouse.query("SELECT * FROM acme.model ORDER BY 1, 2")
    return [tuple(row.values()) for row in found]


async def test_a_table_is_made_anew_each_time(tools: Tools, warehouse: Warehouse) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v")
    done = await make(tools, "SELECT 2 AS id, 'b' AS v")
    assert (await rows(warehouse), done.rows) == ([(2, "b")], 1)


async def test_rows_are_merged_by_key(tools: Tools, warehouse: Warehouse) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v UNION ALL SELECT 2, 'b'", **MERGE)
    await make(tools, "SELECT 2 AS id, 'B' AS v UNION ALL SELECT 3, 'c'", **MERGE)
    assert await rows(warehouse) == [(1, "a"), (2, "B"), (3, "c")]
    assert await warehouse.tables("acme") == ["model"]


async def test_days_are_replaced_whole(tools: Tools, warehouse: Warehouse) -> None:
    first = "SELECT DATE '2026-01-30' AS day, 1 AS n UNION ALL SELECT DATE '2026-01-31', 2"
    await make(tools, first, **DAYS)
    again = "SELECT ${date} AS day, 7 AS n UNION ALL SELECT ${date}, 8"
    await make(tools, again, **DAYS)
    assert [(str(day), n) for day, n in await rows(warehouse)] == [
        ("2026-01-30", 1),
        ("2026-01-31", 7),
        ("2026-01-31", 8),
    ]
    await make(tools, f"{again} LIMIT 0", **DAYS)
    assert len(await rows(warehouse)) == 3


async def test_rows_are_appended(tools: Tools, warehouse: Warehouse) -> None:
    appending = {"materialized": "incremental", "strategy": "append"}
    await make(tools, "SELECT 1 AS id, 'a' AS v", **appending)
    await make(tools, "SELECT 1 AS id, 'a' AS v", **appending)
    assert await rows(warehouse) == [(1, "a"), (1, "a")]


async def test_the_query_for_later_runs_may_differ(tools: Tools, warehouse: Warehouse) -> None:
    later = {"incremental_sql": "SELECT 9 AS id, 'later' AS v", **MERGE}
    for _ in range(2):
        await make(tools, "SELECT 1 AS id, 'first' AS v", **later)
    assert await rows(warehouse) == [(1, "first"), (9, "later")]


async def test_a_run_that_is_repeated_changes_nothing_more(
    tools: Tools, warehouse: Warehouse
) -> None:
    run = model(
        "SELECT 1 AS id, GENERATE_UUID() AS v", materialized="incremental", strategy="append"
    )
    first = await TransformSql(tools).run(run)
    again = await TransformSql(tools).run(run)
    assert first == again
    assert len(await rows(warehouse)) == 1
    await TransformSql(tools).run(replace(run, try_number=2))
    assert len(await rows(warehouse)) == 2


async def test_a_merge_that_is_repeated_after_its_staging_is_gone(
    tools: Tools, warehouse: Warehouse
) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v", **MERGE)
    run = model("SELECT 1 AS id, 'b' AS v", **MERGE)
    assert await TransformSql(tools).run(run) == await TransformSql(tools).run(run)
    assert await rows(warehouse) == [(1, "b")]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 AS id, 'b' AS v UNION ALL SELECT 1, 'c'", "key_not_unique"),
        ("SELECT CAST(NULL AS INT64) AS id, 'b' AS v", "key_not_unique"),
        ("SELECT 1 AS id, 'b' AS v, 2 AS more", "schema_changed"),
        ("SELECT * FROM other.t", "sql_not_allowed"),
    ],
)
async def test_what_cannot_be_merged_leaves_the_table_as_it_was(
    tools: Tools, warehouse: Warehouse, sql: str, code: str
) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v", **MERGE)
    with pytest.raises(StepError) as caught:
        await make(tools, sql, **MERGE)
    assert caught.value.code == code
    assert await rows(warehouse) == [(1, "a")]


@pytest.mark.parametrize(
    "config",
    [
        {"materialized": "incremental"},
        {"materialized": "incremental", "strategy": "replace_days"},
        {"unique_key": ["a; DROP TABLE x"]},
        {"target_table": "other.t"},
        {"target_table": "acme.x_meta_pipeline_runs"},
        {"target_table": "acme._convergence_staging_x"},
    ],
)
async def test_a_bad_config_is_refused(tools: Tools, config: dict[str, Any]) -> None:
    with pytest.raises(StepError) as caught:
        await make(tools, "SELECT 1 AS a", **config)
    assert caught.value.code in {"invalid_config", "target_not_allowed"}


async def test_a_plan_says_what_would_be_done(tools: Tools, warehouse: Warehouse) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v", **MERGE)
    plan = await TransformSql(tools).plan(model("SELECT * FROM acme.model", **MERGE))
    assert (plan.reads, plan.writes, plan.note) == (
        ("acme.model",),
        ("acme.model",),
        "acme.model: merge",
    )


async def test_every_job_of_a_model_is_counted_however_often_it_is_asked_for(
    tools: Tools, warehouse: Warehouse
) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v", **MERGE)
    run = model("SELECT id + 1 AS id, v FROM acme.model", **MERGE)
    counted = []
    for _ in range(2):  # the second time, only the commit is asked for and found done
        one = replace(run, spent=Spent())
        counted.append(one.spent.of(await TransformSql(tools).run(one)))
    first, again = counted
    assert first == again
    assert [job.rsplit("_", 2)[1] for job in first.job_ids] == ["commit", "look", "stage"]
    jobs = [await warehouse.adopt(job_id) for job_id in first.job_ids]
    assert first.bytes == sum(job.bytes_billed for job in jobs if job) > 0
    assert first.slot_ms == sum(job.slot_ms for job in jobs if job) >= len(jobs)


async def test_columns_that_a_model_gives_anew_are_told(tools: Tools) -> None:
    await make(tools, "SELECT 1 AS id, 'a' AS v", **MERGE)
    heard = Heard()
    run = replace(model("SELECT 1 AS id, 'b' AS v, 2 AS more", **MERGE), tell=heard)
    with pytest.raises(StepError, match="add it to the table"):
        await TransformSql(tools).run(run)
    drift = heard.said["drift"]
    assert isinstance(drift, SchemaDriftedV1)
    assert (drift.table, drift.added, drift.refused) == ("acme.model", ("more",), True)

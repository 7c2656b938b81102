"""`bq_etl.query`: what becomes of its target, once, whatever is lost on the way."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.pipelines import RetryPart
from contracts.runs import AttemptFinishedV1, RunStatus
from libs.testing.processes import EmulatorProcess
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.bq_etl_query import BqEtlQuery
from services.executor.steps.step import StepError, StepRun
from services.executor.steps.tools import Tools
from tests.executor.acting import Stage
from tests.executor.stage import given, requested, step

EMPTY: dict[str, Any] = {"write_disposition": "WRITE_EMPTY"}
APPEND: dict[str, Any] = {"write_disposition": "WRITE_APPEND"}


def query(sql: str, **config: Any) -> StepRun:
    config = {"source_query": sql, "target_table": "${tenant_id}.made", **config}
    return given(step("bq_etl.query", config))


async def made(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    rows = await warehouse.query("SELECT * FROM acme.made ORDER BY 1, 2")
    return [tuple(row.values()) for row in rows]


async def test_a_table_is_replaced_or_added_to(tools: Tools, warehouse: Warehouse) -> None:
    step_type = BqEtlQuery(tools)
    await step_type.run(query("SELECT 1 AS id, 'a' AS v"))
    await step_type.run(query("SELECT 2 AS id, 'b' AS v"))
    await step_type.run(query("SELECT 3 AS id, 'c' AS v", **APPEND))
    assert await made(warehouse) == [(2, "b"), (3, "c")]


async def test_a_table_that_must_be_empty_is_left_as_it_is(
    tools: Tools, warehouse: Warehouse
) -> None:
    await BqEtlQuery(tools).run(query("SELECT 1 AS id, 'a' AS v", **EMPTY))
    with pytest.raises(StepError) as caught:
        await BqEtlQuery(tools).run(query("SELECT 2 AS id, 'b' AS v", **EMPTY))
    assert caught.value.code == "bigquery_duplicate"
    assert await made(warehouse) == [(1, "a")]


async def test_one_partition_is_replaced(tools: Tools, warehouse: Warehouse) -> None:
    both = "SELECT d, 1 AS n FROM UNNEST([DATE '2026-01-30', DATE '2026-01-31']) AS d"
    await BqEtlQuery(tools).run(query(both, partition_by="d", cluster_by=["n"]))
    one_day: dict[str, Any] = {"target_table": "${tenant_id}.made$${date}"}
    await BqEtlQuery(tools).run(query("SELECT ${date} AS d, 7 AS n", **one_day))
    found = [(str(day), n) for day, n in await made(warehouse)]
    assert found == [("2026-01-30", 1), ("2026-01-31", 7)]


async def test_a_table_is_made_as_the_config_lays_it_out(
    tools: Tools, warehouse: Warehouse
) -> None:
    layout: dict[str, Any] = {"partition_by": "d", "cluster_by": ["n"]}
    await BqEtlQuery(tools).run(query("SELECT ${date} AS d, 1 AS n", **layout))
    table = warehouse._client.get_table(f"{warehouse.project}.acme.made")
    assert table.time_partitioning.field == "d"
    assert table.clustering_fields == ["n"]


async def test_values_are_bound_and_never_read_as_sql(tools: Tools, warehouse: Warehouse) -> None:
    hostile = "x'; DROP TABLE made; --"
    run = query("SELECT 1 AS id, ${parameters.v} AS v")
    request = run.request.model_copy(update={"parameters": {"v": hostile}})
    await BqEtlQuery(tools).run(replace(run, request=request))
    assert await made(warehouse) == [(1, hostile)]


async def test_the_same_try_adds_its_rows_once(tools: Tools, warehouse: Warehouse) -> None:
    run = query("SELECT 1 AS id, GENERATE_UUID() AS v", **APPEND)
    first, again = [await BqEtlQuery(tools).run(run) for _ in range(2)]
    assert first == again
    assert len(await made(warehouse)) == 1
    await BqEtlQuery(tools).run(replace(run, try_number=2))
    assert len(await made(warehouse)) == 2


async def test_a_job_whose_answer_was_lost_is_not_run_again_under_another_number(
    tools: Tools, warehouse: Warehouse, bigquery: EmulatorProcess
) -> None:
    """The whole of a step's tries, with every changing answer lost until the job is there."""
    step_type = Losing(tools, bigquery)
    stage = Stage()
    stage.types["bq_etl.query"] = step_type
    config = {"source_query": "SELECT 1 AS id, 'a' AS v", "target_table": "acme.made", **APPEND}
    part = step("bq_etl.query", config, retry=RetryPart(attempts=3, backoff_seconds=0))
    await stage.attempt(requested(part)).run()
    (end,) = stage.sent.all(AttemptFinishedV1)
    assert end.status is RunStatus.COMPLETED
    assert step_type.tries == [1, 1]
    assert await made(warehouse) == [(1, "a")]


class Losing(BqEtlQuery):
    """Its first try loses the answer to whatever it asks to be done."""

    def __init__(self, tools: Tools, emulator: EmulatorProcess) -> None:
        super().__init__(tools)
        self._emulator = emulator
        self.tries: list[int] = []

    async def run(self, given: StepRun) -> Any:
        self.tries.append(given.try_number)
        sql, _ = self._job(given)
        await self._tools.isolation.admit(sql, given.request)  # asks for a dry run, once
        self._emulator.ask_for(lose_answers=1 if len(self.tries) == 1 else 0)
        try:
            return await super().run(given)
        finally:
            self._emulator.ask_for()

"""What is cancelled, or takes too long, is ended in BigQuery too."""

import asyncio
import threading
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from google.api_core.exceptions import NotFound

from contracts.runs import RunRequestedV1, RunStatus
from contracts.steps import StepCompletedV1
from libs.warehouse import jobs
from libs.warehouse.jobs import QueryJob
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.bq_etl_query import BqEtlQuery
from services.executor.steps.dq_check import DqCheck
from services.executor.steps.step import StepRun
from services.executor.steps.tools import Tools
from services.executor.steps.transform_sql import TransformSql
from services.executor.steps.variables import BoundSql
from tests.executor.acting import Stage
from tests.executor.stage import Heard, requested, step

MANY = "UNNEST(GENERATE_ARRAY(1, 60000))"
PAIRS = f"SELECT COUNT(*) AS n FROM {MANY} AS a, {MANY} AS b WHERE MOD(a * b, 7) = 3"
"""Takes far longer than any test waits."""
QUERY = {"source_query": PAIRS, "target_table": "acme.made"}
MODEL = {"sql": PAIRS, "target_table": "acme.made"}
CHECKS = {"table": "acme.one", "checks": [{"type": "sql", "condition": f"({PAIRS}) > i"}]}


@pytest.fixture
async def stage(tools: Tools, warehouse: Warehouse) -> Stage:
    one = QueryJob(f"make-{uuid4()}", "SELECT 1 AS i", destination="acme.one")
    await warehouse.run_query_job(one)
    await tools.isolation.admit(BoundSql(PAIRS), requested(step("bq_etl.query", QUERY)))
    types = {
        "bq_etl.query": BqEtlQuery(tools),
        "transform.sql": TransformSql(tools),
        "dq.check": DqCheck(tools),
    }
    return Stage(types=types)


def job_of(request: RunRequestedV1, part: str = "job") -> str:
    return StepRun(request, request.definition.steps[0], 1, Heard()).job_id_of(part)


def ended(warehouse: Warehouse, job_id: str) -> str | None:
    """The reason for which a job ended; None while it runs."""
    job = warehouse._client.get_job(job_id)
    return (job.error_result or {}).get("reason", "done") if job.state == "DONE" else None


async def until_it_runs(warehouse: Warehouse, job_id: str, running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while not running.done():
            with suppress(NotFound):
                assert await asyncio.to_thread(ended, warehouse, job_id) is None
                return
            await asyncio.sleep(0.02)
    raise AssertionError(running)


async def until_it_ended(warehouse: Warehouse, job_id: str) -> str:
    async with asyncio.timeout(60):
        while True:
            reason = await asyncio.to_thread(ended, warehouse, job_id)
            if reason is not None:
                return reason
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("type_", "config", "part"),
    [
        ("bq_etl.query", QUERY, "job"),
        ("transform.sql", MODEL, "commit"),
        ("dq.check", CHECKS, "job"),
    ],
)
async def test_a_cancelled_run_ends_its_job(
    stage: Stage, warehouse: Warehouse, type_: str, config: dict[str, Any], part: str
) -> None:
    request = requested(step(type_, config))
    attempt = stage.attempt(request)
    running = asyncio.create_task(attempt.run())
    await until_it_runs(warehouse, job_of(request, part), running)
    await attempt.cancel()
    await running
    assert stage.sent.end.status is RunStatus.CANCELLED
    assert await until_it_ended(warehouse, job_of(request, part)) == "stopped"
    assert await warehouse.columns("acme.made") is None


async def test_a_step_out_of_time_ends_its_job(stage: Stage, warehouse: Warehouse) -> None:
    request = requested(step("bq_etl.query", QUERY, timeout_seconds=8))  # it has begun by then
    assert (await stage.run(request)).status is RunStatus.FAILED
    (said,) = stage.sent.all(StepCompletedV1)
    assert said.error.code == "timeout"
    assert await until_it_ended(warehouse, job_of(request)) == "stopped"


class Late:
    """BigQuery hears of a job only after it was first asked to end it."""

    def __init__(self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
        self._asked = threading.Event()
        self.asking = threading.Event()
        self._start, self._cancel = jobs.start, warehouse._client.cancel_job
        monkeypatch.setattr(jobs, "start", self.start)
        monkeypatch.setattr(warehouse._client, "cancel_job", self.cancel)

    def start(self, *given: Any) -> Any:
        self.asking.set()
        assert self._asked.wait(60)
        return self._start(*given)

    def cancel(self, *given: Any, **more: Any) -> Any:
        try:
            return self._cancel(*given, **more)
        finally:
            self._asked.set()


async def test_a_job_that_was_being_asked_for_when_time_ran_out_is_ended(
    stage: Stage, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    Late(warehouse, monkeypatch)
    request = requested(step("bq_etl.query", QUERY, timeout_seconds=3))
    assert (await stage.run(request)).status is RunStatus.FAILED
    assert await until_it_ended(warehouse, job_of(request)) == "stopped"


async def test_a_job_that_was_being_asked_for_when_its_run_was_cancelled_is_ended(
    stage: Stage, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Late(warehouse, monkeypatch)
    request = requested(step("bq_etl.query", QUERY))
    attempt = stage.attempt(request)
    running = asyncio.create_task(attempt.run())
    await asyncio.to_thread(late.asking.wait, 60)
    await attempt.cancel()
    await running
    assert stage.sent.end.status is RunStatus.CANCELLED
    assert await until_it_ended(warehouse, job_of(request)) == "stopped"

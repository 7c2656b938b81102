"""A deployment ends an executor while it works: its run goes on at once, and can be cancelled."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from contracts.identifiers import RunId
from contracts.message import Message
from contracts.runs import AttemptStartedV1, CancelRunV1, RunFinishedV1, RunStatus
from contracts.steps import StepStartedV1
from tests.faults.engine import PROJECT, Engine, engine

LEASE, GRACE = 120.0, 4.0
SLACK = 26.0
"""For a busy machine to notice that a process has ended."""
PIPELINE = """
pipeline_id: slow
steps:
  - id: long
    ps_type: bq_etl.query
    config:
      source_query: |
        SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 600000)) AS a,
        UNNEST(GENERATE_ARRAY(1, 600000)) AS b WHERE MOD(a * b, 7) = 3
      target_table: ${tenant_id}.made
"""


async def hear(under_test: Engine, wanted: Callable[[Message], bool], within: float) -> Message:
    async with asyncio.timeout(within), under_test.news:
        await under_test.news.wait_for(lambda: any(map(wanted, under_test.heard)))
    return next(filter(wanted, under_test.heard))


def jobs_of(under_test: Engine, run_id: RunId) -> list[tuple[str, str]]:
    """State, and the reason for which it ended, of each job of a run."""
    client = bigquery.Client(
        PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": under_test.environment["BIGQUERY_ENDPOINT"]},
    )
    jobs = [job for job in client.list_jobs() if job.job_id.startswith(f"run_{run_id}")]
    client.close()
    return [(job.state, (job.error_result or {}).get("reason", "")) for job in jobs]


async def until_jobs_are(under_test: Engine, run_id: RunId, wanted: list[tuple[str, str]]) -> None:
    async with asyncio.timeout(90):
        while await asyncio.to_thread(jobs_of, under_test, run_id) != wanted:  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.1)


async def test_a_run_is_handed_back_in_time_and_its_job_ends_when_it_is_cancelled(
    tmp_path: Path,
) -> None:
    settings = {"LEASE_SECONDS": f"{LEASE:g}", "SHUTDOWN_GRACE_SECONDS": f"{GRACE:g}"}
    async with engine(tmp_path, executors=1, **settings) as under_test:
        tenant = await under_test.onboard("acme")
        await under_test.save(tenant, "slow", PIPELINE)
        run_id = await under_test.submit(tenant, "slow")
        await hear(under_test, lambda m: isinstance(m, StepStartedV1), 90)
        await until_jobs_are(under_test, run_id, [("RUNNING", "")])

        told_at = time.monotonic()
        assert await asyncio.to_thread(under_test.kill, "executor-0", signal.SIGTERM) == 0
        assert time.monotonic() - told_at < GRACE + SLACK
        under_test.start("executor-1", "services.executor")
        again = await hear(
            under_test, lambda m: isinstance(m, AttemptStartedV1) and m.attempt == 2, LEASE / 2
        )
        assert isinstance(again, AttemptStartedV1)
        assert await asyncio.to_thread(jobs_of, under_test, run_id) == [("RUNNING", "")]

        cancel = CancelRunV1(tenant_id=tenant, run_id=run_id, requested_by="test")
        await under_test.bus.publisher.send(cancel)
        end = await hear(under_test, lambda m: isinstance(m, RunFinishedV1), LEASE / 2)
        assert isinstance(end, RunFinishedV1)
        assert end.status is RunStatus.CANCELLED
        await until_jobs_are(under_test, run_id, [("DONE", "stopped")])
        assert await under_test.warehouse.columns("acme.made") is None

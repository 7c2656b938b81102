"""Kill -9 of executors at random points: every run ends once, every effect happened once."""

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from contracts.identifiers import RunId, TenantId
from contracts.runs import RunFinishedV1, RunStatus
from tests.faults.engine import PROJECT, Engine, engine

SETTINGS = {"LEASE_SECONDS": "5", "MAX_ATTEMPTS": "100"}
TENANTS = ("acme", "bolt", "core", "dune")
MOST_OPEN = 8
TABLES = ("made", "added", "kept")
PIPELINE = """
pipeline_id: effects
steps:
  - id: make
    ps_type: bq_etl.query
    config:
      source_query: "SELECT i, i * 7 AS v FROM UNNEST(GENERATE_ARRAY(1, 20)) AS i"
      target_table: ${tenant_id}.made_${parameters.n}
  - id: first
    ps_type: bq_etl.query
    needs: [make]
    config:
      source_query: "SELECT i, v FROM ${tenant_id}.made_${parameters.n} WHERE v > 70"
      target_table: ${tenant_id}.added_${parameters.n}
      write_disposition: WRITE_APPEND
  - id: second
    ps_type: bq_etl.query
    needs: [first]
    config:
      source_query: "SELECT i + 100 AS i, v FROM ${tenant_id}.added_${parameters.n}"
      target_table: ${tenant_id}.added_${parameters.n}
      write_disposition: WRITE_APPEND
  - id: third
    ps_type: transform.sql
    needs: [make]
    config:
      sql: "SELECT i, v FROM ${tenant_id}.made_${parameters.n}"
      target_table: ${tenant_id}.kept_${parameters.n}
      materialized: incremental
      unique_key: [i]
  - id: fourth
    ps_type: transform.sql
    needs: [third]
    config:
      sql: "SELECT i + 10 AS i, v + 1 AS v FROM ${tenant_id}.made_${parameters.n}"
      target_table: ${tenant_id}.kept_${parameters.n}
      materialized: incremental
      unique_key: [i]
  - id: check
    ps_type: dq.check
    needs: [second, fourth]
    config:
      table: ${tenant_id}.kept_${parameters.n}
      checks: [{type: unique, column: i}, {type: row_count, min_value: 30, max_value: 30}]
"""


async def contents(under_test: Engine, tenant: TenantId, n: int) -> dict[str, list[Any]]:
    """Every row of every table of one run."""
    found = {}
    for name in TABLES:
        rows = await under_test.warehouse.query(
            f"SELECT i, v FROM {tenant}.{name}_{n} ORDER BY i, v"
        )
        found[name] = [tuple(row.values()) for row in rows]
    return found


def jobs_done(under_test: Engine) -> Counter[str]:
    """How often each job of a step succeeded, over all its tries."""
    client = bigquery.Client(
        PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": under_test.environment["BIGQUERY_ENDPOINT"]},
    )
    done: Counter[str] = Counter()
    for job in client.list_jobs():
        if job.job_id.startswith("run_") and not job.error_result:
            _, run_id, generation, _, part_and_step = job.job_id.split("_", 4)
            done[f"{run_id}/{generation}/{part_and_step}"] += 1
    client.close()
    return done


async def kill_at_random(under_test: Engine, kills: int, chance: random.Random) -> None:
    """Mostly as a crash, sometimes as a deployment; what died is started again."""
    for number in range(kills):
        await asyncio.sleep(chance.uniform(0.05, 1.5))
        name = f"executor-{number % 2}"
        how = signal.SIGTERM if chance.random() < 0.1 else signal.SIGKILL
        await asyncio.to_thread(under_test.kill, name, how)
        under_test.start(name, "services.executor")


async def assert_kills_do_no_harm(directory: Path, kills: int, runs: int, seed: int) -> None:
    async with engine(directory, executors=2, **SETTINGS) as under_test:
        tenants = [await under_test.onboard(name) for name in TENANTS]
        for tenant in tenants:
            await under_test.save(tenant, "effects", PIPELINE)
        clean = await clean_run(under_test, tenants[0])
        killing = asyncio.create_task(kill_at_random(under_test, kills, random.Random(seed)))
        submitted: dict[RunId, tuple[TenantId, int]] = {}
        while not killing.done() or len(submitted) < runs:
            if len(submitted) - len(under_test.runs_of(RunFinishedV1)) < MOST_OPEN:
                n = len(submitted) + 1
                tenant = tenants[n % len(tenants)]
                submitted[await under_test.submit(tenant, "effects", n=n)] = (tenant, n)
            await asyncio.sleep(0.05)
        await killing
        ends = await under_test.wait_for(len(submitted) + 1, RunFinishedV1, within=200)
        assert_each_ended_once(ends, list(submitted))
        for tenant, n in submitted.values():
            assert await contents(under_test, tenant, n) == clean, f"run {n} of seed {seed}"
        twice = {job: n for job, n in jobs_done(under_test).items() if n != 1}
        assert not twice
        print(f"{kills} kills, {len(submitted)} runs, none lost or doubled")  # noqa: T201  asked for by -s


async def clean_run(under_test: Engine, tenant: TenantId) -> dict[str, list[Any]]:
    await under_test.submit(tenant, "effects", n=0)
    (end,) = await under_test.wait_for(1, RunFinishedV1, within=90)
    assert isinstance(end, RunFinishedV1)
    assert end.status is RunStatus.COMPLETED, end.error
    return await contents(under_test, tenant, 0)


def assert_each_ended_once(ends: list[Any], submitted: list[RunId]) -> None:
    counts = Counter(str(end.run_id) for end in ends)
    assert {run_id: counts[run_id] for run_id in submitted} == dict.fromkeys(submitted, 1)
    bad = [end for end in ends if end.status is not RunStatus.COMPLETED]
    assert not bad


@pytest.mark.timeout(600)
async def test_kills_of_executors_do_no_harm(tmp_path: Path) -> None:
    await assert_kills_do_no_harm(tmp_path, kills=20, runs=20, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_many_kills_of_executors_do_no_harm(tmp_path: Path) -> None:
    kills = int(os.environ.get("KILLS", "300"))
    await assert_kills_do_no_harm(
        tmp_path, kills, runs=kills, seed=int(os.environ.get("SEED", "2"))
    )

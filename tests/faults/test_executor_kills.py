"""Kill -9 of executors at random points: every run ends once, every effect happened once.

Beside the kills, requests come again, Pub/Sub delivers twice, and BigQuery's answers are lost.
"""

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from contracts.identifiers import RunId, TenantId
from contracts.runs import AttemptStartedV1, RunFinishedV1, RunRequestedV1, RunStatus
from contracts.steps import StepCompletedV1, StepStartedV1
from services.executor.steps.step import STAGING_PREFIX
from tests.faults.engine import PROJECT, Engine, engine

LEASE_SECONDS = 5.0
SETTINGS = {"LEASE_SECONDS": f"{LEASE_SECONDS:g}", "MAX_ATTEMPTS": "100"}
FAULTS = {"pubsub": {"duplicate": 0.1}, "bigquery": {"lose_answers": 0.03}}
SIGNS = (AttemptStartedV1, StepStartedV1, StepCompletedV1)
JOBS = {
    f"1/{job}"
    for job in (
        "job_make",
        "job_first",
        "job_second",
        "commit_third",
        "stage_fourth",
        "look_fourth",
        "commit_fourth",
        "job_check",
    )
}
"""By generation: what one clean run asks of BigQuery."""
TENANTS = ("acme", "bolt", "core", "dune", "edda", "fern", "gale", "hill")
MOST_OPEN = 16
RUNS_A_QUERY = 10
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


Contents = dict[str, list[tuple[int, int]]]


async def contents(under_test: Engine, tenant: TenantId, *numbers: int) -> dict[int, Contents]:
    """Every row of every table of some runs of one tenant, by run."""
    found: dict[int, Contents] = {n: {name: [] for name in TABLES} for n in numbers}
    for start in range(0, len(numbers), RUNS_A_QUERY):
        each = (
            f"SELECT '{name}' AS name, {n} AS n, i, v FROM {tenant}.{name}_{n}"
            for n in numbers[start : start + RUNS_A_QUERY]
            for name in TABLES
        )
        for row in await under_test.warehouse.query(" UNION ALL ".join(each)):
            found[row["n"]][row["name"]].append((row["i"], row["v"]))
    return {n: {name: sorted(rows) for name, rows in one.items()} for n, one in found.items()}


def jobs_done(under_test: Engine) -> dict[str, Counter[str]]:
    """How often each job of each run succeeded, over all its tries."""
    client = bigquery.Client(
        PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": under_test.environment["BIGQUERY_ENDPOINT"]},
    )
    done: dict[str, Counter[str]] = defaultdict(Counter)
    for job in client.list_jobs():
        if job.job_id.startswith("run_") and not job.error_result:
            _, run_id, generation, _, part_and_step = job.job_id.split("_", 4)
            done[run_id][f"{generation}/{part_and_step}"] += 1
    client.close()
    return done


@dataclass(slots=True)
class Kills:
    """Mostly crashes, some deployments, and requests that come again; what died starts again."""

    under_test: Engine
    tenants: Sequence[TenantId]
    chance: random.Random
    submitted: dict[RunId, tuple[TenantId, int]] = field(default_factory=dict)
    crashes: int = 0
    duplicates: int = 0

    async def go_on(self, crashes: int) -> None:
        for number in count():
            if self.crashes == crashes:
                return
            await self._submit()
            await self._work_goes_on()
            await asyncio.sleep(self.chance.uniform(0, 0.8))
            await self._ask_again()
            await self._end(f"executor-{number % 2}")

    async def _submit(self) -> None:
        """So there is always work that waits for nobody's lease to end."""
        if len(self.submitted) - len(self.under_test.runs_of(RunFinishedV1)) < MOST_OPEN:
            n = len(self.submitted) + 1
            tenant = self.tenants[n % len(self.tenants)]
            self.submitted[await self.under_test.submit(tenant, "effects", n=n)] = (tenant, n)

    async def _work_goes_on(self) -> None:
        """Some executor has got something done since the last kill: all did not die at birth."""
        before = self._signs()
        async with asyncio.timeout(120), self.under_test.news:
            await self.under_test.news.wait_for(lambda: self._signs() > before)

    def _signs(self) -> int:
        return sum(self.under_test.counts[kind] for kind in SIGNS)

    async def _end(self, name: str) -> None:
        how = signal.SIGTERM if self.chance.random() < 0.1 else signal.SIGKILL
        wanted = {-how, 0} if how is signal.SIGTERM else {-how}
        code = await asyncio.to_thread(self.under_test.kill, name, how)
        assert code in wanted, f"{name} had ended by itself: {code}"
        self.crashes += how is signal.SIGKILL
        self.under_test.start(name, "services.executor")

    async def _ask_again(self) -> None:
        """What was requested lately, and something old: new messages of the same facts."""
        requests = [m for m in self.under_test.heard if isinstance(m, RunRequestedV1)]
        for request in (requests[-1], self.chance.choice(requests)):
            await self.under_test.scheduler.send(request)
            self.duplicates += 1


async def assert_kills_do_no_harm(directory: Path, kills: int, seed: int) -> None:
    async with engine(directory, executors=2, **SETTINGS) as under_test:
        tenants = [await under_test.onboard(name) for name in TENANTS]
        for tenant in tenants:
            await under_test.save(tenant, "effects", PIPELINE)
        clean = await clean_run(under_test, tenants[0])
        under_test.ask_for_faults(FAULTS)
        trouble = Kills(under_test, tenants, random.Random(seed))
        await trouble.go_on(kills)
        submitted = trouble.submitted
        assert len(submitted) >= kills / 4
        await under_test.wait_for(len(submitted) + 1, RunFinishedV1, within=400)
        under_test.ask_for_faults({})
        await asyncio.sleep(LEASE_SECONDS * 1.5)  # whatever was still on its way has come
        ends = [m for m in under_test.heard if isinstance(m, RunFinishedV1)]
        assert_each_ended_once(ends, list(submitted))
        taken_up = assert_work_was_in_flight(under_test, kills)
        await assert_tables_are(clean, under_test, submitted)
        assert_jobs_ran_once(under_test, list(submitted))
        await assert_nothing_is_left(under_test, tenants)
        told = f"{kills} kills, {taken_up} attempts taken up, {trouble.duplicates} duplicates"
        print(f"{told}, {len(submitted)} runs, none lost or doubled")  # noqa: T201  asked for by -s


def assert_work_was_in_flight(under_test: Engine, kills: int) -> int:
    """Kills hit attempts, not only processes: others went on with what they had begun."""
    started = [m for m in under_test.heard if isinstance(m, AttemptStartedV1)]
    taken_up = {(str(m.run_id), m.attempt) for m in started if m.attempt > 1}
    assert len(taken_up) >= kills / 4
    return len(taken_up)


async def assert_tables_are(
    clean: Contents, under_test: Engine, submitted: Mapping[RunId, tuple[TenantId, int]]
) -> None:
    """Row by row, so by more than a checksum."""
    for tenant in {tenant for tenant, _ in submitted.values()}:
        numbers = [n for owner, n in submitted.values() if owner == tenant]
        for n, found in (await contents(under_test, tenant, *numbers)).items():
            assert found == clean, f"run {n} of {tenant}"


def assert_jobs_ran_once(under_test: Engine, submitted: list[RunId]) -> None:
    done = jobs_done(under_test)
    for run_id in submitted:
        assert done[run_id] == Counter(JOBS), run_id


async def assert_nothing_is_left(under_test: Engine, tenants: list[TenantId]) -> None:
    for tenant in tenants:
        tables = await under_test.warehouse.tables(str(tenant))
        assert [name for name in tables if name.startswith(STAGING_PREFIX)] == []


async def clean_run(under_test: Engine, tenant: TenantId) -> Contents:
    await under_test.submit(tenant, "effects", n=0)
    (end,) = await under_test.wait_for(1, RunFinishedV1, within=90)
    assert isinstance(end, RunFinishedV1)
    assert end.status is RunStatus.COMPLETED, end.error
    return (await contents(under_test, tenant, 0))[0]


def assert_each_ended_once(ends: list[Any], submitted: list[RunId]) -> None:
    counts = Counter(str(end.run_id) for end in ends)
    assert {run_id: counts[run_id] for run_id in submitted} == dict.fromkeys(submitted, 1)
    bad = [end for end in ends if end.status is not RunStatus.COMPLETED]
    assert not bad


@pytest.mark.timeout(900)
async def test_kills_of_executors_do_no_harm(tmp_path: Path) -> None:
    await assert_kills_do_no_harm(tmp_path, kills=20, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_many_kills_of_executors_do_no_harm(tmp_path: Path) -> None:
    kills = int(os.environ.get("KILLS", "300"))
    await assert_kills_do_no_harm(tmp_path, kills, seed=int(os.environ.get("SEED", "2")))

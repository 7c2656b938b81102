"""Jobs that BigQuery accepted and does not know any more, after a kill -9 of its emulator."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import EmulatorProcess, emulator
from libs.warehouse import jobs
from libs.warehouse.errors import ROWS_GONE, JobFailedError, UnavailableError
from libs.warehouse.jobs import LoadJob, QueryJob
from libs.warehouse.schema import Column, Dataset
from libs.warehouse.warehouse import Warehouse, WarehouseSettings

PROJECT = "convergence-local"
LONG = "SHA256(" * 6 + "CAST(i AS STRING)" + ")" * 6
ROWS = 100_000
SLOW = QueryJob(
    "slow",
    f"SELECT i, {LONG} AS v FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS i",
    destination="books.made",
    write_disposition="WRITE_APPEND",
)
LOAD = LoadJob(
    "load", ("gs://files/in/*",), "books.loaded", "CSV", schema=(Column("id", "STRING"),)
)
CALL_SECONDS = 1.0
"""Longer than the emulator waits before it answers that a job runs."""


class Mortal:
    """BigQuery's emulator; whoever comes after it has its port and its disk."""

    def __init__(self, life: ExitStack, state_dir: Path, storage_url: str) -> None:
        self._life, self._state_dir = life, state_dir
        self._env = {"STORAGE_EMULATOR_HOST": storage_url}
        self._running = self._begin(0)
        self.port = self._running.ports["rest"]

    def _begin(self, port: int) -> EmulatorProcess:
        return self._life.enter_context(
            emulator("bigquery", state_dir=self._state_dir, port=port, env=self._env)
        )

    def kill_and_return(self) -> None:
        self._running.kill()
        self._running = self._begin(self.port)


@pytest.fixture(scope="module")
def storage() -> Iterator[EmulatorProcess]:
    with emulator("storage", control=True) as running:
        yield running


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, storage: EmulatorProcess) -> Iterator[Mortal]:
    with ExitStack() as life:
        yield Mortal(life, tmp_path_factory.mktemp("bigquery"), url(storage))


def url(storage: EmulatorProcess) -> str:
    return f"http://127.0.0.1:{storage.ports['http']}"


@pytest.fixture
async def slow_files(storage: EmulatorProcess) -> AsyncIterator[None]:
    """What `LOAD` reads, and takes its time to read."""
    bucket = Bucket(BucketSettings(PROJECT, "files", url(storage)))
    await bucket.ensure()
    await bucket.create("in/a.csv", b"one\ntwo\n")
    storage.ask_for(delay_seconds=CALL_SECONDS)
    yield
    storage.ask_for()
    await bucket.close()


@pytest.fixture
async def warehouse(mortal: Mortal) -> AsyncIterator[Warehouse]:
    found = Warehouse.connect(
        WarehouseSettings(PROJECT, endpoint=f"http://127.0.0.1:{mortal.port}")
    )
    await found.ensure(Dataset("books"))
    yield found
    await found.drop_dataset(Dataset("books"))
    await found.close()


class DiesOnceAccepted:
    """The emulator is killed between the answer to a job's insert and the next question."""

    def __init__(self, start: Callable[..., tuple[Any, bool]], *kills: Callable[[], None]) -> None:
        self._start, self._kills = start, list(kills)
        self.states: list[str] = []
        """Of the job, as each insert answered it."""

    def __call__(self, *given: Any) -> tuple[Any, bool]:
        job, adopted = self._start(*given)
        self.states.append(job.state)
        if self._kills:
            self._kills.pop()()
        return job, adopted


async def count(warehouse: Warehouse, table: str) -> int:
    (row,) = await warehouse.query(f"SELECT COUNT(*) AS n FROM {table}")
    return int(row["n"])


@pytest.mark.usefixtures("slow_files")
@pytest.mark.parametrize(
    ("start", "wanted", "table", "rows"),
    [("start", SLOW, "books.made", ROWS), ("start_load", LOAD, "books.loaded", 2)],
    ids=["query", "load"],
)
async def test_a_job_that_is_not_known_any_more_is_begun_again(  # noqa: PLR0913, PLR0917  fixtures, and one case
    mortal: Mortal,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    wanted: QueryJob | LoadJob,
    table: str,
    rows: int,
) -> None:
    dying = DiesOnceAccepted(getattr(jobs, start), mortal.kill_and_return)
    monkeypatch.setattr(jobs, start, dying)
    if isinstance(wanted, QueryJob):
        done = await warehouse.run_query_job(wanted)
    else:
        done = await warehouse.run_load_job(wanted)
    assert dying.states == ["RUNNING", "RUNNING"]
    assert (done.job_id, done.rows) == (wanted.job_id, rows)
    assert await count(warehouse, table) == rows


async def test_a_job_that_gets_lost_again_and_again_may_be_asked_for_later(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(client: bigquery.Client, wanted: QueryJob) -> tuple[bigquery.QueryJob, bool]:
        return bigquery.QueryJob(wanted.job_id, wanted.sql, client), False

    one = QueryJob("one", "SELECT 1 AS one")
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "start", lost)
        with pytest.raises(UnavailableError, match="not known afterwards"):
            await warehouse.run_query_job(one)
    assert (await warehouse.run_query_job(one)).rows == 1


async def test_a_query_that_is_adopted_and_lost_was_never_there(
    mortal: Mortal, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.start(warehouse._client, replace(SLOW, job_id="adopted"))
    found = jobs.find(warehouse._client, "adopted")
    assert found.state == "RUNNING"
    dying = DiesOnceAccepted(lambda *_: (found, True), mortal.kill_and_return)
    monkeypatch.setattr(jobs, "find", lambda *given: dying(*given)[0])
    assert await warehouse.adopt("adopted") is None


async def test_rows_that_are_not_kept_any_more_are_had_under_another_id(
    mortal: Mortal, warehouse: Warehouse
) -> None:
    wanted = QueryJob("look", "SELECT 1 AS one")
    done = await warehouse.run_query_job(wanted)
    assert await warehouse.rows_of(done.job_id, limit=1) == [{"one": 1}]
    mortal.kill_and_return()
    assert (await warehouse.run_query_job(wanted)).adopted
    with pytest.raises(JobFailedError) as caught:
        await warehouse.rows_of("look", limit=1)
    assert (caught.value.reason, caught.value.is_fault) == (ROWS_GONE, True)


async def test_rows_of_a_job_that_is_not_known_may_be_asked_for_again(
    warehouse: Warehouse,
) -> None:
    with pytest.raises(UnavailableError, match="not known"):
        await warehouse.rows_of("never", limit=1)
    await warehouse.run_query_job(QueryJob("never", "SELECT 1 AS one"))
    assert await warehouse.rows_of("never", limit=1) == [{"one": 1}]


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM books.no_such", "SELECT * FROM nowhere.t"], ids=["table", "dataset"]
)
async def test_what_a_query_misses_is_its_own_failure(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(JobFailedError) as caught:
        await warehouse.run_query_job(QueryJob(f"misses-{sql[14:].replace('.', '-')}", sql))
    assert (caught.value.reason, caught.value.retryable) == ("notFound", False)


@pytest.mark.usefixtures("slow_files")
async def test_what_a_load_misses_is_its_own_failure(warehouse: Warehouse) -> None:
    missing = LoadJob("no-files", ("gs://files/no",), "books.loaded", "CSV")
    with pytest.raises(JobFailedError) as caught:
        await warehouse.run_load_job(missing)
    assert (caught.value.reason, caught.value.retryable) == ("notFound", False)

"""The warehouse against the BigQuery emulator, through Google's own clients."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from contracts.platform import ObjectAction
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import EmulatorProcess, emulator
from libs.warehouse.errors import (
    JobFailedError,
    RowRejectedError,
    SchemaConflictError,
    UnavailableError,
)
from libs.warehouse.jobs import JobProgress, LoadJob, QueryJob
from libs.warehouse.parameters import UnsupportedParameterError, query_parameters
from libs.warehouse.schema import Column, Dataset, Table, View, required
from libs.warehouse.warehouse import Warehouse, WarehouseSettings

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TABLE = Table(
    "books",
    "entries",
    (
        required("id", "STRING"),
        Column("at", "TIMESTAMP"),
        Column("on_day", "DATE"),
        Column("cost", "NUMERIC"),
        Column("tags", "STRING", "REPEATED"),
    ),
    partition_by="at",
    cluster_by=("id",),
)


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorProcess]:
    with emulator("bigquery", control=True) as found:
        yield found


def connect(ports: dict[str, int]) -> Warehouse:
    return Warehouse.connect(
        WarehouseSettings(
            "convergence-local",
            endpoint=f"http://127.0.0.1:{ports['rest']}",
            storage_endpoint=f"127.0.0.1:{ports['grpc']}",
        )
    )


@pytest.fixture
async def warehouse(running: EmulatorProcess) -> AsyncIterator[Warehouse]:
    found = connect(running.ports)
    await found.ensure(Dataset("books"), TABLE)
    yield found
    await found.drop_dataset(Dataset("books"))
    await found.close()


def row(id_: str) -> dict[str, object]:
    cost = Decimal("12345678901234567890.123456789")
    return {"id": id_, "at": NOW, "on_day": date(2026, 1, 2), "cost": cost, "tags": ["a", "b"]}


async def test_declared_objects_are_made_once(warehouse: Warehouse) -> None:
    view = View("books", "shown", "SELECT id FROM `{project}.books.entries`")
    first = await warehouse.ensure(Dataset("books"), TABLE, view)
    assert [made.action for made in first] == [
        ObjectAction.UNCHANGED,
        ObjectAction.UNCHANGED,
        ObjectAction.CREATED,
    ]
    again = await warehouse.ensure(Dataset("books"), TABLE, view)
    assert {made.action for made in again} == {ObjectAction.UNCHANGED}
    changed = await warehouse.ensure(replace(view, query=view.query + " WHERE id > ''"))
    assert changed[0].action is ObjectAction.MIGRATED


async def test_columns_are_added_and_never_changed(warehouse: Warehouse) -> None:
    await warehouse.append(TABLE, [row("old")])
    wider = replace(TABLE, columns=(*TABLE.columns, Column("note", "STRING")))
    assert (await warehouse.ensure(wider))[0].action is ObjectAction.MIGRATED
    await warehouse.append(wider, [{**row("new"), "note": "here"}])
    found = await warehouse.query("SELECT id, note FROM books.entries ORDER BY id")
    assert found == [{"id": "new", "note": "here"}, {"id": "old", "note": None}]
    other = replace(TABLE, columns=(required("id", "INT64"),))
    with pytest.raises(SchemaConflictError, match=r"books\.entries\.id"):
        await warehouse.ensure(other)


async def test_columns_that_several_add_at_the_same_time_are_all_there(
    warehouse: Warehouse,
) -> None:
    """Each has seen the table before the others' columns were in it."""
    ours = [[Column("shared", "STRING"), Column(f"own_{number}", "STRING")] for number in range(6)]
    wider = [replace(TABLE, columns=(*TABLE.columns, *columns)) for columns in ours]
    await asyncio.gather(*(warehouse.ensure(table) for table in wider))
    columns = await warehouse.columns("books.entries") or ()
    added = [column.name for column in columns[len(TABLE.columns) :]]
    assert sorted(added) == sorted({column.name for columns in ours for column in columns})


async def test_a_column_of_whole_numbers_is_widened(warehouse: Warehouse) -> None:
    narrow = Table("books", "narrow", (Column("n", "INT64"),))
    await warehouse.ensure(narrow)
    await warehouse.query(f"INSERT books.narrow (n) VALUES ({2**63 - 1})")
    wide = replace(narrow, columns=(Column("n", "BIGNUMERIC"), Column("note", "STRING")))
    actions = [(await warehouse.ensure(wide))[0].action for _ in range(2)]
    assert actions == [ObjectAction.MIGRATED, ObjectAction.UNCHANGED]
    assert await warehouse.query("SELECT * FROM books.narrow") == [
        {"n": Decimal(2**63 - 1), "note": None}
    ]
    with pytest.raises(SchemaConflictError, match=r"books\.narrow\.n"):
        await warehouse.ensure(narrow)


async def test_appended_rows_come_back_exactly(warehouse: Warehouse) -> None:
    await warehouse.append(TABLE, [row("one"), row("two")])
    found = await warehouse.query("SELECT * FROM books.entries WHERE id = @id", {"id": "one"})
    assert found == [row("one")]


@pytest.mark.xfail(strict=True, reason="bqemulator makes no BIGNUMERIC columns: 38 digits at most")
async def test_big_numbers_are_kept_to_the_last_digit(warehouse: Warehouse) -> None:
    table = Table("books", "exact", (Column("cost", "BIGNUMERIC"),))
    await warehouse.ensure(table)
    await warehouse.append(table, [{"cost": Decimal("0." + "1" * 38)}])
    assert await warehouse.query("SELECT * FROM books.exact") == [
        {"cost": Decimal("0." + "1" * 38)}
    ]


async def test_a_row_that_does_not_fit_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(RowRejectedError, match=r"row 1.*id is required"):
        await warehouse.append(TABLE, [row("good"), {"at": NOW}])
    with pytest.raises(RowRejectedError, match="no column colour"):
        await warehouse.append(TABLE, [{"id": "x", "colour": "red"}])
    with pytest.raises(RowRejectedError, match=r"row 1.*at does not fit timestamp") as refused:
        await warehouse.append(TABLE, [row("good"), {**row("bad"), "at": "s3cr3t-canary"}])
    assert "canary" not in str(refused.value)
    assert await warehouse.query("SELECT * FROM books.entries") == []


async def test_a_table_that_is_missing_or_old_is_waited_for_not_its_rows_refused(
    warehouse: Warehouse,
) -> None:
    young = Table("books", "young", (Column("id", "STRING"), Column("since_2_0", "STRING")))
    with pytest.raises(UnavailableError, match="bootstrap"):
        await warehouse.append(young, [{"id": "one"}])
    await warehouse.ensure(Table("books", "young", young.columns[:1]))
    with pytest.raises(UnavailableError, match=r"since_2_0.*bootstrap"):
        await warehouse.append(young, [{"id": "one"}])
    await warehouse.ensure(young)
    await warehouse.append(young, [{"id": "one"}])
    assert await warehouse.query("SELECT id FROM books.young") == [{"id": "one"}]


async def test_appends_and_queries_go_on_side_by_side(warehouse: Warehouse) -> None:
    async def append(number: int) -> None:
        await warehouse.append(TABLE, [row(f"{number}-{i}") for i in range(100)])

    async def query() -> None:
        await warehouse.query("SELECT COUNT(*) AS n FROM books.entries")

    await asyncio.gather(*(append(n) for n in range(20)), *(query() for _ in range(20)))
    (count,) = await warehouse.query("SELECT COUNT(DISTINCT id) AS n FROM books.entries")
    assert count == {"n": 2000}


def job(name: str, sql: str = "SELECT 1 AS one", **options: object) -> QueryJob:
    return replace(QueryJob(f"{name}", sql, destination="books.made"), **options)  # type: ignore[arg-type] # by name


async def test_a_job_runs_once_under_its_id(warehouse: Warehouse) -> None:
    wanted = job("append-once", write_disposition="WRITE_APPEND")
    results = await asyncio.gather(*(warehouse.run_query_job(wanted) for _ in range(5)))
    assert sorted(result.adopted for result in results) == [False, True, True, True, True]
    assert {result.rows for result in results} == {1}
    assert await warehouse.query("SELECT * FROM books.made") == [{"one": 1}]


async def test_rows_of_a_job_are_its_own_not_all_of_its_table(warehouse: Warehouse) -> None:
    """BigQuery counts all of the table as the result of a job that added to it."""
    three = "SELECT i FROM UNNEST([1, 2, 3]) AS i"
    await warehouse.run_query_job(job("rows-first", three))
    added = await warehouse.run_query_job(
        job("rows-added", "SELECT 4 AS i", write_disposition="WRITE_APPEND")
    )
    assert added.rows == 1
    again = await warehouse.run_query_job(job("rows-added"))
    assert (again.adopted, again.rows) == (True, 1)
    replaced = await warehouse.run_query_job(job("rows-replaced", three))
    assert replaced.rows == 3


async def test_a_long_job_tells_how_far_it_is(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 500_000
    numbers = f"SELECT i FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS i"
    await warehouse.run_query_job(job("many", numbers, destination="books.many"))
    monkeypatch.setattr("libs.warehouse.warehouse.LOOK_SECONDS", 0.05)
    long = "SHA256(" * 6 + "CAST(i AS STRING)" + ")" * 6
    told: list[JobProgress] = []
    wanted = job("long", f"SELECT i, {long} AS v FROM books.many")
    assert (await warehouse.run_query_job(wanted, told.append)).rows == rows
    assert told == sorted(told, key=lambda one: one.rows_read)
    partly = [one for one in told if one.fraction and one.fraction < 1]
    assert partly
    for one in partly:
        assert 0 < one.rows_read < rows
        assert 0 < one.bytes_read < rows * 8


async def test_a_job_whose_answer_was_lost_is_unknown_and_found_under_its_id(
    running: EmulatorProcess, warehouse: Warehouse
) -> None:
    wanted = job("answer-lost", write_disposition="WRITE_APPEND")
    running.ask_for(lose_answers=1)
    try:
        with pytest.raises(UnavailableError):
            await warehouse.run_query_job(wanted)
    finally:
        running.ask_for()
    assert (await warehouse.run_query_job(wanted)).adopted
    assert await warehouse.query("SELECT * FROM books.made") == [{"one": 1}]


async def test_a_job_is_adopted_after_kill_9(tmp_path: Path) -> None:
    with emulator("bigquery", state_dir=tmp_path) as first:
        before = connect(first.ports)
        await before.ensure(Dataset("books"), TABLE)
        await before.append(TABLE, [row("kept")])
        done = await before.run_query_job(job("kept-job"))
        first.kill()
        await before.close()
        with emulator("bigquery", state_dir=tmp_path) as second:
            after = connect(second.ports)
            again = await after.run_query_job(job("kept-job"))
            assert (again.adopted, again.rows) == (True, done.rows)
            assert await after.query("SELECT id FROM books.entries") == [{"id": "kept"}]
            await after.close()


async def test_files_are_loaded_once_under_an_id(tmp_path: Path) -> None:
    with (
        emulator("storage", control=True) as storage,
        emulator("bigquery", control=True, env={"STORAGE_EMULATOR_HOST": url(storage)}) as running,
    ):
        bucket = Bucket(BucketSettings("convergence-local", "files", url(storage)))
        await bucket.ensure()
        for part in ("a", "b"):
            await bucket.create(f"in/{part}.csv", f"id,cost\n{part},1.5\n".encode())
        await bucket.close()
        warehouse = connect(running.ports)
        await warehouse.ensure(Dataset("books"), TABLE)
        wanted = LoadJob(
            "load-1",
            ("gs://files/in/*",),
            "books.loaded",
            "CSV",
            schema=(Column("id", "STRING"), Column("cost", "NUMERIC")),
            skip_leading_rows=1,
        )
        first, again = [await warehouse.run_load_job(wanted) for _ in range(2)]
        assert (first.adopted, first.rows) == (False, 2)
        assert (again.adopted, again.rows) == (True, 2)
        found = await warehouse.query("SELECT id FROM books.loaded ORDER BY id")
        assert found == [{"id": "a"}, {"id": "b"}]
        lost = replace(wanted, job_id="load-2")
        running.ask_for(lose_answers=1)
        with pytest.raises(UnavailableError):
            await warehouse.run_load_job(lost)
        running.ask_for()
        assert (await warehouse.run_load_job(lost)).adopted
        assert await warehouse.query("SELECT COUNT(*) AS n FROM books.loaded") == [{"n": 4}]
        with pytest.raises(JobFailedError):
            await warehouse.run_load_job(replace(wanted, job_id="x", uris=("gs://files/no",)))
        storage.ask_for(error_rate=1)
        with pytest.raises(JobFailedError) as caught:
            await warehouse.run_load_job(replace(wanted, job_id="away"))
        assert (caught.value.reason, caught.value.retryable) == ("backendError", True)
        await warehouse.close()


def url(storage: EmulatorProcess) -> str:
    return f"http://127.0.0.1:{storage.ports['http']}"


def test_a_transaction_that_lost_against_another_is_not_to_blame() -> None:
    said = "Transaction is aborted due to concurrent update against table p:books.entries."
    lost = JobFailedError("swap", "invalidQuery", said)
    assert (lost.retryable, lost.is_fault) == (True, True)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [("SELECT nope FROM books.entries", "invalidQuery"), ("SELEC 1", "invalidQuery")],
)
async def test_a_failed_job_says_why(warehouse: Warehouse, sql: str, reason: str) -> None:
    with pytest.raises(JobFailedError) as caught:
        await warehouse.run_query_job(job(f"bad-{abs(hash(sql))}", sql))
    assert (caught.value.reason, caught.value.retryable) == (reason, False)
    assert "://" not in caught.value.message


async def test_a_limit_on_bytes_is_enforced(warehouse: Warehouse) -> None:
    await warehouse.append(TABLE, [row("one")])
    dear = job("dear", "SELECT * FROM books.entries", max_bytes_billed=1)
    with pytest.raises(JobFailedError) as caught:
        await warehouse.run_query_job(dear)
    assert caught.value.reason == "bytesBilledLimitExceeded"


async def test_a_dry_run_names_tables_behind_views(warehouse: Warehouse) -> None:
    view = View("books", "shown", "SELECT id FROM `{project}.books.entries`")
    await warehouse.ensure(view)
    await warehouse.append(TABLE, [row("one")])
    found = await warehouse.dry_run("SELECT * FROM books.shown")
    assert found.referenced_tables == (
        "convergence-local.books.shown",
        "convergence-local.books.entries",
    )
    assert found.bytes_processed > 0


async def test_a_warehouse_that_is_away_is_said_so() -> None:
    away = connect({"rest": 9, "grpc": 9})
    with pytest.raises(UnavailableError, match="a check"):
        await away.check()
    await away.close()


def test_what_cannot_be_bound_is_named() -> None:
    kinds = [p.to_api_repr()["parameterType"] for p in query_parameters({"a": True, "b": [1, 2]})]
    assert kinds == [{"type": "BOOL"}, {"type": "ARRAY", "arrayType": {"type": "INT64"}}]
    for value in ({}, [], [1, "x"], object()):
        with pytest.raises(UnsupportedParameterError, match="odd"):
            query_parameters({"odd": value})

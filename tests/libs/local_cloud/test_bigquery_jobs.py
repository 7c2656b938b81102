"""Jobs of the BigQuery emulator, through Google's client."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from libs.testing.processes import emulator
from tests.libs.local_cloud.bigquery_suite import (
    ONCE,
    SLOW,
    Books,
    books,
    connect,
    field,
    fresh,
    until,
)

__all__ = ["books"]


def new_id() -> str:
    return f"job-{uuid4().hex}"


def test_an_id_is_used_once_and_its_job_can_be_adopted(books: Books) -> None:
    job_id = new_id()
    books.run("CREATE TABLE t AS SELECT 1 AS a", job_id=job_id)
    with pytest.raises(exceptions.Conflict):
        books.query("INSERT t (a) VALUES (2)", job_id=job_id)
    adopted = books.client.get_job(job_id)
    assert (adopted.state, adopted.error_result) == ("DONE", None)
    assert books.rows("SELECT a FROM t") == [(1,)]


def test_of_concurrent_duplicates_exactly_one_runs(books: Books) -> None:
    books.run("CREATE TABLE t (a INT64)")
    job_id = new_id()

    def submit(_: int) -> str:
        try:
            return str(books.query("INSERT t (a) VALUES (1)", job_id=job_id).job_id)
        except exceptions.Conflict:
            return str(books.client.get_job(job_id).job_id)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(submit, range(16))) == {job_id}
    until(lambda: books.client.get_job(job_id).state == "DONE")
    assert books.rows("SELECT count(*) FROM t") == [(1,)]


def test_a_failed_job_keeps_its_id_and_its_reason(books: Books) -> None:
    job_id = new_id()
    with pytest.raises(exceptions.NotFound):
        books.run("SELECT * FROM missing", job_id=job_id)
    assert books.client.get_job(job_id).error_result["reason"] == "notFound"
    with pytest.raises(exceptions.Conflict):
        books.query("SELECT 1", job_id=job_id)


def test_a_slow_query_is_answered_at_once_and_blocks_nothing(books: Books) -> None:
    job = books.query(SLOW)
    assert job.state == "RUNNING"
    assert books.rows("SELECT 1") == [(1,)]
    assert books.client.get_job(job.job_id).state == "RUNNING"  # so nobody waited for its end
    assert job.job_id in {found.job_id for found in books.client.list_jobs(state_filter="running")}
    books.client.cancel_job(job.job_id)


def test_a_running_job_is_cancelled(books: Books) -> None:
    job = books.query(SLOW)
    books.client.cancel_job(job.job_id)
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled"):
        job.result(timeout=120)
    ended = books.client.get_job(job.job_id)
    assert (ended.state, ended.error_result["reason"]) == ("DONE", "stopped")


def test_a_cancelled_change_changes_nothing(books: Books) -> None:
    books.run("CREATE TABLE t AS SELECT 0 AS n")
    job = books.query(f"INSERT t (n) {SLOW}")
    books.client.cancel_job(job.job_id)
    until(lambda: books.client.get_job(job.job_id).state == "DONE")
    assert books.rows("SELECT n FROM t") == [(0,)]
    books.run("INSERT t (n) VALUES (1)")


def test_cancelling_a_job_that_ended_is_harmless(books: Books) -> None:
    job = books.run("SELECT 1")
    assert books.client.cancel_job(job.job_id).state == "DONE"


def test_a_job_that_takes_too_long_is_stopped(books: Books) -> None:
    job = books.query(SLOW, job_timeout_ms=100)
    with pytest.raises(exceptions.GoogleAPICallError, match="timed out"):
        job.result(timeout=120)


def test_statistics_and_labels_come_back(books: Books) -> None:
    books.run("CREATE TABLE t AS SELECT x, 'text' AS s FROM unnest(generate_array(1, 100)) x")
    started = books.run("SELECT x FROM t", labels={"tenant": "acme"})
    job = books.known(started.job_id)
    assert (job.total_bytes_processed, job.total_bytes_billed) == (800, 10 << 20)
    assert job.labels == {"tenant": "acme"}
    assert job.created <= job.started <= job.ended
    assert [str(table) for table in job.referenced_tables] == [books.path("t")]
    assert (job.statement_type, job.cache_hit, job.location) == ("SELECT", False, "US")
    listed = {found.job_id: found.labels for found in books.client.list_jobs(max_results=20)}
    assert listed[job.job_id] == {"tenant": "acme"}


def test_jobs_are_listed_newest_first_and_paged(books: Books) -> None:
    ids = [books.run("SELECT 1").job_id for _ in range(3)]
    listed = books.client.list_jobs(page_size=2, max_results=3)
    assert [job.job_id for job in listed] == ids[::-1]


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * FROM t", 800 + 600),
        ("SELECT x FROM t", 800),
        ("SELECT count(*) FROM t", 0),
        ("SELECT v.x FROM shown AS v", 800),
        ("WITH w AS (SELECT x FROM t) SELECT * FROM w", 800 + 600),
        ("SELECT 1", 0),
    ],
    ids=["all", "one column", "no column", "through a view", "with", "no table"],
)
def test_a_dry_run_counts_the_columns_that_are_named(books: Books, sql: str, columns: int) -> None:
    books.run("CREATE TABLE t AS SELECT x, 'text' AS s FROM unnest(generate_array(1, 100)) x")
    books.run("CREATE VIEW shown AS SELECT x FROM t")
    assert books.query(sql, dry_run=True).total_bytes_processed == columns


def test_a_dry_run_names_tables_and_columns_and_runs_nothing(books: Books) -> None:
    books.run("CREATE TABLE t (a INT64, b STRING)")
    books.run("CREATE VIEW shown AS SELECT a, b FROM t")
    job = books.query("SELECT a, upper(b) AS c FROM shown", dry_run=True)
    assert [str(t) for t in job.referenced_tables] == [books.path("shown"), books.path("t")]
    assert [(f.name, f.field_type) for f in job.schema or []] == [("a", "INTEGER"), ("c", "STRING")]
    books.query("INSERT t (a) VALUES (1)", dry_run=True)
    books.query("DROP TABLE t", dry_run=True)
    assert books.rows("SELECT count(*) FROM t") == [(0,)]
    with pytest.raises(exceptions.NotFound):
        books.client.get_job(job.job_id)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT * FROM missing", exceptions.NotFound),
        ("SELECT * FROM nowhere.missing", exceptions.NotFound),
        ("DELETE FROM missing WHERE true", exceptions.NotFound),
        ("SELECT nothing FROM t", exceptions.BadRequest),
        ("SELEC 1", exceptions.BadRequest),
    ],
    ids=["table", "dataset", "delete", "column", "syntax"],
)
def test_a_dry_run_refuses_what_a_run_would(books: Books, sql: str, error: type) -> None:
    books.run("CREATE TABLE t (a INT64)")
    with pytest.raises(error):
        books.query(sql, dry_run=True)


def test_a_limit_on_bytes_stops_a_query_before_it_runs(books: Books) -> None:
    books.run("CREATE TABLE t AS SELECT 1 AS a")
    dear = books.query("UPDATE t SET a = 2 WHERE a = 1", maximum_bytes_billed=1)
    with pytest.raises(exceptions.GoogleAPICallError, match="bytes billed: 1"):
        dear.result()
    assert dear.error_result["reason"] == "bytesBilledLimitExceeded"
    assert books.rows("SELECT a FROM t", maximum_bytes_billed=10 << 20) == [(1,)]


def test_a_destination_is_replaced_appended_to_or_refused(books: Books) -> None:
    def write(sql: str, disposition: str) -> list[tuple[int, ...]]:
        books.run(sql, destination=books.path("result"), write_disposition=disposition)
        return books.rows("SELECT * FROM result ORDER BY a")

    assert write("SELECT 1 AS a", "WRITE_EMPTY") == [(1,)]
    assert write("SELECT 2 AS a", "WRITE_APPEND") == [(1,), (2,)]
    with pytest.raises(exceptions.Conflict):
        write("SELECT 3 AS a", "WRITE_EMPTY")
    with pytest.raises(exceptions.BadRequest, match="Cannot add fields"):
        write("SELECT 3 AS a, 4 AS b", "WRITE_APPEND")
    with pytest.raises(exceptions.BadRequest, match="changed type"):
        write("SELECT 'x' AS a", "WRITE_APPEND")
    assert write("SELECT 3 AS a UNION ALL SELECT 4", "WRITE_TRUNCATE") == [(3,), (4,)]
    assert write("SELECT 5 AS a, 6 AS b", "WRITE_TRUNCATE") == [(5, 6)]


def test_a_destination_gains_columns_when_that_is_allowed(books: Books) -> None:
    books.run("CREATE TABLE result AS SELECT 1 AS a")
    books.run(
        "SELECT 2 AS a, 'x' AS b",
        destination=books.path("result"),
        write_disposition="WRITE_APPEND",
        schema_update_options=["ALLOW_FIELD_ADDITION"],
    )
    assert books.rows("SELECT a, b FROM result ORDER BY a") == [(1, None), (2, "x")]
    assert [f.name for f in books.client.get_table(books.path("result")).schema] == ["a", "b"]


def test_a_partition_of_a_destination_is_replaced_alone(books: Books) -> None:
    books.create(
        "result", field("d", "DATE"), field("v", "INTEGER"),
        time_partitioning=bigquery.TimePartitioning(field="d"),
    )  # fmt: skip
    books.run("INSERT result (d, v) VALUES ('2026-01-03', 1), ('2026-01-04', 2)")
    job = books.query(
        "SELECT DATE '2026-01-04' AS d, 9 AS v",
        destination=books.path("result") + "$20260104",
        write_disposition="WRITE_TRUNCATE",
    )
    assert [row["v"] for row in job.result()] == [9]
    assert books.rows("SELECT v FROM result ORDER BY d") == [(1,), (9,)]


def test_a_destination_keeps_its_layout_and_takes_a_given_one(books: Books) -> None:
    books.run(
        "SELECT DATE '2026-01-04' AS d, 'k' AS k",
        destination=books.path("result"),
        time_partitioning=bigquery.TimePartitioning(field="d"),
        clustering_fields=["k"],
    )
    books.run(
        "SELECT DATE '2026-01-05' AS d, 'l' AS k",
        destination=books.path("result"),
        write_disposition="WRITE_TRUNCATE",
    )
    table = books.client.get_table(books.path("result"))
    assert (table.time_partitioning.field, table.clustering_fields) == ("d", ["k"])


def test_a_large_result_is_paged(books: Books) -> None:
    job = books.query("SELECT x, repeat('a', 20) AS s FROM unnest(generate_array(1, 30000)) x")
    pages = [list(page) for page in job.result(page_size=10_000).pages]
    assert [len(page) for page in pages] == [10_000] * 3
    assert pages[2][-1]["x"] == 30_000


def test_a_result_too_large_for_memory_is_refused_unless_it_has_a_destination(
    books: Books,
) -> None:
    large = "SELECT repeat('a', 1000) AS s FROM unnest(generate_array(1, 200000)) x"
    with pytest.raises(exceptions.Forbidden, match="destination table"):
        books.run(large)
    books.run(large, destination=books.path("result"))
    assert books.rows("SELECT count(*), sum(length(s)) FROM result") == [(200_000, 200_000_000)]


def test_query_and_wait_answers_with_rows(books: Books) -> None:
    parameter = bigquery.ScalarQueryParameter("a", "INT64", 3)
    config = bigquery.QueryJobConfig(query_parameters=[parameter])
    found = books.client.query_and_wait("SELECT @a AS a", job_config=config)
    assert [row["a"] for row in found] == [3]
    with pytest.raises(exceptions.NotFound):
        books.client.query_and_wait(f"SELECT * FROM {books.name}.missing")


def test_concurrent_writers_lose_nothing(books: Books) -> None:
    """Two hundred runs, each with a table of its own and rows in a shared one."""
    books.run("CREATE TABLE shared (n INT64)")
    books.run("CREATE TABLE counter AS SELECT 0 AS n")

    def run(number: int) -> None:
        kind = number % 4
        if kind == 0:
            books.run("UPDATE counter SET n = n + 1 WHERE true")
        target = "shared" if kind == 1 else f"own_{number}"
        books.run(
            f"SELECT {number} AS n", destination=books.path(target),
            write_disposition="WRITE_APPEND",
        )  # fmt: skip
        if kind == 2:
            books.client.insert_rows_json(books.path("shared"), [{"n": number}], retry=ONCE)
        if kind == 3:
            books.run(f"BEGIN TRANSACTION; INSERT shared (n) VALUES ({number}); COMMIT TRANSACTION")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(run, range(200)))
    assert books.rows("SELECT n FROM counter") == [(50,)]
    numbers = Counter(n for (n,) in books.rows("SELECT n FROM shared"))
    assert numbers == Counter(n for n in range(200) if n % 4)
    assert len(list(books.client.list_tables(books.name))) == 152


def test_what_ended_is_known_after_a_crash(tmp_path: Path) -> None:
    with emulator("bigquery", state_dir=tmp_path) as first:
        books = next(fresh(first.ports))
        done, target = new_id(), books.path("result")
        books.run("SELECT 1 AS a", job_id=done, destination=target, labels={"a": "b"})
        books.run("CREATE TABLE t (a INT64)")
        books.query(f"INSERT t (a) {SLOW}")
        books.client.insert_rows_json(books.path("t"), [{"a": 5}])
        first.kill()
    with emulator("bigquery", state_dir=tmp_path) as second:
        again = Books(connect(second.ports), books.name, second.ports)
        adopted = again.known(done)
        assert (adopted.state, adopted.labels) == ("DONE", {"a": "b"})
        assert adopted.destination.table_id == "result"
        assert again.rows_of(adopted) == [(1,)]
        with pytest.raises(exceptions.Conflict):
            again.query("SELECT 1", job_id=done)
        assert again.rows("SELECT a FROM t") == [(5,)]

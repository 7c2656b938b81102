"""What BigQuery does and its emulator does not: our own SQL must do without.

Each is a strict xfail, so a gap that closes by itself fails the suite and is taken out.
"""

from decimal import Decimal
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from tests.libs.local_cloud.bigquery_suite import Books, books, field

__all__ = ["books"]

ENDS = [
    pytest.param(
        "MERGE t USING (SELECT 3 AS id, 'c' AS v) s ON t.id = s.id "
        "WHEN NOT MATCHED THEN INSERT ROW",
        "SELECT count(*) FROM t",
        3,
        id="merge-insert-row",
        marks=pytest.mark.xfail(strict=True, reason="DuckDB knows no INSERT ROW"),
    ),
    pytest.param(
        "UPDATE nested SET s.a = 2 WHERE true",
        "SELECT s.a FROM nested",
        2,
        id="update-of-a-field",
        marks=pytest.mark.xfail(strict=True, reason="DuckDB updates whole columns only"),
    ),
    pytest.param(
        "DECLARE x INT64 DEFAULT 1; INSERT t (id) VALUES (7); SELECT x, @@row_count",
        "SELECT count(*) FROM t",
        3,
        id="script-variables",
        marks=pytest.mark.xfail(strict=True, reason="bqemulator resolves no system variables"),
    ),
    pytest.param(
        "SELECT 1",
        "SELECT extract(day FROM date_trunc(DATE '2026-01-08', ISOWEEK))",
        5,
        id="isoweek",
        marks=pytest.mark.xfail(strict=True, reason="DuckDB knows no ISOWEEK"),
    ),
    pytest.param(
        "SELECT 1",
        "SELECT format('%t', DATE '2026-01-01')",
        "2026-01-01",
        id="format-of-any-type",
        marks=pytest.mark.xfail(strict=True, reason="DuckDB's printf knows no %t"),
    ),
    pytest.param("SELECT 1", "SELECT count(*) FROM t, UNNEST(['a', 'b']) x", 4, id="comma-unnest"),
]
REFUSALS = [
    pytest.param("UPDATE t SET v = 'x'", id="update-without-where"),
    pytest.param("DELETE FROM t", id="delete-without-where"),
    pytest.param(
        "MERGE t USING (SELECT 2 AS id, 'A' AS v UNION ALL SELECT 2, 'B') s ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET v = s.v",
        id="merge-of-doubled-rows",
        marks=pytest.mark.xfail(strict=True, reason="DuckDB takes any of the rows that match"),
    ),
    pytest.param(
        "SELECT * FROM filtered",
        id="partition-filter",
        marks=pytest.mark.xfail(strict=True, reason="require_partition_filter is only kept"),
    ),
    pytest.param("ASSERT false AS 'no'", id="assert"),
]


@pytest.fixture
def filled(books: Books) -> Books:
    books.run("CREATE TABLE t AS SELECT 1 AS id, 'a' AS v UNION ALL SELECT 2, 'b'")
    books.run("CREATE TABLE nested AS SELECT STRUCT(1 AS a, 'x' AS b) AS s")
    books.create("filtered", field("d", "DATE"), require_partition_filter=True)
    return books


@pytest.mark.parametrize(("statement", "question", "answer"), ENDS)
def test_a_statement_does_what_it_says(
    filled: Books, statement: str, question: str, answer: object
) -> None:
    filled.run(statement)
    assert filled.rows(question) == [(answer,)]


@pytest.mark.parametrize("statement", REFUSALS)
def test_what_bigquery_refuses_is_refused(filled: Books, statement: str) -> None:
    with pytest.raises(exceptions.BadRequest):
        filled.run(statement)
    assert filled.rows("SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, "b")]


def test_a_column_is_widened_and_made_nothing_else(filled: Books) -> None:
    filled.create("wide", field("n", "INT64"), field("b", "BIGNUMERIC"), field("v", "STRING"))
    filled.run(f"INSERT wide (n, b) VALUES ({2**63 - 1}, NUMERIC '0.5')")
    filled.run("ALTER TABLE wide ALTER COLUMN n SET DATA TYPE BIGNUMERIC")
    filled.run("INSERT wide (n) VALUES (PARSE_NUMERIC('0.123456789'))")
    fine = Decimal("0.123456789")
    assert filled.rows("SELECT n FROM wide ORDER BY n") == [(fine,), (Decimal(2**63 - 1),)]
    for column, type_ in (("n", "INT64"), ("n", "STRING"), ("v", "INT64")):
        with pytest.raises(exceptions.BadRequest, match="is assignable to the new type"):
            filled.run(f"ALTER TABLE wide ALTER COLUMN {column} SET DATA TYPE {type_}")
    table = filled.client.get_table(f"{filled.client.project}.{filled.name}.wide")
    assert [found.field_type for found in table.schema] == ["BIGNUMERIC", "BIGNUMERIC", "STRING"]


def load_wide(filled: Books, amount: Decimal) -> None:
    file = BytesIO()
    pq.write_table(pa.table({"n": pa.array([amount], pa.decimal256(56, 18))}), file)
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=[field("n", "BIGNUMERIC")])
    file.seek(0)
    filled.client.load_table_from_file(file, filled.path("wide"), job_config=config).result()


def test_decimals_that_are_too_wide_are_refused_and_not_made_others(filled: Books) -> None:
    with pytest.raises(exceptions.BadRequest, match=r"n is decimal256.*room for 38 digits"):
        load_wide(filled, Decimal("0.123456789012345678"))


@pytest.mark.xfail(strict=True, reason="DuckDB's decimals have 38 digits")
def test_all_digits_that_a_number_has_room_for_are_kept(filled: Books) -> None:
    load_wide(filled, Decimal("9" * 38))
    assert filled.rows("SELECT n FROM wide") == [(Decimal("9" * 38),)]


@pytest.mark.xfail(strict=True, reason="a name with dashes must stand in backticks")
def test_a_project_with_dashes_needs_no_quotes(filled: Books) -> None:
    assert filled.rows(f"SELECT count(*) FROM {filled.client.project}.{filled.name}.t") == [(2,)]

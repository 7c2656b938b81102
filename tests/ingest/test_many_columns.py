"""Rows that have little in common, and more columns than a table may have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.errors import MOST_COLUMNS, RefusedFileError
from services.executor.ingest.names import Names
from services.executor.ingest.readers import Format, open_reader
from tests.ingest.memory import memory_for

MB = 1 << 20
MANY = [f"c{number}" for number in range(MOST_COLUMNS + 1)]
SAID = "no table has more than 10,000 columns: write what differs"


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))


@pytest.mark.parametrize("odd", [False, True], ids=["of one kind", "of several kinds"])
@pytest.mark.parametrize("deep", [False, True], ids=["columns", "fields"])
def test_rows_that_have_little_in_common_are_read_in_bounded_memory(
    tmp_path: Path, *, odd: bool, deep: bool
) -> None:
    path = tmp_path / "file"
    rows: list[dict[str, Any]] = [{f"k{number}": number} for number in range(9000)]
    rows = [{"a": row} for row in rows] if deep else rows
    if odd:
        rows = [row | {"odd": {"x": number % 2 or "text"}} for number, row in enumerate(rows)]
    lines(path, rows)
    found = 0
    for batch in open_reader(path, "f.ndjson", None, CsvOptions()).batches():
        for row in batch.iter_rows(named=True):
            assert (row["a"] if deep else row)[f"k{found}"] == found
            found += 1
    assert found == len(rows)
    assert memory_for(path, "f.ndjson") < 256 * MB


def csv(path: Path) -> None:
    path.write_text(",".join(MANY) + "\n")


def parquet(path: Path) -> None:
    pl.DataFrame({name: [1] for name in MANY}).write_parquet(path)


def ndjson(path: Path) -> None:
    lines(path, [{"c0": 1}, dict.fromkeys(MANY, 1)])


def within(path: Path) -> None:
    lines(path, [{"c0": 1}, {"c": dict.fromkeys(MANY, 1)}])


@pytest.mark.parametrize(
    ("made", "format_", "line", "column"),
    [
        (csv, "csv", 1, MANY[-1]),
        (parquet, "parquet", None, MANY[-1]),
        (ndjson, "ndjson", 2, ""),
        (within, "ndjson", 2, ""),
    ],
)
def test_more_columns_than_a_table_may_have_are_refused(
    tmp_path: Path,
    made: Callable[[Path], None],
    format_: Format,
    line: int | None,
    column: str,
) -> None:
    path = tmp_path / "file"
    made(path)
    with pytest.raises(RefusedFileError, match=SAID) as caught:
        list(open_reader(path, "f", format_, CsvOptions()).batches())
    assert (caught.value.line, caught.value.column) == (line, column)


def test_they_are_refused_where_several_files_have_them_together() -> None:
    names = Names()
    names.of(MANY[:-1], "a.ndjson")
    with pytest.raises(RefusedFileError, match=rf"b.ndjson, column {MANY[-1]}: {SAID}"):
        names.of(MANY[-1:], "b.ndjson")

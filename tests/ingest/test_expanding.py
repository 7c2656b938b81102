"""Parquet that is small on disk: it takes no more memory than other files do, or is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.executor.ingest import expanding
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.expanding import AT_ONCE, HANDED_ON
from services.executor.ingest.readers import ROWS, ParquetFile
from tests.ingest.memory import memory_for

MB = 1 << 20
LONG = "x" * MB
BOUND = 6 * AT_ONCE


def once(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


def write(path: Path, *pieces: pa.Array, **how: Any) -> None:
    """In one row group, without a gigabyte in memory."""
    schema = pa.schema([("a", pieces[0].type)])
    with pq.ParquetWriter(path, schema, compression="zstd", **how) as writer:
        for piece in pieces:
            writer.write_batch(pa.record_batch([piece], schema))


def dictionary(path: Path) -> None:
    write(path, once(LONG, 2000))


def dictionary_and_then_none(path: Path) -> None:
    long = pa.array([LONG[:900_000]] * 50)
    write(path, *[long] * 20, pa.array([str(n) * 9 for n in range(100_000)]))


def bytes_of_one_length(path: Path) -> None:
    write(path, *[pa.array([b"y" * MB] * 50, pa.binary(MB))] * 20)


def dictionary_of_lists(path: Path) -> None:
    values = once("y" * 65536, 40_000)
    write(path, pa.ListArray.from_arrays(pa.array(range(0, 40_001, 200), pa.int32()), values))


@pytest.mark.parametrize(
    ("made", "rows"),
    [
        (dictionary, 2000),
        (dictionary_and_then_none, 101_000),
        (bytes_of_one_length, 1000),
        (dictionary_of_lists, 200),
    ],
)
def test_few_bytes_that_are_many_are_read_in_bounded_memory(
    tmp_path: Path, made: Callable[[Path], None], rows: int
) -> None:
    path = tmp_path / "file"
    made(path)
    assert path.stat().st_size < MB
    found = 0
    for batch in ParquetFile(path, "f.parquet").batches():
        assert batch.estimated_size() <= 2 * HANDED_ON
        found += batch.height
    assert found == rows
    assert memory_for(path, "f.parquet") < BOUND


def one_row_at_a_time(path: Path) -> None:
    """What must be read so, as each value may be the long one, in many columns."""
    numbers = {f"n{n}": pa.array([7] * 12_000) for n in range(100)}
    table = pa.table({"a": pa.array(["a"] * 11_999 + [LONG * 15]).dictionary_encode(), **numbers})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.write_table(table)


def test_many_small_batches_take_no_memory_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    one_row_at_a_time(path)
    assert memory_for(path, "f.parquet") < BOUND


def polars(path: Path) -> None:
    """Its dictionaries have no bound."""
    texts = [f"/subscriptions/{n}/{'resource' * 20}" for n in range(60_000)]
    columns = {f"c{n}": texts for n in range(30)}
    pl.DataFrame(columns).write_parquet(path)


def differences_in_maps(path: Path) -> None:
    tags = [[("team", f"team {n}")] for n in range(100_000)]
    pieces = pa.array(tags, pa.map_(pa.string(), pa.string()))
    encodings = dict.fromkeys(("a.key_value.key", "a.key_value.value"), "DELTA_BYTE_ARRAY")
    write(path, pieces, use_dictionary=False, column_encoding=encodings)


@pytest.mark.parametrize(("made", "batches"), [(polars, 7), (differences_in_maps, 2)])
def test_what_other_programs_write_is_read_in_usual_batches(
    tmp_path: Path, made: Callable[[Path], None], batches: int
) -> None:
    path = tmp_path / "file"
    made(path)
    assert len(list(ParquetFile(path, "f.parquet").batches())) <= batches


def long_text(path: Path) -> None:
    write(path, pa.array(["a", None, "y" * (17 * MB)]))


def long_list(path: Path) -> None:
    short, long = pa.array([["y"]] * 60_000), pa.array([["y" * 65536] * 1100])
    write(path, short, long)


def list_of_very_many(path: Path) -> None:
    values = pa.nulls(10_000_000, pa.int8())
    write(path, pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values))


def large_page(path: Path) -> None:
    how = {"use_dictionary": False, "data_page_size": 2 << 30, "max_rows_per_page": 10**9}
    write(path, pa.array(["y" * 2000] * 20_000), **how)


@pytest.mark.parametrize(
    ("made", "column", "said"),
    [
        (long_text, "a", "row 3: its value is longer than 16 MB"),
        (long_list, "a", "row 60001: its value is longer than 64 MB"),
        (list_of_very_many, "", "the lists of a row group may expand to 38 MB; write it again"),
        (large_page, "", "its pages may expand to 38 MB; write it again, with smaller pages"),
    ],
)
def test_what_is_too_large_at_once_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Path], None],
    column: str,
    said: str,
) -> None:
    if not column:
        monkeypatch.setattr(expanding, "UNPACKED", 32 * MB)
    path = tmp_path / "file"
    made(path)
    assert path.stat().st_size < MB
    with pytest.raises(RefusedFileError, match=said) as caught:
        list(ParquetFile(path, "f.parquet").batches())
    assert (caught.value.file, caught.value.column) == ("f.parquet", column)


@pytest.mark.parametrize("at_once", [1, AT_ONCE >> 20])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
@pytest.mark.parametrize("page", ["1.0", "2.0"])
def test_ordinary_parquet_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, page: str, at_once: int
) -> None:
    monkeypatch.setattr(expanding, "AT_ONCE", at_once * MB)
    rows = 60_000
    frame = pl.DataFrame(
        {
            "id": [f"i-{number}" for number in range(rows)],
            "service": ["EC2", None, "S3", ""] * (rows // 4) + ["RDS"] * (rows % 4),
            "cost": [number / 8 for number in range(rows)],
            "tags": [[{"key": "k", "value": str(number)}] * (number % 3) for number in range(rows)],
        }
    )
    pq.write_table(
        frame.to_arrow(),
        tmp_path / "file",
        compression=compression,
        data_page_version=page,
        row_group_size=24_000,
    )
    batches = list(ParquetFile(tmp_path / "file", "f.parquet").batches())
    assert at_once == 1 or [batch.height for batch in batches] == [ROWS, rows - ROWS]
    assert len(batches) == 2
    assert pl.concat(batches).equals(frame)


def test_what_is_no_page_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pq.write_table(pa.table({"a": ["x"] * 9, "b": range(9)}), path, compression="none")
    content = bytearray(path.read_bytes())
    content[4:12] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(RefusedFileError, match="it is damaged: a page's header cannot be read"):
        list(ParquetFile(path, "f.parquet").batches())

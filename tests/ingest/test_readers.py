"""Files as they really come: each is read, or refused with its file, line and column."""

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import process_time

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.executor.ingest.csv_reader import BLOCK, CsvOptions
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.places import BadPatternError, checked, matches
from services.executor.ingest.readers import JSON_LINE, Format, ParquetFile, open_reader
from tests.ingest.memory import memory_for

TABLE = "account,cost\n007,1.5\n008,2\n"
STRAY = "a quote is closed in this row, and neither"
NEVER_CLOSED = "a quote is opened in this row and never closed"
PACKED_WRONGLY = gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20
"""The head of a gzip, and then a block of a kind that there is not."""


def read(
    folder: Path,
    content: bytes,
    name: str = "bill.csv",
    options: CsvOptions | None = None,
    format_: Format | None = None,
) -> pl.DataFrame:
    path = folder / "file"
    path.write_bytes(content)
    reader = open_reader(path, name, format_, options or CsvOptions())
    return pl.concat(list(reader.batches()), how="diagonal")


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param(TABLE.encode(), CsvOptions(), id="plain"),
        pytest.param(gzip.compress(TABLE.encode()), CsvOptions(), id="gzip"),
        pytest.param(
            gzip.compress(TABLE[:20].encode()) + gzip.compress(TABLE[20:].encode()),
            CsvOptions(),
            id="gzip in two pieces",
        ),
        pytest.param(
            TABLE.replace("1.5", '"1.5"').encode("cp1252"),
            CsvOptions(encoding="cp1252"),
            id="windows",
        ),
        pytest.param(b"\xef\xbb\xbf" + TABLE.encode(), CsvOptions(), id="byte order mark"),
        pytest.param(TABLE.encode("utf-16"), CsvOptions(), id="UTF-16 by its mark"),
        *(
            pytest.param(
                b'\xef\xbb\xbf"account","cost"\n007,1.5\n008,2\n',
                CsvOptions(encoding=said),
                id=said,
            )
            for said in ("utf-8", "UTF8", "utf_8_sig")
        ),
        *(
            pytest.param(
                ("\ufeff" + TABLE.replace("account", '"account"')).encode(said),
                CsvOptions(encoding=said),
                id=f"{said} and marked",
            )
            for said in ("utf-16-le", "UTF-16BE")
        ),
        pytest.param(
            TABLE.encode("utf-16-le"), CsvOptions(encoding="utf-16-le"), id="UTF-16 unmarked"
        ),
        pytest.param(TABLE.replace(",", ";").encode(), CsvOptions(";"), id="semicolons"),
        pytest.param(TABLE.replace("\n", "\r\n").encode(), CsvOptions(), id="CRLF"),
        pytest.param(TABLE.rstrip().encode(), CsvOptions(), id="no line end at the end"),
        pytest.param(b'"account","cost"\n"007","1.5"\n"008","2"\n', CsvOptions(), id="quoted"),
    ],
)
def test_a_table_is_read_as_text(tmp_path: Path, content: bytes, options: CsvOptions) -> None:
    frame = read(tmp_path, content, options=options)
    assert frame.to_dict(as_series=False) == {"account": ["007", "008"], "cost": ["1.5", "2"]}


def test_latin_1_is_read_when_it_is_said(tmp_path: Path) -> None:
    content = "name\nMünchen\n".encode("latin-1")
    assert read(tmp_path, content, options=CsvOptions(encoding="latin-1"))["name"][0] == "München"
    with pytest.raises(RefusedFileError, match="it is not UTF-8 text") as caught:
        read(tmp_path, content)
    assert (caught.value.file, caught.value.line) == ("bill.csv", 2)


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "undefined", "punycode"])
def test_what_is_no_encoding_of_texts_is_said(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(RefusedFileError, match=f"encoding '{encoding}' is not known"):
        read(tmp_path, TABLE.encode(), options=CsvOptions(encoding=encoding))


@pytest.mark.parametrize("encoding", ["cp037", "utf-7", "utf-32", "gbk", "iso-2022-jp", "ASCII"])
def test_whatever_texts_are_encoded_in_is_read(tmp_path: Path, encoding: str) -> None:
    frame = read(tmp_path, TABLE.encode(encoding), options=CsvOptions(encoding=encoding))
    assert frame["cost"].to_list() == ["1.5", "2"]


def test_line_breaks_within_quotes_belong_to_the_value(tmp_path: Path) -> None:
    frame = read(tmp_path, b'a,b\n"x\ny",1\nz,2\n')
    assert frame["a"].to_list() == ["x\ny", "z"]


def test_a_header_alone_is_a_delivery_of_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, b"account,cost\n").shape == (0, 2)


@pytest.mark.parametrize(
    ("content", "line", "column", "said"),
    [
        pytest.param(b"", None, "", "no byte in it", id="empty"),
        pytest.param(b"\n\n", 1, "", "it is empty", id="blank lines"),
        pytest.param(b"a,,c\n1,2,3\n", 1, "number 2", "has no name", id="nameless column"),
        pytest.param(b"a,b,a\n1,2,3\n", 1, "a", "two columns", id="name twice"),
        pytest.param(b"a,b\n1,2\n3\n", 3, "", "1 values where the header has 2", id="short row"),
        pytest.param(b"a,b\n1,2,3\n", 2, "", "3 values where the header has 2", id="long row"),
        pytest.param(
            b'a,b\n"x\ny",2\n3\n', 4, "", "1 values where", id="short row after a line break"
        ),
        pytest.param(
            gzip.compress(b"a,b\n" + b"1,2\n" * 99_999)[:-200], None, "", "too early", id="cut gzip"
        ),
        pytest.param(gzip.compress(TABLE.encode())[:15], None, "", "too early", id="hardly a gzip"),
        pytest.param(PACKED_WRONGLY, None, "", "or is damaged", id="gzip packed wrongly"),
        pytest.param(
            "a,b\n1,2\n".encode("utf-16-le"), 1, "number 1", "`encoding`", id="UTF-16 unmarked"
        ),
        pytest.param(
            "a,b\n1,2\n".encode("utf-16")[:-1], 3, "", "it is not UTF-16", id="cut in a character"
        ),
        pytest.param(b'a,"b\nc,d\n1,2\n', 1, "", NEVER_CLOSED, id="header left open"),
        pytest.param(b'a,b\n1,2\n3,"x\n5,6\n', 3, "", NEVER_CLOSED, id="value left open"),
        pytest.param(b'a,b\n1,"x\ny"\n3,"z', 4, "", NEVER_CLOSED, id="cut in a value"),
        pytest.param(b'a,b\n"x\ny","z', 2, "", NEVER_CLOSED, id="cut in the second value"),
        pytest.param(b'a,b\n5" x,"1\n', 2, "", NEVER_CLOSED, id="open behind a quote in a value"),
        pytest.param(b'a,b,c\n1,5" x,"1', 2, "", NEVER_CLOSED, id="cut behind a quote in a value"),
        pytest.param('a,b\n"x\ny","z'.encode("utf-16"), 2, "", NEVER_CLOSED, id="cut in UTF-16"),
        pytest.param(
            gzip.compress('a,b\n1,"x\n5,6\n'.encode("utf-16")),
            2,
            "",
            NEVER_CLOSED,
            id="left open in UTF-16",
        ),
        pytest.param(
            b'a,b,c\n0,1,x\n1,10,"abc\n2,20,"def"\n3,30,x\n', 3, "", STRAY, id="row swallowed"
        ),
        pytest.param(
            b'a,b\n"x\ny",1\n2,"open\n3,"x"y"\n', 4, "", STRAY, id="row and its columns swallowed"
        ),
        pytest.param(b"id;cost\n1;2\n", 1, "id;cost", r"may be ';'", id="other delimiter"),
        pytest.param(b"id\tcost\n1\t2\n", 1, "id\tcost", r"may be '\\t'", id="tabs"),
        pytest.param(b"id|cost\n1|2\n", 1, "id|cost", r"may be '\|'", id="bars"),
        pytest.param(b"sep=;\nid;a\n1;2\n", 1, "sep=;", "leave this line out", id="line for Excel"),
        pytest.param(b'a,b\n1,"5" disk"\n', 2, "", STRAY, id="quote within quotes"),
        pytest.param(b'a,b\n1,"x" ,2\n', 2, "", STRAY, id="quote and too many values"),
        pytest.param(b'a,b\n1,5" disk\n2,"x" \n', 3, "", STRAY, id="space behind a quote"),
        pytest.param(b'"a"x,b\n1,2\n', 1, "", STRAY, id="in the header"),
        pytest.param(b'"a"x,b\n', 1, "", STRAY, id="in the header alone"),
        pytest.param(
            gzip.compress('a,b\n1,2\n1,"x\n5,"6"\n'.encode("utf-16"), mtime=0),
            3,
            "",
            STRAY,
            id="row swallowed in UTF-16",
        ),
    ],
)
def test_a_bad_csv_is_refused_in_its_place(
    tmp_path: Path, content: bytes, line: int | None, column: str, said: str
) -> None:
    with pytest.raises(RefusedFileError, match=said) as caught:
        read(tmp_path, content)
    found = caught.value
    assert (found.file, found.line, found.column) == ("bill.csv", line, column)


@pytest.mark.parametrize(
    ("content", "header", "rows"),
    [
        (b'a,"b\nc"\n1,2\n', ["a", "b\nc"], [("1", "2")]),
        (b'a,"b\r\nc ""d"""\n1,"2\n"\n', ["a", 'b\r\nc "d"'], [("1", "2\n")]),
        (b'a,b\n5" disk,"x\ny"', ["a", "b"], [('5" disk', "x\ny")]),
        (b'a,b\n1,5" disk', ["a", "b"], [("1", '5" disk')]),
        (b'a,b\n"1""",\n,"""2"\n', ["a", "b"], [('1"', ""), ("", '"2')]),
        (b'a,b\n5",5""\n"x",5"\n', ["a", "b"], [('5"', '5""'), ("x", '5"')]),
        (b"a,b", ["a", "b"], []),
        (b"a,b\n\n", ["a", "b"], []),
    ],
)
def test_what_only_looks_left_open_is_read(
    tmp_path: Path, content: bytes, header: list[str], rows: list[tuple[str, ...]]
) -> None:
    found = read(tmp_path, content)
    assert (found.columns, found.rows()) == (header, rows)


@pytest.mark.parametrize("columns", [["a"], ["b"], ["a", "b"]])
def test_a_value_left_open_is_refused_whoever_reads_it(tmp_path: Path, columns: list[str]) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b'a,b\n1,"open\n2,3\n4,5\n')
    with pytest.raises(RefusedFileError, match=NEVER_CLOSED):
        list(open_reader(path, "f.csv", None, CsvOptions()).batches(columns))


@pytest.mark.parametrize("beyond", [-2, -1, 0, 1, 2])
def test_a_quote_left_open_where_pieces_meet_is_seen(tmp_path: Path, beyond: int) -> None:
    """The last line has no end, and is read in two pieces."""
    last = b'1,"xyz'
    rows = (BLOCK + beyond - len(last)) // 4 - 1
    head = b"a,b\n" + b"1,2\n" * rows
    padding = b"1" * (BLOCK + beyond - len(head) - len(last))
    path = tmp_path / "f.csv"
    path.write_bytes(head + padding + last)
    with pytest.raises(RefusedFileError, match=NEVER_CLOSED) as caught:
        list(open_reader(path, "f.csv", None, CsvOptions()).batches())
    assert caught.value.line == rows + 2


def test_a_header_of_very_many_columns_is_read_once(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(10_000)]
    path = tmp_path / "f.csv"
    path.write_text(",".join(names) + "\n")
    started = process_time()
    assert open_reader(path, "f.csv", None, CsvOptions()).header == names  # type: ignore[attr-defined]
    assert process_time() - started < 1


def test_below_a_header_of_several_lines_no_row_tells_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b'a,"b\nc"\n1,2\n')
    assert open_reader(path, "f.csv", None, CsvOptions()).lines is None


def test_json_lines_are_read_whatever_fields_they_have(tmp_path: Path) -> None:
    content = b'{"a": 1, "n": {"x": [1, 2]}}\n\n{"b": "2"}\n'
    for name, data in (("f.ndjson", content), ("f.jsonl.gz", gzip.compress(content))):
        frame = read(tmp_path, data, name)
        assert frame.to_dicts() == [
            {"a": 1, "n": {"x": [1, 2]}, "b": None},
            {"a": None, "n": None, "b": "2"},
        ]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b'{"a": 1}\n{"a": \n', 2, "this is not JSON"),
        (b'{"a": 1}\n[1]\n', 2, "a JSON object was expected"),
        (b'\n{"a": 1}\n\n \n{"a": \n', 5, "this is not JSON"),
        (gzip.compress(b'{"a": 1}\n' * 9999, mtime=0)[:-50], None, "too early"),
        (PACKED_WRONGLY, None, "or is damaged"),
        (gzip.compress(b"", mtime=0), None, "it is empty: no line in it"),
        (b"\n \n", None, "it is empty: no line in it"),
    ],
)
def test_bad_json_lines_are_refused(
    tmp_path: Path, content: bytes, line: int | None, said: str
) -> None:
    with pytest.raises(RefusedFileError, match=said) as caught:
        read(tmp_path, content, "f.ndjson")
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b'{"a": 12.5}\n\n{"a": true}\n', 3, "a"),
        (b'{"a": false}\n{"a": 2}\n', 1, "a"),
        (b'{"b": true, "a": {"n": 1}}\n{"b": false, "a": {"n": true}}\n', 2, "a"),
        (b'{"a": [1, 2]}\n{"a": [3, true]}\n', 2, "a"),
    ],
)
def test_what_is_true_or_false_is_no_number(
    tmp_path: Path, content: bytes, line: int, column: str
) -> None:
    with pytest.raises(RefusedFileError, match="true or false stands where numbers") as caught:
        read(tmp_path, content, "f.ndjson")
    assert (caught.value.line, caught.value.column) == (line, column)


def test_what_is_true_or_false_beside_numbers_is_read(tmp_path: Path) -> None:
    first = {"a": 1, "b": True, "c": "true", "d": {"e": False, "f": 2.5}}
    second = {"a": 2, "b": None, "c": None, "d": None}
    frame = read(tmp_path, b"\n".join(map(orjson.dumps, (first, second))), "f.ndjson")
    assert frame.to_dicts() == [first, second]


def test_what_is_true_in_a_column_of_a_declared_type_is_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'{"a": 12.5, "b": 1}\n{"a": true, "b": 2}\n')
    reader = open_reader(path, "f.ndjson", None, CsvOptions(), {"a": ".", "b": ""}.__getitem__)
    (frame,) = reader.batches()
    assert frame.to_dict(as_series=False) == {"a": ["12.5", "true"], "b": [1, 2]}


@pytest.mark.parametrize("filled", [b"x", b" "], ids=["text", "spaces"])
def test_a_line_of_json_without_end_is_refused_in_bounded_memory(
    tmp_path: Path, filled: bytes
) -> None:
    path = tmp_path / "file"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"a": 1}\n\n{"a":"')
        for _ in range(96):
            file.write(filled * (1 << 20))
        file.write(b'"}\n')
    with pytest.raises(RefusedFileError, match="does not end within 16 MB") as refused:
        list(open_reader(path, "f.ndjson.gz", None, CsvOptions()).batches())
    assert refused.value.line == 3
    assert memory_for(path, "f.ndjson.gz") < 4 * JSON_LINE


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("f.csv", b"a,b\n1,2\nx,3\n", "csv"),
        ("f.csv", b'a,b\r\n1,"2\r\n3"\r\nx,3', "csv"),
        ("f.csv", b"a,b\n\n1,2\n\nx,3\n", None),
        ("f.csv", b"a,b\r\n1,2\r\n\r\nx,3\r\n", None),
        ("f.csv", b"a,b\r1,2\r\rx,3\r", None),
        ("f.csv", gzip.compress(b"a,b\n\n1,2\n", mtime=0), None),
        ("f.csv", "a,b\n\n1,2\n".encode("utf-16"), None),
        ("f.ndjson", b'{"a": 1}\n{"a": 2}\n', "ndjson"),
        ("f.ndjson", b'{"a": 1}\n\n{"a": 2}\n', None),
    ],
)
def test_rows_tell_their_lines_unless_some_are_empty(
    tmp_path: Path, name: str, content: bytes, lines: str | None
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    reader = open_reader(path, name, None, CsvOptions())
    list(reader.batches())
    assert reader.lines == lines


def test_a_map_in_parquet_is_a_list_of_pairs(tmp_path: Path) -> None:
    maps = pa.array([[("team", "data"), ("env", None)], None], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"tags": maps}), tmp_path / "maps")
    frame = read(tmp_path, (tmp_path / "maps").read_bytes(), "f.parquet")
    pairs = [{"key": "team", "value": "data"}, {"key": "env", "value": None}]
    assert frame["tags"].to_list() == [pairs, None]
    assert ParquetFile(tmp_path / "maps", "f.parquet").schema == frame.schema


@pytest.mark.parametrize(
    ("type_", "problem"),
    [
        (pa.map_(pa.string(), pa.binary()), "has bytes within a map"),
        (pa.struct([("a", pa.list_(pa.binary()))]), "has bytes within a map"),
        (pa.decimal256(50, 2), "more than 38 digits"),
    ],
)
def test_parquet_that_no_flat_table_can_hold_is_refused_when_opened(
    tmp_path: Path, type_: pa.DataType, problem: str
) -> None:
    path = tmp_path / "file"
    pq.write_table(pa.table({"n": [1], "odd": pa.array([None], type_)}), path)
    with pytest.raises(RefusedFileError, match=problem) as caught:
        ParquetFile(path, "f.parquet")
    assert (caught.value.file, caught.value.column) == ("f.parquet", "odd")


def test_texts_that_parquet_writes_once_are_texts_however_deep(tmp_path: Path) -> None:
    once = pa.array(["EC2", None]).dictionary_encode()
    held = {
        "plain": once,
        "record": pa.StructArray.from_arrays([once], ["k"]),
        "list": pa.array([["a"], []], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        "map": pa.array([[("a", "b")], []], pa.map_(pa.string(), once.type)),
    }
    pq.write_table(pa.table(held), tmp_path / "dictionary")
    frame = read(tmp_path, (tmp_path / "dictionary").read_bytes(), "f.parquet")
    assert frame.to_dicts() == [
        {
            "plain": "EC2",
            "record": {"k": "EC2"},
            "list": ["a"],
            "map": [{"key": "a", "value": "b"}],
        },
        {"plain": None, "record": {"k": None}, "list": [], "map": []},
    ]
    assert "Categorical" not in str(frame.schema)
    for type_ in (pl.Categorical(), pl.Enum(["S3"])):
        pl.DataFrame({"service": pl.Series(["S3"], dtype=type_)}).write_parquet(tmp_path / "pl")
        assert ParquetFile(tmp_path / "pl", "f.parquet").schema == {"service": pl.String()}


def test_times_of_parquet_as_old_programs_write_them_reach_all_years(tmp_path: Path) -> None:
    written = [datetime(1, 1, 1), datetime(2026, 11, 1, 0, 0, 0, 1), datetime(9999, 12, 31)]  # noqa: DTZ001
    path = tmp_path / "file"
    for old in (True, False):
        table = pa.table({"valid_to": pa.array(written, pa.timestamp("us"))})
        pq.write_table(table, path, use_deprecated_int96_timestamps=old)
        (rows,) = ParquetFile(path, "bill.parquet").batches()
        assert rows["valid_to"].to_list() == written


@pytest.mark.parametrize("zone", ["+05:30", "-03:00"])
def test_times_of_a_zone_that_is_an_offset_are_those_of_utc(tmp_path: Path, zone: str) -> None:
    type_ = pa.timestamp("us", tz=zone)
    held = {
        "t": pa.array([0, None], type_),
        "deep": pa.array([[{"t": 0}], None], pa.list_(pa.struct([("t", type_)]))),
    }
    pq.write_table(pa.table(held), tmp_path / "zones")
    frame = read(tmp_path, (tmp_path / "zones").read_bytes(), "f.parquet")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert frame.to_dicts() == [
        {"t": epoch, "deep": [{"t": epoch}]},
        {"t": None, "deep": None},
    ]
    assert ParquetFile(tmp_path / "zones", "f.parquet").schema == frame.schema


def test_numbers_that_only_unsigned_ones_hold_keep_every_digit(tmp_path: Path) -> None:
    columns = {"large": [2**64 - 1, None], "small": [2**63 - 1, 0]}
    schema = pa.schema(dict.fromkeys(columns, pa.uint64()))
    pq.write_table(pa.table(columns, schema), tmp_path / "unsigned")
    frame = read(tmp_path, (tmp_path / "unsigned").read_bytes(), "f.parquet")
    assert frame["large"].to_list() == [Decimal(2**64 - 1), None]
    assert frame.schema == {"large": pl.Decimal(38, 0), "small": pl.UInt64()}


def test_two_columns_of_one_name_in_parquet_are_refused_when_opened(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["c", "c"])
    pq.write_table(twice, tmp_path / "file")
    with pytest.raises(RefusedFileError, match="two columns have this name") as caught:
        ParquetFile(tmp_path / "file", "f.parquet")
    assert (caught.value.file, caught.value.column) == ("f.parquet", "c")


def test_bytes_in_a_column_of_their_own_are_read(tmp_path: Path) -> None:
    pl.DataFrame({"a": [b"x"]}).write_parquet(tmp_path / "file")
    (frame,) = ParquetFile(tmp_path / "file", "f.parquet").batches()
    assert frame["a"].to_list() == [b"x"]


def test_text_of_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    text = pa.array([b"fine", b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"name": text}), tmp_path / "file")
    with pytest.raises(RefusedFileError, match=r"it is damaged: .*UTF8"):
        list(ParquetFile(tmp_path / "file", "f.parquet").batches())


def test_parquet_that_polars_cannot_take_is_refused_when_opened(tmp_path: Path) -> None:
    kept = Path(__file__).parents[1] / "fuzz" / "corpus" / "parquet_file" / "panics.parquet"
    with pytest.raises(RefusedFileError, match="not a whole Parquet file"):
        ParquetFile(kept, "f.parquet")


def test_parquet_is_read_with_its_types_and_refused_when_cut(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2], "tags": [[{"key": "k", "value": "v"}], []]})
    frame.write_parquet(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    assert read(tmp_path, content, "f.parquet").equals(frame)
    with pytest.raises(RefusedFileError, match="not a whole Parquet file"):
        read(tmp_path, content[:-20], "f.parquet")


def test_a_name_that_says_nothing_needs_a_format(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match="say `format`"):
        read(tmp_path, TABLE.encode(), "bill.dat")
    assert read(tmp_path, TABLE.encode(), "bill.dat", format_="csv").height == 2


def test_a_row_that_never_ends_is_refused_with_its_line(tmp_path: Path) -> None:
    open_quote = 'a,b\n1,2\n3,"4\n' + "5,6\n" * (BLOCK // 2)
    with pytest.raises(RefusedFileError, match="does not end within 2 MB") as refused:
        read(tmp_path, open_quote.encode())
    assert refused.value.line == 3


@pytest.mark.parametrize(
    ("before", "line"), [(b"a,b\n1,2\n", 3), (b"", 1)], ids=["a row", "the header"]
)
@pytest.mark.parametrize("ends", [b"", b"\xff"], ids=["plain", "not UTF-8"])
def test_a_line_without_end_is_refused_in_bounded_memory(
    tmp_path: Path, before: bytes, line: int, ends: bytes
) -> None:
    path = tmp_path / "file"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(before)
        for _ in range(192):
            file.write(b"x" * (1 << 20))
        file.write(ends)
    with pytest.raises(RefusedFileError, match="does not end within 2 MB") as refused:
        list(open_reader(path, "f.csv.gz", None, CsvOptions()).batches())
    assert refused.value.line == line
    assert memory_for(path, "f.csv.gz") < 96 << 20  # some blocks of 2 MB are read ahead


def test_a_row_without_end_that_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    long = b'a,b\n1,2\n3,"' + b"\xff" * (3 * BLOCK)
    with pytest.raises(RefusedFileError, match=r"does not end within 2 MB|is not UTF-8"):
        read(tmp_path, long)


def test_a_long_value_is_read_and_found_again(tmp_path: Path) -> None:
    long = "x" * (BLOCK // 2)
    assert read(tmp_path, f"a,b\n1,{long}\n2,y\n".encode())["b"].to_list() == [long, "y"]
    path = tmp_path / "file"
    assert open_reader(path, "f.csv", None, CsvOptions()).line_of(1) == 3


@pytest.mark.parametrize("rows", [100_000, 2_000_000])
def test_memory_is_bounded_by_the_batch(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "file"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("a,b,c\n")
        for _ in range(rows // 1000):
            file.write("some text,0.1234567890,another text\n" * 1000)
    assert (
        sum(b.height for b in open_reader(path, "f.csv.gz", None, CsvOptions()).batches()) == rows
    )
    assert memory_for(path, "f.csv.gz") < 160 << 20


@pytest.mark.parametrize(
    "pattern",
    ["/etc/passwd", "../other/x.csv", "a/../../x", "", "a\\b", "a/\0", "a/**/x.csv", "a/**"],
)
def test_a_pattern_never_leaves_its_folder(pattern: str) -> None:
    with pytest.raises(BadPatternError):
        checked(pattern)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a/*.csv", "a/x.csv", True),
        ("a/*.csv", "a/b/x.csv", False),
        ("a/*/x.csv", "a/b/x.csv", True),
        ("a/x?.csv", "a/x1.csv", True),
        ("a/[xy].csv", "a/z.csv", False),
        ("a/x.csv", "a/x.csv.gz", False),
    ],
)
def test_wild_cards_match_within_a_folder(pattern: str, name: str, *, fits: bool) -> None:
    assert matches(name, checked(pattern)) is fits

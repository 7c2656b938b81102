"""Numbers keep every digit, and a column has one type, wherever its files and blocks end."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.warehouse.schema import Column, Table
from services.executor.ingest.errors import ColumnConflictError
from services.executor.ingest.fitting import NoFitError, fitted
from services.executor.ingest.flat_parts import FlatParts
from services.executor.ingest.json_rows import Decoder, NoJsonError
from services.executor.ingest.parts import tabular
from services.executor.steps.step import StepError
from tests.bench.peers.folder import KeptHere
from tests.ingest.surroundings import Surroundings

FINE, LONG = "0.12345678901234567890123", "12345678901234567890123"
BINARY = "1.2345678901234567e-05"
"""As programs print a float that has more decimals than amounts do."""
CONFIG = {"files": "b/*", "target_table": "${tenant_id}.raw", "slice": "2026-11"}
TEXTS = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [FINE, LONG, BINARY, "1e999999999999999999999", "-0.0", "9007199254740993", str(2**63)]
    ),
)


def lines(*values: str, name: str = "cost") -> bytes:
    return "".join(f'{{"{name}": {value}}}\n' for value in values).encode()


def exact(value: object) -> Decimal:
    return Decimal(str(value))


@given(TEXTS)
def test_a_number_that_is_read_is_the_number_that_was_written(text: str) -> None:
    value = Decoder().loads(f'{{"deep": [{text}]}}'.encode())["deep"][0]
    if isinstance(value, str):
        assert value == text
    else:
        assert exact(repr(value)) == Decimal(text)


@given(st.lists(st.tuples(TEXTS, st.text("0123456789.eE+- a", max_size=30)), max_size=5))
def test_the_quick_way_reads_what_the_exact_one_does(numbers: list[tuple[str, str]]) -> None:
    text = "".join(f'"{said}": {number}, ' for number, said in numbers)
    line = f'{{{text}"n": [{", ".join(number for number, _ in numbers)}]}}'.encode()
    quick, exactly = Decoder().loads(line), Decoder().exactly(line)
    assert repr(quick) == repr(exactly)


@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_several_texts_are_read_as_each_is_by_itself(numbers: list[str]) -> None:
    texts = [f'{{"n": {number}}}'.encode() for number in numbers]
    assert repr([*Decoder().each(texts)]) == repr(list(map(Decoder().exactly, texts)))


@pytest.mark.parametrize("lists", ['{"a": [{"x": A}, {"x": B}]}', '{"a": [A, B]}'])
@given(one=TEXTS, two=TEXTS)
def test_numbers_within_one_list_keep_every_digit(lists: str, one: str, two: str) -> None:
    decoder = Decoder()
    rows = [decoder.loads(lists.replace("A", one).replace("B", two).encode()), {"a": None}]
    found = next(decoder.frames(rows))["a"].to_list()[0]
    written = [each["x"] if isinstance(each, dict) else each for each in found]
    assert _values([str(each) for each in written]) == _values([one, two])


@given(TEXTS, TEXTS)
def test_numbers_within_records_keep_every_digit_beside_each_other(one: str, two: str) -> None:
    decoder = Decoder()
    rows = [decoder.loads(f'{{"a": [{{"x": {text}}}]}}'.encode()) for text in (one, two)]
    found = next(decoder.frames(rows))["a"].to_list()
    assert _values([str(row[0]["x"]) for row in found]) == _values([one, two])


async def in_parts(blocks: Sequence[Sequence[str]], table: dict[str, str]) -> pl.Series:
    """What a flat table would get of numbers that come block by block."""
    with TemporaryDirectory() as name:
        folder, row = Path(name), 0
        async with FlatParts(KeptHere(folder), "flat", folder, table=table) as parts:
            for block in blocks:
                decoder = Decoder()
                said = [decoder.loads(f'{{"c": {text}}}'.encode()) for text in block]
                frame = tabular(next(decoder.frames(said)), {"c": "c"}, written=True)
                which = pl.int_range(row, row + len(block), eager=True).alias("x_row")
                await parts.add(frame.with_columns(pl.lit("f").alias("x_file"), which))
                row += len(block)
            await parts.finish()
        read = [pl.read_parquet(folder / "kept" / part) for part in parts.names]
        columns = [frame["c"].cast(pl.String) for frame in read if "c" in frame.columns]
        assert len({c.type for c in parts.columns.values() if c.name == "c"}) <= 1
        types = {str(frame.schema["c"]).partition("(")[0] for frame in read if "c" in frame.columns}
        assert len(types) <= 1
        return pl.concat(columns) if columns else pl.Series([], dtype=pl.String)


@given(st.lists(st.lists(st.one_of(TEXTS, st.just("null")), min_size=1, max_size=3), max_size=4))
def test_a_column_holds_every_digit_of_all_blocks(blocks: list[list[str]]) -> None:
    found = asyncio.run(in_parts(blocks, {}))
    written = [text for block in blocks for text in block if text != "null"]
    assert _values(found.drop_nulls().to_list()) == _values(written)


def _values(texts: Sequence[str]) -> list[object]:
    """Numbers beyond what can be counted with are compared as they are written."""
    return [text if "e9999999" in text else Decimal(text) for text in texts]


@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(["INT64", "BIGNUMERIC", "STRING"]))
def test_a_column_that_is_there_keeps_its_type_and_every_digit_or_refuses(
    texts: list[str], type_: str
) -> None:
    try:
        found = asyncio.run(in_parts([[text] for text in texts], {"c": type_}))
    except ColumnConflictError as error:
        refused = error
    else:
        assert _values(found.to_list()) == _values(texts)
        return
    assert (refused.file, refused.column, type_ != "STRING") == ("f", "c", True)
    assert "name another `target_table`" in str(refused)


def test_what_is_no_json_is_refused() -> None:
    for text in (b"NaN", b"-Infinity", b"01", b"1.", b'"\\ud800"', b"\xff", b"[" * 100_000):
        with pytest.raises(NoJsonError):
            Decoder().loads(text)


async def column(around: Surroundings, name: str = "cost") -> list[Any]:
    sql = f"SELECT {name} AS c FROM $.raw ORDER BY x_file, x_row"
    return [row["c"] for row in await around.rows(sql)]


async def type_of(around: Surroundings, name: str = "cost") -> str:
    columns = await around.tools.warehouse.columns(f"{around.tenant}.raw") or ()
    return {found.name: found.type for found in columns}[name]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (("1", "2"), "INT64"),
        (("1", "0.5", "null"), "BIGNUMERIC"),
        (("0.1", "0.2"), "BIGNUMERIC"),
        (("1", "0.123456789012345678"), "BIGNUMERIC"),
        (("1", FINE), "STRING"),
        (("1", LONG), "STRING"),
        ((BINARY, "0.5"), "STRING"),
        (("9007199254740993", "0.5"), "BIGNUMERIC"),
    ],
)
async def test_numbers_of_json_arrive_as_they_are_written(
    around: Surroundings, values: tuple[str, ...], type_: str
) -> None:
    around.deliver("b/b.ndjson", lines(*values))
    assert (await around.run("ingest.file", CONFIG)).rows == len(values)
    wanted = [None if value == "null" else Decimal(value) for value in values]
    found = [None if value is None else exact(value) for value in await column(around)]
    assert (found, await type_of(around)) == (wanted, type_)


async def test_credits_within_records_keep_their_digits(around: Surroundings) -> None:
    line = f'{{"credits": [{{"amount": -{FINE}}}, {{"amount": 0.5}}]}}\n'
    around.deliver("b/b.ndjson", line.encode())
    await around.run("ingest.file", CONFIG)
    (text,) = await column(around, "credits")
    assert [str(each["amount"]) for each in orjson.loads(text)] == [f"-{FINE}", "0.5"]


@pytest.mark.parametrize("block", [1, 16 << 20])
@pytest.mark.parametrize("files", [1, 4])
async def test_whole_numbers_fractions_and_nothing_are_one_column(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch, block: int, files: int
) -> None:
    monkeypatch.setattr("services.executor.ingest.readers.JSON_BLOCK", block)
    values = ("null", "1", "2.5", "null", "3", FINE, "4", "5.5")
    for number in range(files):
        part = values[number * len(values) // files : (number + 1) * len(values) // files]
        around.deliver(f"b/{number}.ndjson", lines(*part))
    assert (await around.run("ingest.file", CONFIG)).rows == 8
    found = await column(around)
    assert [None if v is None else exact(v) for v in found] == [
        None if value == "null" else Decimal(value) for value in values
    ]


async def test_parquet_of_whole_numbers_and_of_floats_is_one_column(
    around: Surroundings, tmp_path: Path
) -> None:
    for name, values in (("a", [1, 2]), ("b", [0.5]), ("c", [3])):
        path = tmp_path / "made"
        pl.DataFrame({"cost": values}).write_parquet(path)
        around.deliver(f"b/{name}.parquet", path.read_bytes())
    await around.run("ingest.file", CONFIG)
    assert (await column(around), await type_of(around)) == ([1.0, 2.0, 0.5, 3.0], "FLOAT64")


async def test_a_column_without_any_value_has_no_type_until_one_comes(
    around: Surroundings,
) -> None:
    around.deliver("b/b.ndjson", b'{"a": 1, "cost": null}\n')
    await around.run("ingest.file", CONFIG)
    around.deliver("b/b.ndjson", b'{"a": 1, "cost": 2.5}\n')
    await around.run("ingest.file", CONFIG)
    assert (await column(around), await type_of(around)) == ([Decimal("2.5")], "BIGNUMERIC")
    around.heard.events.clear()
    around.deliver("b/b.ndjson", b'{"a": 1, "cost": null}\n')
    await around.run("ingest.file", CONFIG)
    assert await column(around) == [None]
    assert not around.heard.events  # it is not missing


@pytest.mark.parametrize(
    ("type_", "values", "wanted"),
    [
        ("FLOAT64", ("0.5", FINE, "1"), [0.5, float(FINE), 1.0]),
        ("BIGNUMERIC", ("1", "0.5"), [Decimal(1), Decimal("0.5")]),
        ("STRING", ("1", "0.50", FINE), ["1", "0.5", FINE]),
        ("INT64", ("1", "2.0"), [1, 2]),
    ],
)
async def test_a_column_that_a_table_has_keeps_its_type(
    around: Surroundings, type_: Any, values: tuple[str, ...], wanted: list[Any]
) -> None:
    columns = (Column("x_slice", "STRING"), Column("cost", type_))
    await around.tools.warehouse.ensure(Table(str(around.tenant), "raw", columns))
    around.deliver("b/b.ndjson", lines(*values))
    await around.run("ingest.file", CONFIG)
    assert (await column(around), await type_of(around)) == (wanted, type_)


@pytest.mark.parametrize("block", [1, 16 << 20])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((b'{"cost": 1}\n', b'\n{"cost": 2}\n{"cost": "much"}\n'), "b/1.ndjson, line 3"),
        ((b'{"a": 1}\n{"cost": "much"}\n', b'{"cost": 1}\n'), "b/0.ndjson, line 2"),
        ((b'{"cost": 1}\n\n{"cost": "much"}\n',), "b/0.ndjson, line 3"),
        ((b'{"cost": true}\n', b'{"cost": "much"}\n'), "b/1.ndjson, line 1"),
    ],
)
async def test_text_among_numbers_is_refused_with_its_line_unless_a_type_is_declared(
    around: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
    block: int,
    files: tuple[bytes, ...],
    said: str,
) -> None:
    monkeypatch.setattr("services.executor.ingest.readers.JSON_BLOCK", block)
    for number, content in enumerate(files):
        around.deliver(f"b/{number}.ndjson", content)
    with pytest.raises(StepError) as caught:
        await around.run("ingest.file", CONFIG)
    assert (caught.value.code, said in caught.value.detail) == ("column_conflict", True)
    assert "column cost" in caught.value.detail
    if b"true" not in files[0]:
        await around.run("ingest.file", {**CONFIG, "columns": {"cost": "text"}})
        assert "much" in await column(around)


@pytest.mark.parametrize("block", [1, 16 << 20])
async def test_a_column_of_whole_numbers_is_widened_by_the_first_that_is_none(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("services.executor.ingest.readers.JSON_BLOCK", block)
    around.deliver("b/b.ndjson", lines("1", str(2**63 - 1)))
    await around.run("ingest.file", {**CONFIG, "slice": "2026-10"})
    around.deliver("b/b.ndjson", lines("2", "0.123456789012345678", str(2**63)))
    await around.run("ingest.file", CONFIG)
    kept = await around.rows("SELECT cost FROM $.raw ORDER BY x_slice, x_row")
    assert [row["cost"] for row in kept] == [
        Decimal(text) for text in ("1", str(2**63 - 1), "2", "0.123456789012345678", str(2**63))
    ]
    assert await type_of(around) == "BIGNUMERIC"
    around.deliver("b/b.ndjson", lines("3"))
    assert (await around.run("ingest.file", CONFIG)).rows == 1


async def test_a_number_that_a_tables_column_cannot_hold_is_refused_with_its_line(
    around: Surroundings,
) -> None:
    around.deliver("b/b.ndjson", lines("1"))
    await around.run("ingest.file", CONFIG)
    around.deliver("b/b.ndjson", lines("0.5", "1e40"))
    said = r"b/b\.ndjson, line 2, column cost: .*1e\+?40.* INT64, .*name another `target_table`"
    with pytest.raises(StepError, match=said):
        await around.run("ingest.file", CONFIG)
    assert (await column(around), await type_of(around)) == ([1], "INT64")


def test_a_value_that_does_not_fit_is_told_by_its_row() -> None:
    for values, type_ in (
        (pl.Series(["1", "x"]), "BIGNUMERIC"),
        (pl.Series([1, 2**53 + 1]), "FLOAT64"),
        (pl.Series([0.5, float("nan")]), "BIGNUMERIC"),
        (pl.Series(["1", "1e30"]), "INT64"),
    ):
        with pytest.raises(NoFitError) as caught:
            fitted(values, type_)  # type: ignore[arg-type]
        assert caught.value.row == 1

"""Whatever kinds of values the fields of JSON have, nothing of them is lost or altered."""

import copy
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.focus.engine import Converter
from services.executor.focus.mapping import load_mapping
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.json_columns import MixedError
from services.executor.ingest.json_rows import Decoder
from services.executor.ingest.readers import open_reader
from services.executor.steps.step import StepError
from tests.ingest.surroundings import Surroundings
from tests.ingest.test_compliance_ocsf import HUB

FINE = "0.12345678901234567890123"
CONFIG = {"files": "b/*", "target_table": "${tenant_id}.raw", "slice": "2026-11"}
NAMES = st.sampled_from(["a", "b", "", "ä", "a\0b", "a\0c"])
SINGLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(2**53 - 2, 2**53 + 2),
    st.sampled_from([Decimal(FINE), Decimal("1e-5"), Decimal("2.5"), Decimal("1e400")]),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: Decimal(repr(value))),
    st.sampled_from(["a", "1", "true", "[1]", '{"a": 1}', "", "\n"]),
)
VALUES = st.recursive(
    SINGLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
LIKELY = st.one_of(
    VALUES,
    st.builds(lambda value: {"v": value}, VALUES),
    st.builds(lambda value: [{"v": value}], VALUES),
)
ROWS = st.lists(st.dictionaries(NAMES, LIKELY, max_size=2), min_size=1, max_size=4)


def line(value: Any) -> bytes:
    def written(number: Decimal) -> orjson.Fragment:
        return orjson.Fragment(str(number).lower().replace("e+", "e"))

    return orjson.dumps(_big(value), default=written)


def _big(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _big(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(_big, value))
    return Decimal(value) if type(value) is int else value


def is_same(said: Any, found: Any) -> bool:
    """As it was written, or its JSON; what has no value may be there or not."""
    if isinstance(found, str) and not isinstance(said, str | None):
        return bool(_exactly(said) == _exactly(Decoder().exactly(found.encode())))
    if isinstance(said, dict) and isinstance(found, Mapping):
        return all(is_same(said.get(name), found.get(name)) for name in {*said, *found})
    if isinstance(said, list) and isinstance(found, list):
        return len(said) == len(found) and all(map(is_same, said, found))
    if isinstance(said, bool) or isinstance(found, bool) or said is None or found is None:
        return said is found
    if isinstance(said, int | Decimal) and isinstance(found, int | float | Decimal):
        return Decimal(said) == Decimal(repr(found) if isinstance(found, float) else found)
    return type(said) is type(found) and bool(said == found)


def _exactly(value: Any) -> Any:
    """Numbers alike, whoever holds them, and not like what is true."""
    if isinstance(value, dict):
        return {name: _exactly(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(_exactly, value))
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    is_number = isinstance(value, int | Decimal) or type(value) is not str
    return Decimal(value) if is_number else value


@given(ROWS, st.sampled_from(["", "."]))
def test_what_is_read_is_what_was_written_or_refused(rows: list[Any], point: str) -> None:
    decoder = Decoder()
    read = [decoder.loads(line(row)) for row in rows]
    try:
        found = next(decoder.frames(read, lambda _: point))
    except MixedError as error:
        refused = error
    else:
        found.to_arrow()
        read = found.to_dicts()
        assert [
            (said, row) for said, row in zip(rows, read, strict=True) if not is_same(said, row)
        ] == []
        return
    assert refused.column in rows[refused.row]


def frames(folder: Path, *rows: Any) -> list[dict[str, Any]]:
    path = folder / "f.jsonl"
    path.write_bytes(b"\n".join(map(line, rows)))
    batches = open_reader(path, path.name, None, CsvOptions()).batches()
    return [row for batch in batches for row in batch.to_dicts()]


def put(value: Any, within: Any) -> Any:
    """Where nothing stands."""
    if isinstance(within, list):
        return [put(value, each) for each in within]
    return {"v": value} if within else value


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("a", ["b"]), ("a", '["b"]')),
        ((["b"], "a"), ('["b"]', "a")),
        (("a", {"x": 1}), ("a", '{"x":1}')),
        ((1, {"x": Decimal(FINE)}), ("1", f'{{"x":{FINE}}}')),
        ((True, [2.5]), ("true", "[2.5]")),
        (([["b"]], ["c"]), (['["b"]'], ["c"])),
        ((-1.5, "-2.5"), ("-1.5", "-2.5")),
        (([], {}), ("[]", "{}")),
        (({}, {}), ("{}", "{}")),
        (({"a\0b": 1}, {"a\0c": 2}), ('{"a\\u0000b":1}', '{"a\\u0000c":2}')),
    ],
)
@pytest.mark.parametrize("within", [{"v": None}, [None], [{"v": None}]], ids=str)
def test_a_field_of_several_kinds_is_text(
    tmp_path: Path, values: tuple[Any, Any], wanted: tuple[Any, Any], within: Any
) -> None:
    rows = [{"id": number, "c": put(value, within)} for number, value in enumerate(values)]
    found = [row["c"] for row in frames(tmp_path, *rows)]
    assert found == [put(value, within) for value in wanted]


@pytest.mark.parametrize("other", [["b"], {"x": 1}, 1])
def test_a_column_of_several_kinds_is_refused_by_its_line(tmp_path: Path, other: Any) -> None:
    with pytest.raises(RefusedFileError, match="stands where 'a' stood before") as refused:
        frames(tmp_path, {"c": None}, {"c": "a"}, {"c": other})
    assert (refused.value.line, refused.value.column) == (3, "c")


async def test_a_column_of_several_kinds_is_kept_as_text_where_that_is_declared(
    around: Surroundings,
) -> None:
    around.deliver("b/b.ndjson", b'{"c": "a"}\n{"c": ["b", 0.50]}\n{"c": {"x": 1}}\n{"c": 2}\n')
    with pytest.raises(StepError, match=r"b/b\.ndjson, line 2, column c: .*is a list, one text"):
        await around.run("ingest.file", CONFIG)
    await around.run("ingest.file", {**CONFIG, "columns": {"c": "text"}})
    kept = await around.rows("SELECT c FROM $.raw ORDER BY x_row")
    assert [row["c"] for row in kept] == ["a", '["b",0.5]', '{"x":1}', "2"]


@pytest.mark.parametrize("more", [[], [FINE]], ids=["floats", "digits"])
async def test_numbers_among_texts_with_a_comma_are_what_they_were(
    around: Surroundings, more: list[str]
) -> None:
    values = ['"1.234,5"', "2.125", "3", *more]
    around.deliver("b/b.ndjson", "".join(f'{{"c": {value}}}\n' for value in values).encode())
    config = {**CONFIG, "columns": {"c": "decimal"}, "decimal_comma": True}
    await around.run("ingest.file", config)
    kept = await around.rows("SELECT c FROM $.raw ORDER BY x_row")
    wanted = [Decimal("1234.5"), Decimal("2.125"), Decimal(3), Decimal("0.123456789012345679")]
    assert [row["c"] for row in kept] == wanted[: len(values)]


async def test_lists_of_one_block_stand_as_their_json_beside_texts_of_the_next(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.executor.ingest.readers.JSON_BLOCK", 1)
    around.deliver("b/0.ndjson", b'{"c": "a"}\n{"c": ["b"]}\n')
    around.deliver("b/1.ndjson", b'{"c": {"x": ["d"]}}\n{"c": {"x": "e"}}\n')
    await around.run("ingest.file", CONFIG)
    kept = await around.rows("SELECT c FROM $.raw ORDER BY x_file, x_row")
    assert [row["c"] for row in kept] == ["a", '["b"]', '{"x":["d"]}', '{"x":"e"}']
    around.deliver("n/0.ndjson", b'{"c": 1}\n')
    around.deliver("n/1.ndjson", b'\n{"c": ["b"]}\n')
    with pytest.raises(StepError, match=r"n/1\.ndjson, line 2, column c: .*does not fit a number"):
        await around.run(
            "ingest.file", {**CONFIG, "files": "n/*", "target_table": "${tenant_id}.n"}
        )


async def test_records_without_fields_and_deep_ones_arrive(around: Surroundings) -> None:
    deep: Any = "x"
    for _ in range(90):
        deep = [deep]
    rows = [{"id": 1, "none": {}, "nones": [{}], "deep": deep}, {"id": 2}]
    around.deliver("b/b.ndjson", b"\n".join(map(orjson.dumps, rows)))
    await around.run("ingest.file", CONFIG)
    kept, _ = await around.rows("SELECT * FROM $.raw ORDER BY x_row")
    assert (kept["none"], orjson.loads(kept["nones"])) == ("{}", ["{}"])
    assert kept["deep"].count("[") == 90


def test_what_no_text_can_hold_is_refused_by_its_line(tmp_path: Path) -> None:
    deep: Any = {"x": "y"}
    for _ in range(200):
        deep = [deep]
    for _ in range(200):
        deep = orjson.Fragment(b"[" + orjson.dumps(deep) + b"]")
    with pytest.raises(RefusedFileError, match="lie too deep") as refused:
        frames(tmp_path, {"c": []}, {"c": deep})
    assert (refused.value.line, refused.value.column) == (2, "c")
    with pytest.raises(RefusedFileError, match="has a NUL in it") as refused:
        frames(tmp_path, {"c": 1}, {"c": 1, "a\0b": 1})
    assert refused.value.line == 2


GOOGLE = {
    "billing_account_id": "A",
    "service": {"id": "s", "description": "Compute Engine"},
    "sku": {"id": "k", "description": "N1"},
    "usage_start_time": "2026-10-02 00:00:00 UTC",
    "usage_end_time": "2026-10-02 01:00:00 UTC",
    "project": {"id": "p", "name": "p"},
    "currency": "USD",
    "usage": {"amount": 1.0, "amount_in_pricing_units": 1.0, "pricing_unit": "hour"},
    "invoice": {"month": "202610"},
    "cost_type": "regular",
}


@pytest.mark.parametrize("id_", ["b", ["b"], {"k": "b"}, 7, None])
def test_credits_count_whatever_kind_of_value_their_names_are(tmp_path: Path, id_: Any) -> None:
    rows = [
        {**GOOGLE, "cost": 10.5, "credits": [{"id": "a", "type": "DISCOUNT", "amount": -3.5}]},
        {**GOOGLE, "cost": 20.5, "credits": [{"id": id_, "type": "DISCOUNT", "amount": -8.5}]},
    ]
    path = tmp_path / "g.jsonl"
    path.write_bytes(b"\n".join(map(line, rows)))
    (batch,) = open_reader(path, path.name, None, CsvOptions()).batches()
    found = Converter(load_mapping("gcp_billing"), batch.schema).convert(batch)
    assert found["BilledCost"].to_list() == [7, 12]


async def test_findings_keep_their_resources_whatever_their_details_are(
    around: Surroundings,
) -> None:
    details: list[Any] = [
        {"AwsEc2Instance": {"VpcId": "v", "Port": 1}},
        {"AwsS3Bucket": {"Name": "b", "Port": "x"}},
        {"AwsEc2Instance": {"VpcId": ["v"], "Port": {"x": Decimal(FINE)}}},
        {"AwsEc2Instance": [True]},
        {},
        "none",
    ]
    findings = []
    for number, said in enumerate(details):
        finding = copy.deepcopy(HUB)
        finding["Id"] = f"f{number}"
        finding["Resources"][0]["Details"] = said
        findings.append(finding)
    findings[1]["Compliance"]["AssociatedStandards"] = {"StandardsId": "one"}
    around.deliver("b/b.ndjson", b"\n".join(map(line, findings)))
    await around.run("ingest.file", {**CONFIG, "slice": "latest"})
    kept = await around.rows("SELECT Resources FROM $.raw ORDER BY x_row")
    assert FINE in kept[2]["Resources"]
    config = {"source": "aws_security_hub", "source_table": CONFIG["target_table"]}
    await around.run("compliance.ocsf", {**config, "slice": "latest"})
    found = await around.rows(
        "SELECT finding_uid, resource_uid, ocsf FROM $.ocsf_compliance_findings ORDER BY 1"
    )
    assert [row["resource_uid"] for row in found] == ["AWS::::Account:012345678901"] * 6
    standards = [orjson.loads(row["ocsf"])["compliance"].get("standards") for row in found]
    assert standards == [["one" if n == 1 else "standards/cis/v/3.0.0"] for n in range(6)]

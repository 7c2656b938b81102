"""What tables take in: evolved, frozen, with rows or values put aside, and tried again."""

from decimal import Decimal
from io import BytesIO
from typing import Any

import orjson
import polars as pl
import pytest

from services.executor.ingest import contract
from services.executor.ingest.contract import Contract
from services.executor.ingest.deliveries import Deliveries
from services.executor.ingest.values import Style
from services.executor.steps import ingest_replay
from services.executor.steps.raw_load import numbers
from services.executor.steps.step import StepError
from tests.ingest.surroundings import Surroundings

BILL = "account,cost,day\n007,1.5,2026-11-01\n008,2,2026-11-02\n"
BAD = "account,cost,day\n007,1.5,2026-11-01\n008,much,2026-11-02\n009,3,soon\n"
WIDER = "account,cost,day,note\n007,1.5,2026-11-01,\n008,2,2026-11-02,look\n"
TYPES = {"cost": "decimal", "day": "date", "account": "text"}
HALF = "account,cost,day\n007,1,2026-11-01\n008,2.5,2026-11-02\n009,3,soon\n"
TOO_NARROW = {**TYPES, "cost": "int"}
ABROAD = "account,cost,day\n007,1.234,05/11/2026\n008,1.234,6.11.2026\nx,2.345,7.11.2026\n"
STYLE = {"decimal_comma": True, "day_first": True}
REPLAY = {"target_table": "${tenant_id}.raw", "slice": "2026-11"}


def config(contract: str = "evolve", **more: Any) -> dict[str, Any]:
    return {
        "files": "bills/*.csv",
        "target_table": "${tenant_id}.raw",
        "slice": "2026-11",
        "contract": contract,
        **more,
    }


def parquet(columns: dict[str, Any]) -> bytes:
    file = BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


async def load(around: Surroundings, text: str, said: dict[str, Any]) -> int:
    around.deliver("bills/bill.csv", text.encode())
    return (await around.run("ingest.file", said)).rows


async def accounts(around: Surroundings) -> list[str]:
    return [r["account"] for r in await around.rows("SELECT account FROM $.raw ORDER BY 1")]


async def aside(around: Surroundings) -> list[tuple[Any, ...]]:
    rows = await around.rows(
        "SELECT x_row, reason, column_name, row_values, contract, revision, x_file, x_slice"
        " FROM $.raw_quarantine ORDER BY x_row"
    )
    return [tuple(row.values()) for row in rows]


async def test_declared_types_are_those_of_the_table(around: Surroundings) -> None:
    assert await load(around, BILL, config(columns=TYPES)) == 2
    (row,) = await around.rows(
        "SELECT SUM(cost) AS c, CAST(MIN(day) AS STRING) AS d, MIN(account) AS a FROM $.raw"
    )
    assert row == {"c": Decimal("3.5"), "d": "2026-11-01", "a": "007"}


async def test_new_columns_are_taken_in_unless_frozen(around: Surroundings) -> None:
    await load(around, BILL, config())
    with pytest.raises(StepError) as caught:
        await load(around, WIDER, config("freeze"))
    assert caught.value.code == "file_refused"
    assert "bills/bill.csv, line 1, column note: the contract (revision 1)" in caught.value.detail
    assert await load(around, WIDER, config()) == 2
    assert await load(around, WIDER, config("freeze")) == 2
    (row,) = await around.rows("SELECT COUNTIF(note = 'look') AS n FROM $.raw")
    assert row["n"] == 1


@pytest.mark.parametrize("contract", ["evolve", "freeze"])
async def test_a_value_of_another_type_is_refused_in_its_place(
    around: Surroundings, contract: str
) -> None:
    await load(around, BILL, config(contract, columns=TYPES))
    with pytest.raises(StepError) as caught:
        await load(around, BAD, config(contract, columns=TYPES))
    expected = "bills/bill.csv, line 3, column cost: 'much' is not a number"
    assert caught.value.detail == expected
    assert await accounts(around) == ["007", "008"]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("own.csv", b"cost,x_reason\n1,late\n", "own.csv, line 1, column x_reason"),
        ("own.csv", b"cost,X-File\n", "own.csv, line 1, column X-File"),
        ("own.ndjson", b'{"cost": 1}\n\n{"X_Row": 7}\n', "own.ndjson, line 3, column X_Row"),
        ("own.parquet", parquet({"cost": [1], "x_role": ["a"]}), "own.parquet, column x_role"),
    ],
)
@pytest.mark.parametrize("contract", ["evolve", "discard_value"])
async def test_columns_called_as_the_platforms_own_are_refused(
    around: Surroundings, name: str, content: bytes, place: str, contract: str
) -> None:
    around.deliver(f"bills/{name}", content)
    with pytest.raises(StepError) as caught:
        await around.run("ingest.file", config(contract, files="bills/*"))
    assert caught.value.code == "file_refused"
    assert caught.value.detail.startswith(f"bills/{place}: this name is the platform's own")


async def test_rows_that_do_not_fit_are_put_aside_whole(around: Surroundings) -> None:
    assert await load(around, BAD, config("discard_row", columns=TYPES)) == 1
    assert await accounts(around) == ["007"]
    found = await aside(around)
    where = ("discard_row", 0, "bills/bill.csv", "2026-11")
    assert [(row[:3], row[4:]) for row in found] == [
        ((1, "it is not a number", "cost"), where),
        ((2, "it is not a date", "day"), where),
    ]
    assert orjson.loads(found[0][3]) == {"account": "008", "cost": "much", "day": "2026-11-02"}
    assert around.heard.checks == {
        "rows_fit_the_contract": "FAILED",
        "decimals_are_kept": "PASSED",
    }


def test_bytes_are_put_aside_as_bigquery_writes_them_in_json() -> None:
    frame = pl.DataFrame({"cost": ["much", "1"], "picture": [b"\xff\x00", b""]})
    contract = Contract("discard_row", {"cost": "decimal", "picture": "text"})
    rows = contract.sort(frame, "f.parquet", numbers(0, 2), lambda _: None)
    assert orjson.loads(rows.aside["x_values"].item()) == {"cost": "much", "picture": "/wA="}
    assert rows.kept.select("cost", "picture").rows() == [(1, b"")]


async def test_values_that_do_not_fit_are_left_out_and_kept_aside(around: Surroundings) -> None:
    assert await load(around, BAD, config("discard_value", columns=TYPES)) == 3
    rows = await around.rows("SELECT cost, day FROM $.raw ORDER BY account")
    assert [(row["cost"], row["day"] is None) for row in rows] == [
        (Decimal("1.5"), False),
        (None, False),
        (Decimal(3), True),
    ]
    assert [row[:3] for row in await aside(around)] == [
        (1, "it is not a number", "cost"),
        (2, "it is not a date", "day"),
    ]


@pytest.mark.parametrize(("contract", "kept"), [("discard_row", 1), ("discard_value", 2)])
async def test_an_unknown_column_is_put_aside_where_it_says_something(
    around: Surroundings, contract: str, kept: int
) -> None:
    await load(around, BILL, config(contract))
    assert await load(around, WIDER, config(contract)) == kept
    assert [row[:3] + row[4:6] for row in await aside(around)] == [
        (1, "the contract does not know it", "note", contract, 1)
    ]
    (columns,) = await around.rows("SELECT TO_JSON_STRING(r) AS j FROM $.raw AS r LIMIT 1")
    assert "note" not in columns["j"]


@pytest.mark.parametrize(("contract", "kept"), [("discard_row", 2), ("discard_value", 3)])
async def test_what_was_put_aside_is_tried_again(
    around: Surroundings, contract: str, kept: int
) -> None:
    await load(around, HALF, config(contract, columns=TOO_NARROW))
    assert [row[0] for row in await aside(around)] == [1, 2]
    replay = {**REPLAY, "contract": contract}
    for _ in range(2):
        done = await around.run("ingest.replay", {**replay, "columns": TYPES})
        assert done.rows == kept
        rows = await around.rows("SELECT account, cost, x_row FROM $.raw ORDER BY account")
        assert [tuple(row.values()) for row in rows][:2] == [
            ("007", Decimal(1), 0),
            ("008", Decimal("2.5"), 1),
        ]
        assert len(rows) == kept
        assert [row[:3] for row in await aside(around)] == [(2, "it is not a date", "day")]
    strict = {**replay, "contract": "evolve", "columns": TYPES}
    with pytest.raises(StepError, match=r"column day: 'soon' is not a date"):
        await around.run("ingest.replay", strict)
    assert (len(await accounts(around)), len(await aside(around))) == (kept, 1)


async def test_the_same_files_again_do_not_undo_a_replay(around: Surroundings) -> None:
    said = config("discard_row", columns=TOO_NARROW)
    assert await load(around, HALF, said) == 1
    for _ in range(2):
        replay = {**REPLAY, "contract": "discard_row", "columns": TYPES}
        assert (await around.run("ingest.replay", replay)).rows == 2
        assert await load(around, HALF, said) == 2
        assert around.heard.notes[-1] == "the same files are loaded already"
        assert await accounts(around) == ["007", "008"]
    assert await load(around, HALF.replace("007", "006"), said) == 1
    assert await accounts(around) == ["006"]


@pytest.mark.parametrize("said", [{}, STYLE], ids=["unsaid", "said"])
async def test_a_replay_reads_as_the_files_were_read(
    around: Surroundings, said: dict[str, Any]
) -> None:
    columns = {**TYPES, "account": "int"}
    assert await load(around, ABROAD, config("discard_row", columns=columns, **STYLE)) == 2
    replay = {**REPLAY, "contract": "discard_value", "columns": columns, **said}
    assert (await around.run("ingest.replay", replay)).rows == 3
    rows = await around.rows("SELECT cost, CAST(day AS STRING) AS d FROM $.raw ORDER BY x_row")
    assert [tuple(row.values()) for row in rows] == [
        (Decimal(1234), "2026-11-05"),
        (Decimal(1234), "2026-11-06"),
        (Decimal(2345), "2026-11-07"),
    ]
    deliveries, tenant = Deliveries(around.tools.data), str(around.tenant)
    after = await deliveries.delivered(tenant, f"{tenant}.raw", "2026-11")
    assert Style.of(after.facts) == Style(decimal_comma=True, day_first=True)


@pytest.mark.parametrize(
    ("loaded", "said", "problem"),
    [
        ({}, {"decimal_comma": True}, "decimal_comma is true.*with decimal_comma: false; leave"),
        (STYLE, {"day_first": False}, "day_first is false, .*loaded with day_first: true; leave"),
    ],
)
async def test_a_replay_that_would_read_otherwise_is_refused(
    around: Surroundings, loaded: dict[str, Any], said: dict[str, Any], problem: str
) -> None:
    columns = {**dict.fromkeys(TYPES, "text"), "account": "int"}
    await load(around, ABROAD, config("discard_row", columns=columns, **loaded))
    with pytest.raises(StepError, match=problem) as caught:
        await around.run("ingest.replay", {**REPLAY, "columns": {"account": "text"}, **said})
    assert caught.value.code == "invalid_config"
    assert len(await aside(around)) == 1


async def test_texts_become_numbers_of_the_table_as_the_delivery_writes_them(
    around: Surroundings,
) -> None:
    bill = 'hours,cost\n1,"1.234,5"\n"2,5",2.345\n'
    columns = {"hours": "int", "cost": "decimal"}
    await load(around, bill, config("discard_row", columns=columns, decimal_comma=True))
    await around.run("ingest.replay", {**REPLAY, "columns": {"hours": "decimal"}})
    rows = await around.rows("SELECT cost FROM $.raw ORDER BY x_row")
    assert [row["cost"] for row in rows] == [Decimal("1234.5"), Decimal(2345)]


async def test_declared_decimals_that_are_rounded_are_counted(around: Surroundings) -> None:
    bill = "account,cost,day\n1,0.0000000000000000004,2026-11-01\nx,2E-19,2026-11-02\n"
    columns = {**TYPES, "account": "int"}
    await load(around, bill, config("discard_row", columns=columns))
    assert around.heard.checks["decimals_are_kept"] == "FAILED"
    replay = {**REPLAY, "contract": "discard_value", "columns": columns}
    await around.run("ingest.replay", replay)
    tenant = str(around.tenant)
    after = await Deliveries(around.tools.data).delivered(tenant, f"{tenant}.raw", "2026-11")
    assert after.rounded == {"cost": 2}
    await load(around, BILL, config(columns=TYPES))
    assert around.heard.checks["decimals_are_kept"] == "PASSED"


def test_numbers_as_text_are_written_as_the_delivery_writes_them() -> None:
    frame = pl.DataFrame({"cost": [Decimal("1.2340"), Decimal(5)]})
    written = Contract(types={"cost": "text"}, style=Style(decimal_comma=True))
    rows = written.sort(frame, "f.parquet", numbers(0, 2), lambda _: None)
    assert rows.kept["cost"].to_list() == ["1,234", "5"]


async def test_a_replay_without_anything_aside_changes_nothing(around: Surroundings) -> None:
    with pytest.raises(StepError, match="holds no slice"):
        await around.run("ingest.replay", REPLAY)
    await load(around, BILL, config("discard_row", columns=TYPES))
    assert (await around.run("ingest.replay", REPLAY)).rows == 2
    assert around.heard.notes == ["nothing is in quarantine"]


async def test_a_batch_put_aside_in_whole_has_no_types(around: Surroundings) -> None:
    said = config("discard_row", files="bills/*")
    good, odd = b'{"account": "007", "paid": true}\n', b'{"paid": "soon", "note": "x"}\n'
    around.deliver("bills/2.ndjson", good)
    await around.run("ingest.file", said)
    for name in ("1", "3"):
        around.deliver(f"bills/{name}.ndjson", odd)
    assert (await around.run("ingest.file", said)).rows == 1
    assert [row[:3] for row in await aside(around)] == [
        (0, "the contract does not know it", "note")
    ] * 2
    (row,) = await around.rows("SELECT account, paid FROM $.raw")
    assert row == {"account": "007", "paid": True}


async def test_a_good_delivery_empties_the_quarantine_of_its_slice(around: Surroundings) -> None:
    await load(around, BAD, config("discard_row", columns=TYPES))
    assert await load(around, BILL, config("discard_row", columns=TYPES)) == 2
    assert await aside(around) == []


async def test_a_delivery_of_misfits_is_refused(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "MOST_ASIDE", 1)
    with pytest.raises(StepError, match="is it the right file"):
        await load(around, BAD, config("discard_row", columns=TYPES))


@pytest.mark.parametrize(("rows", "size"), [(65, 1 << 20), (100_001, 1)])
async def test_what_is_put_aside_is_bounded_in_rows_and_in_bytes(
    around: Surroundings, rows: int, size: int
) -> None:
    text = "account,cost\n" + f"{'x' * size},much\n" * rows
    with pytest.raises(StepError, match=r"no more than 100000 rows or 67108864 bytes") as caught:
        await load(around, text, config("discard_row", columns={"cost": "decimal"}))
    assert caught.value.code == "too_many_misfits"


async def test_more_than_is_put_aside_today_is_not_tried_again(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(around, BAD, config("discard_row", columns=TYPES))
    monkeypatch.setattr(contract, "MOST_ASIDE_BYTES", 50)
    with pytest.raises(StepError, match=r"2 rows, of 9\d bytes, do not fit"):
        await around.run("ingest.replay", {**REPLAY, "contract": "discard_row", "columns": TYPES})


async def test_many_rows_are_tried_again_in_blocks(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_replay, "JSON_BLOCK", 1)
    await load(around, HALF, config("discard_row", columns=TOO_NARROW))
    again = {**REPLAY, "contract": "discard_row", "columns": TYPES}
    assert (await around.run("ingest.replay", again)).rows == 2
    assert [row[0] for row in await aside(around)] == [2]
    assert await accounts(around) == ["007", "008"]

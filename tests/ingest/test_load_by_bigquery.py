"""Parquet of the landing folder that BigQuery loads itself: into slices like any other."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from typing import Any

import polars as pl
import pytest

from contracts.quality import SchemaDriftedV1
from services.executor.ingest import direct
from services.executor.steps.step import StepError, StepFaultError, StepRetryError, StepRun
from tests.ingest.surroundings import Surroundings

ONE = {"account": ["007", "008"], "cost": [1.5, 2.0]}
TWO = {"account": ["009"], "cost": [3.0]}
NOTED = {**TWO, "note": ["look"]}


def config(**more: Any) -> dict[str, Any]:
    return {
        "files": "bills/{period.month}/*.parquet",
        "target_table": "${tenant_id}.raw",
        "slice": "2026-11",
        "load_by": "bigquery",
        **more,
    }


def parquet(values: Mapping[str, Any]) -> bytes:
    body = BytesIO()
    pl.DataFrame(values).write_parquet(body)
    return body.getvalue()


async def deliver(around: Surroundings, name: str, body: Mapping[str, Any] | bytes) -> None:
    content = body if isinstance(body, bytes) else parquet(body)
    await around.tools.data.write(f"landing/{around.tenant}/bills/2026-11/{name}", content)


async def load(around: Surroundings, *, run: int = 0, **more: Any) -> int:
    return (await around.run("ingest.file", config(**more), run=run)).rows


async def refused(around: Surroundings, **more: Any) -> str:
    with pytest.raises(StepError) as caught:
        await load(around, **more)
    assert not isinstance(caught.value, StepRetryError)
    assert "load_by" in caught.value.detail
    return f"{caught.value.code}: {caught.value.detail}"


async def accounts(around: Surroundings) -> list[str]:
    return [r["account"] for r in await around.rows("SELECT account FROM $.raw ORDER BY 1")]


async def staged(around: Surroundings) -> list[str]:
    return [t for t in await around.tools.warehouse.tables(str(around.tenant)) if t != "raw"]


async def test_files_become_a_slice_that_the_next_delivery_replaces(around: Surroundings) -> None:
    await deliver(around, "a.parquet", ONE)
    await deliver(around, "b.parquet", TWO)
    given = around.given("ingest.file", config())
    assert (await around.types["ingest.file"].run(given)).rows == 3
    assert set(given.spent.jobs) == {given.job_id_of("stage"), given.job_id_of("swap")}
    other = around.given("ingest.file", config(slice="2026-10", files="bills/2026-11/a*"))
    assert (await around.types["ingest.file"].run(other)).rows == 2
    assert await accounts(around) == ["007", "007", "008", "008", "009"]
    await deliver(around, "b.parquet", {"account": ["010", "011"], "cost": [3.0, 4.0]})
    assert await load(around) == 4
    rows = await around.rows(
        "SELECT x_slice AS s, COUNT(*) AS n, SUM(cost) AS c, COUNT(DISTINCT x_load_id) AS loads,"
        " COUNT(x_file) + COUNT(x_row) AS places FROM $.raw GROUP BY x_slice ORDER BY 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("2026-10", 2, 3.5, 1, 0),
        ("2026-11", 4, 10.5, 1, 0),
    ]
    assert await staged(around) == []


async def test_decimals_keep_their_digits(around: Surroundings) -> None:
    digits = Decimal("12345678901.123456789012345678")
    costs = pl.Series("cost", [digits], dtype=pl.Decimal(38, 18))
    await deliver(around, "a.parquet", {"account": ["007"], "cost": costs})
    assert await load(around) == 1
    assert await around.rows("SELECT cost FROM $.raw") == [{"cost": digits}]
    columns = await around.tools.warehouse.columns(f"{around.tenant}.raw")
    assert columns is not None
    assert {c.name: c.type for c in columns}["cost"] == "BIGNUMERIC"


async def test_the_same_files_are_not_loaded_again(around: Surroundings) -> None:
    await deliver(around, "a.parquet", ONE)
    assert await load(around) == 2
    assert await load(around) == 2
    assert around.heard.notes == ["the same files are loaded already"]


async def test_what_the_executor_has_loaded_keeps_its_name(around: Surroundings) -> None:
    """Else every delivery would be loaded once more after an upgrade.

    A reader that reads files as something else has another version, and so another name.
    """
    around.deliver("bill.csv", b"account,cost\n1,2\n")
    said = {"files": "*.csv", "target_table": "${tenant_id}.raw", "slice": "2026-11"}
    await around.run("ingest.file", said)
    rows = await around.rows("SELECT x_load_id FROM $.raw")
    assert rows == [{"x_load_id": "0a85ee18ad33d84731df95b8c6631203"}]


async def test_either_may_load_what_the_other_did(around: Surroundings) -> None:
    await deliver(around, "a.parquet", ONE)
    assert await load(around) == 2
    assert await load(around, load_by="executor") == 2
    (row,) = await around.rows("SELECT COUNT(x_file) AS n, COUNT(*) AS a FROM $.raw")
    assert row == {"n": 2, "a": 2}
    assert await load(around) == 2
    (row,) = await around.rows("SELECT COUNT(x_file) AS n, COUNT(*) AS a FROM $.raw")
    assert row == {"n": 0, "a": 2}
    parts = await around.tools.data.list(f"loads/{around.tenant}/{around.tenant}.raw/", 100)
    assert not [part.name for part in parts if part.name.endswith(".parquet")]


async def test_rows_in_quarantine_go_with_their_slice(around: Surroundings) -> None:
    await deliver(around, "a.parquet", {"account": ["007"], "cost": ["much"]})
    puts_aside: dict[str, Any] = {"contract": "discard_row", "columns": {"cost": "decimal"}}
    await load(around, load_by="executor", **puts_aside)
    assert await around.rows("SELECT reason FROM $.raw_quarantine")
    await deliver(around, "a.parquet", {"account": ["007"]})
    assert await load(around) == 1
    assert await around.rows("SELECT reason FROM $.raw_quarantine") == []


async def test_a_new_column_is_taken_in_and_told(around: Surroundings) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)
    await deliver(around, "a.parquet", NOTED)
    await load(around)
    (drift,) = (e for e in around.heard.events if isinstance(e, SchemaDriftedV1))
    assert (drift.added, drift.missing) == (("note",), ())
    assert await around.rows("SELECT account, note FROM $.raw") == [
        {"account": "009", "note": "look"}
    ]
    await deliver(around, "a.parquet", {**NOTED, "more": [1]})
    with pytest.raises(StepError, match=r"column more: the contract \(revision 2\)"):
        await load(around, load_by="executor", contract="freeze")


async def test_a_column_of_another_type_is_refused(around: Surroundings) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)
    await deliver(around, "a.parquet", {"account": ["009"], "cost": [Decimal("3.00")]})
    with pytest.raises(StepError, match=r"raw\.cost is declared NULLABLE NUMERIC but") as caught:
        await load(around)
    assert caught.value.code == "schema_conflict"
    assert await accounts(around) == ["007", "008"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tags": [{"team": "data"}]}, "column tags: it is RECORD; expected one of STRING"),
        ({"tags": [["a", "b"]]}, "column tags: it is REPEATED STRING"),
        ({"X_File": ["a"]}, "column X_File: this name is the platform's own"),
        ({"x_reason": ["a"]}, "column x_reason: this name is the platform's own"),
    ],
    ids=["record", "list", "own", "quarantine's"],
)
async def test_a_column_that_no_table_can_have_is_refused_by_its_name(
    around: Surroundings, values: dict[str, Any], said: str
) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)
    await deliver(around, "a.parquet", {"account": ["009"], **values})
    assert f"column_refused: {said}" in await refused(around)
    assert await accounts(around) == ["007", "008"]


async def test_files_of_different_columns_are_refused_before_they_are_loaded(
    around: Surroundings,
) -> None:
    """BigQuery would leave out what the last of them has not."""
    await deliver(around, "a.parquet", NOTED)
    await deliver(around, "b.parquet", TWO)
    said = "bills/2026-11/a.parquet, column note: bills/2026-11/b.parquet has no such column"
    assert said in await refused(around)
    await deliver(around, "a.parquet", TWO)
    await deliver(around, "b.parquet", NOTED)
    assert "bills/2026-11/b.parquet, column note" in await refused(around)
    assert await around.tools.warehouse.tables(str(around.tenant)) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"files": "s3://bucket/*.parquet"}, "files: 's3://bucket/*.parquet' does not go with"),
        ({"files": ["a.parquet", "gs://b/*"]}, "expected a path below your landing folder"),
        ({"format": "csv"}, "format: 'csv' does not go with"),
        ({"manifest": "aws"}, "manifest: 'aws' does not go with"),
        ({"credential": "mine"}, "credential: 'mine'"),
        ({"region": "eu-west-1"}, "region: 'eu-west-1'"),
        ({"endpoint": "https://a.example"}, "endpoint: 'https://a.example'"),
        ({"contract": "freeze"}, "contract: 'freeze'"),
        ({"columns": {"cost": "decimal"}}, "columns: {'cost': 'decimal'}"),
        ({"delimiter": ";"}, "delimiter: ';'"),
        ({"encoding": "latin-1"}, "encoding: 'latin-1'"),
        ({"decimal_comma": True}, "decimal_comma: True"),
        ({"day_first": True}, "day_first: True"),
    ],
    ids=str,
)
async def test_a_config_that_bigquery_cannot_follow_is_refused(
    around: Surroundings, more: dict[str, Any], said: str
) -> None:
    assert said in await refused(around, **more)
    with pytest.raises(StepError, match="does not go with `load_by: bigquery`"):
        await around.types["ingest.file"].plan(around.given("ingest.file", config(**more)))


async def test_where_files_are_is_judged_by_what_a_run_was_given(around: Surroundings) -> None:
    given = around.given("ingest.file", config(files="${parameters.f}"), f="https://h.example/a")
    assert not (await around.types["ingest.file"].plan(given)).known
    with pytest.raises(StepError, match=r"files: 'https://h\.example/a' does not go with"):
        await around.types["ingest.file"].run(given)


async def test_the_folder_of_this_machine_is_not_looked_at(around: Surroundings) -> None:
    around.deliver("bills/2026-11/a.parquet", parquet(ONE))
    with pytest.raises(StepError, match=f"in gs://test-data/landing/{around.tenant}/") as caught:
        await load(around)
    assert caught.value.code == "nothing_delivered"


@pytest.mark.parametrize(
    ("name", "files"),
    [("a*.parquet", "*"), ("deep//a.parquet", "*/*"), ("deep/../a.parquet", "*/*/*")],
)
async def test_a_name_that_bigquery_would_take_for_others_is_refused(
    around: Surroundings, name: str, files: str
) -> None:
    await deliver(around, name, ONE)
    said = await refused(around, files=f"bills/2026-11/{files}")
    assert f"file_refused: bills/2026-11/{name}: BigQuery would take its name" in said


async def refused_files(around: Surroundings, name: str, body: bytes, **more: Any) -> str:
    await deliver(around, name, body)
    with pytest.raises(StepError) as caught:
        await load(around, files="bills/2026-11/*", **more)
    return caught.value.detail


async def test_what_is_no_parquet_is_refused_by_its_name(around: Surroundings) -> None:
    assert "it is csv" in await refused_files(around, "a.csv", b"a,b\n")
    whole = parquet(ONE)
    for bad in (b"", b"a,b\n1,2\n", whole[:-1], b"\xff" * 40 + whole[-8:]):
        said = await refused_files(around, "a.csv", bad, format="parquet")
        assert "bills/2026-11/a.csv: it is not a whole Parquet file" in said


async def test_a_footer_that_is_longer_than_the_first_look_is_read(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(around, "a.parquet", ONE)
    monkeypatch.setattr(direct, "FIRST_LOOK", 16)
    assert await load(around) == 2
    monkeypatch.setattr(direct, "LARGEST_FOOTER", 16)
    await deliver(around, "a.parquet", TWO)
    assert "its footer has" in await refused(around)


async def test_what_bigquery_says_of_a_damaged_file_is_told(around: Surroundings) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)
    good = parquet({"account": [str(n * n) for n in range(2000)], "cost": [0.1] * 2000})
    await deliver(around, "a.parquet", good[:4] + b"\xff" * 2000 + good[2004:])
    with pytest.raises(StepError, match="Error while reading data") as caught:
        await load(around)
    assert caught.value.code == "bigquery_invalid"
    assert await accounts(around) == ["007", "008"]


Instead = Callable[..., Awaitable[None]]


class Disturbed:
    """What it stands before, but for one thing that is asked of it."""

    def __init__(self, real: object, at: str, instead: Instead) -> None:
        self._real, self._at, self._instead = real, at, instead

    def __getattr__(self, name: str) -> Any:
        return self._instead if name == self._at else getattr(self._real, name)


@contextmanager
def disturbed(around: Surroundings, at: str, instead: Instead) -> Iterator[None]:
    living = around.tools
    port = "data" if at == "write" else "warehouse"
    other: dict[str, Any] = {port: Disturbed(getattr(living, port), at, instead)}
    around.tools = replace(living, **other)
    yield
    around.tools = living


class DeadError(BaseException):
    """Nobody catches it."""


async def dies(around: Surroundings, given: StepRun, at: str) -> None:
    async def die(*_: object, **__: object) -> None:
        raise DeadError

    with disturbed(around, at, die), pytest.raises(DeadError):
        await around.types["ingest.file"].run(given)


async def test_files_that_change_while_they_are_staged_are_not_swapped_in(
    around: Surroundings,
) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)

    async def in_the_middle(meanwhile: Instead) -> str:
        await deliver(around, "a.parquet", TWO)
        with disturbed(around, "expire", meanwhile), pytest.raises(StepRetryError) as caught:
            await load(around)
        assert caught.value.code == "delivery_changed"
        assert await accounts(around) == ["007", "008"]
        return caught.value.detail

    async def gone(*_: object, **__: object) -> None:
        await around.tools.data.delete(f"landing/{around.tenant}/bills/2026-11/a.parquet")

    def replaced(*_: object, **__: object) -> Awaitable[None]:
        return deliver(around, "a.parquet", NOTED)

    def added(*_: object, **__: object) -> Awaitable[None]:
        return deliver(around, "b.parquet", TWO)

    listed = "replaced or deleted after it was listed"
    assert listed in await in_the_middle(replaced)
    assert listed in await in_the_middle(gone)
    said = await in_the_middle(added)
    assert said == "bills/2026-11/b.parquet was added after the others were listed"
    assert await load(around) == 2
    assert await accounts(around) == ["009", "009"]


@pytest.mark.parametrize("at", ["expire", "run_query_job", "drop", "write"])
async def test_a_load_that_is_cut_short_leaves_the_old_or_the_new(
    around: Surroundings, at: str
) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)
    await deliver(around, "a.parquet", TWO)
    given = around.given("ingest.file", config())
    await dies(around, given, at)
    swapped = at in {"drop", "write"}
    assert await accounts(around) == (["009"] if swapped else ["007", "008"])
    step = around.types["ingest.file"]
    if at == "write":  # the staged rows are gone, and so only another job has them
        with pytest.raises(StepFaultError):
            await step.run(given)
        given = replace(given, try_number=2)
    assert (await step.run(given)).rows == 1
    assert await accounts(around) == ["009"]
    assert await staged(around) == []
    assert await load(around) == 1
    assert around.heard.notes == ["the same files are loaded already"]


@pytest.mark.parametrize("by", ["executor", "bigquery"])
async def test_what_an_earlier_try_staged_is_not_taken_for_files_that_came_since(
    around: Surroundings, by: str
) -> None:
    await deliver(around, "a.parquet", ONE)
    given = around.given("ingest.file", config(load_by=by))
    await dies(around, given, "run_query_job")
    await deliver(around, "a.parquet", {"account": ["010", "011"], "cost": [3.0, 4.0]})
    step = around.types["ingest.file"]
    with pytest.raises(StepRetryError, match="begun to be loaded from files that changed since"):
        await step.run(given)
    await step.run(replace(given, try_number=2))
    assert await accounts(around) == ["010", "011"]


@pytest.mark.parametrize(
    ("type_", "more"),
    [
        ("cost.focus", {"mapping": "aws_cur", "source_table": "${tenant_id}.raw"}),
        ("compliance.ocsf", {"source": "gcp_scc", "source_table": "${tenant_id}.raw"}),
        ("ingest.replay", {"target_table": "${tenant_id}.raw"}),
        (
            "ingest.api",
            {
                "base_url": "https://a.example",
                "path": "/",
                "target_table": "${tenant_id}.raw",
                "incremental": {"field": "at", "first": "2026-01-01T00:00:00Z"},
            },
        ),
    ],
)
async def test_steps_that_read_deliveries_refuse_one_that_bigquery_loaded(
    around: Surroundings, type_: str, more: dict[str, Any]
) -> None:
    await deliver(around, "a.parquet", ONE)
    await load(around)
    with pytest.raises(StepError) as caught:
        await around.run(type_, {"slice": "2026-11", **more})
    assert caught.value.code == "not_kept"
    assert "leave out `load_by: bigquery`" in caught.value.detail


async def test_a_load_is_stopped_in_bigquery(around: Surroundings) -> None:
    stopped: list[str] = []

    async def stop(job_id: str) -> None:
        stopped.append(job_id)

    given = around.given("ingest.file", config())
    with disturbed(around, "cancel_job", stop):
        await around.types["ingest.file"].cancel(given)
    assert stopped == [given.job_id_of("stage"), given.job_id_of("swap")]

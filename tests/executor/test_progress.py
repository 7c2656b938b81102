"""What a client can draw while a step's BigQuery job runs: rows and bytes so far, and a bar."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from contracts.steps import StepProgressedV1
from libs.warehouse.jobs import QueryJob
from libs.warehouse.warehouse import Warehouse
from services.executor.outbox import Outbox
from services.executor.report import StepTeller
from services.executor.steps.bq_etl_query import BqEtlQuery
from services.executor.steps.dq_check import DqCheck
from services.executor.steps.step import StepType
from services.executor.steps.tools import Tools
from services.executor.steps.transform_sql import TransformSql
from tests.executor.acting import Sent, envelope_of
from tests.executor.stage import Heard, given, requested, step

ROWS = 500_000
SLOW = "SHA256(" * 6 + "CAST(i AS STRING)" + ")" * 6
"""Long enough to be looked at several times."""
MODEL: dict[str, Any] = {
    "sql": f"SELECT i, {SLOW} AS v FROM acme.many",
    "target_table": "acme.model",
}


@dataclass(frozen=True, slots=True)
class Told:
    rows: int
    bytes: int
    fraction: float | None
    note: str


class Watching(Heard):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Told] = []

    def progress(
        self, *, rows: int = 0, bytes_: int = 0, fraction: float | None = None, note: str = ""
    ) -> None:
        self.told.append(Told(rows, bytes_, fraction, note))


@pytest.fixture
async def many(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.warehouse.warehouse.LOOK_SECONDS", 0.05)
    sql = f"SELECT i FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS i"
    await warehouse.run_query_job(QueryJob(f"make-{uuid4()}", sql, destination="acme.many"))


async def told_by(type_: StepType, name: str, config: dict[str, Any]) -> list[Told]:
    heard = Watching()
    await type_.run(given(step(name, config), heard))
    return heard.told


def assert_is_a_bar(told: list[Told]) -> None:
    partly = [one for one in told if one.fraction and one.fraction < 1]
    assert partly
    for one in partly:
        assert 0 < one.rows < ROWS
        assert 0 < one.bytes < ROWS * 8


@pytest.mark.usefixtures("many")
async def test_a_query_tells_how_far_it_is(tools: Tools) -> None:
    config = {"source_query": MODEL["sql"], "target_table": "acme.made"}
    assert_is_a_bar(await told_by(BqEtlQuery(tools), "bq_etl.query", config))


@pytest.mark.usefixtures("many")
async def test_checks_tell_how_far_they_are(tools: Tools) -> None:
    check = {"type": "sql", "condition": f"{SLOW} IS NOT NULL"}
    config = {"table": "acme.many", "checks": [check]}
    assert_is_a_bar(await told_by(DqCheck(tools), "dq.check", config))


@pytest.mark.usefixtures("many")
async def test_a_model_tells_how_far_it_is_over_all_its_jobs(tools: Tools) -> None:
    whole = await told_by(TransformSql(tools), "transform.sql", MODEL)
    assert_is_a_bar(whole)
    staged = {"materialized": "incremental", "unique_key": ["i"]}
    told = await told_by(TransformSql(tools), "transform.sql", {**MODEL, **staged})
    staging = [one.fraction or 0 for one in told if one.note == "its rows are staged"]
    assert staging
    assert max(staging) <= 0.6


async def test_a_bar_does_not_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.executor.report.PROGRESS_SECONDS", 0)
    part, sent = step("act"), Sent()
    request = requested(part)
    outbox = Outbox(request, envelope_of(request), sent)
    teller = StepTeller(request, part, outbox)
    for fraction in (0.5, 0.2, None, 0.7):
        teller.progress(fraction=fraction)
    await outbox.flush()
    assert [one.fraction for one in sent.all(StepProgressedV1)] == [0.5, 0.5, 0.5, 0.7]

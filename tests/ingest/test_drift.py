"""Deliveries whose columns are not those of the table: taken in, and told."""

from typing import Any

import pytest

from contracts.quality import SchemaDriftedV1
from services.executor.steps.step import StepError
from tests.ingest.surroundings import Surroundings

RAW: dict[str, Any] = {"files": "*.csv", "target_table": "${tenant_id}.raw", "slice": "2026-11"}


def drifts(around: Surroundings) -> list[SchemaDriftedV1]:
    return [event for event in around.heard.events if isinstance(event, SchemaDriftedV1)]


async def test_new_and_missing_columns_are_told_once(around: Surroundings) -> None:
    around.deliver("bill.csv", b"account,cost\n1,2\n")
    await around.run("ingest.file", RAW)
    around.deliver("bill.csv", b"account,cost\n1,3\n")
    await around.run("ingest.file", RAW)
    assert drifts(around) == []
    around.deliver("bill.csv", b"account,price\n1,2\n")
    await around.run("ingest.file", RAW)
    (drift,) = drifts(around)
    assert (drift.table, drift.added, drift.missing, drift.refused) == (
        f"{around.tenant}.raw",
        ("price",),
        ("cost",),
        False,
    )
    await around.run("ingest.file", RAW)
    assert len(drifts(around)) == 1
    (row,) = await around.rows("SELECT account, cost, price FROM $.raw")
    assert list(row.values()) == ["1", None, "2"]


async def test_columns_that_a_frozen_table_may_not_get_are_told(around: Surroundings) -> None:
    frozen = {**RAW, "contract": "freeze"}
    around.deliver("bill.csv", b"account,cost\n1,2\n")
    await around.run("ingest.file", frozen)
    around.deliver("bill.csv", b"account,cost,price\n1,2,3\n")
    with pytest.raises(StepError, match="does not know this column"):
        await around.run("ingest.file", frozen)
    (drift,) = drifts(around)
    assert (drift.added, drift.missing, drift.refused) == (("price",), (), True)

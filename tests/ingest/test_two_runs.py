"""A bill that lies in a folder twice, as two runs of its export wrote it, is not summed."""

from decimal import Decimal

import polars as pl
import pytest

from services.executor.steps.step import StepError
from tests.focus.ledger import load_ledger
from tests.ingest.surroundings import Surroundings

TABLE = {"target_table": "${tenant_id}.raw", "slice": "2026-11"}
LINE_IDS = "identity/LineItemId"


def bill(name: str) -> pl.DataFrame:
    ledger = load_ledger(name)
    return ledger.frame(ledger.lines)


async def load(around: Surroundings, name: str) -> None:
    await around.run("ingest.file", {"files": "*/bill.csv", **TABLE})
    focus = {"mapping": name, "source_table": "${tenant_id}.raw", "slice": "2026-11"}
    await around.run("cost.focus", focus)


@pytest.mark.parametrize("name", ["aws_cur", "focus_file"])
async def test_two_runs_are_refused_and_parts_of_one_are_loaded(
    around: Surroundings, name: str
) -> None:
    """Also when the later run has more, in another order, and other ids of lines."""
    whole = bill(name)
    first, later = whole[:-2], whole.reverse()
    for run, rows in (("run1", first), ("run2", later)):
        ids = pl.format(f"{run}-{{}}", pl.int_range(pl.len())).alias(LINE_IDS)
        around.deliver(f"{run}/bill.csv", rows.with_columns(ids).write_csv().encode())
    with pytest.raises(StepError, match=r"no_row_stands_in_two_files.*run1/bill.csv") as found:
        await load(around, name)
    assert "manifest: aws" in str(found.value)
    around.deliver("run1/bill.csv", whole[:6].write_csv().encode())
    around.deliver("run2/bill.csv", whole[6:].write_csv().encode())
    await load(around, name)
    (sums,) = await around.rows("SELECT SUM(BilledCost) AS billed FROM $.focus_costs")
    assert sums["billed"] == Decimal(load_ledger(name).totals["BilledCost"])

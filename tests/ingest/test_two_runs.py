"""A bill that lies in a folder twice, as two runs of its export wrote it, is not summed."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from services.executor.steps.step import StepError
from tests.focus.ledger import load_ledger
from tests.ingest.surroundings import Surroundings
from tests.ingest.test_every_template import run, written

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
    for version, rows in (("run1", first), ("run2", later)):
        ids = pl.format(f"{version}-{{}}", pl.int_range(pl.len())).alias(LINE_IDS)
        around.deliver(f"{version}/bill.csv", rows.with_columns(ids).write_csv().encode())
    with pytest.raises(StepError, match=r"no_row_stands_in_two_files.*run1/bill.csv") as found:
        await load(around, name)
    assert "manifest: aws" in str(found.value)
    around.deliver("run1/bill.csv", whole[:6].write_csv().encode())
    around.deliver("run2/bill.csv", whole[6:].write_csv().encode())
    await load(around, name)
    (sums,) = await around.rows("SELECT SUM(BilledCost) AS billed FROM $.focus_costs")
    assert sums["billed"] == Decimal(load_ledger(name).totals["BilledCost"])


async def test_an_extraction_of_fewer_files_takes_the_place_of_the_one_before(
    around: Surroundings, tmp_path: Path
) -> None:
    """Google Cloud's rows have no key: what lies in another folder is not looked at."""
    whole = bill("gcp_billing")

    async def extracted(time: str, *files: pl.DataFrame) -> tuple[int, Decimal]:
        folder = f"gcp/billing/2026-09/{time}"
        for number, rows in enumerate(files):
            shard = written(rows, "b.parquet", tmp_path)
            around.deliver(f"{folder}/{number:012d}.parquet", shard)
        await run(around, "gcp/cost/billing", period="2026-09", files=f"{folder}/*.parquet")
        sums = "SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed FROM $.focus_costs"
        (found,) = await around.rows(sums)
        return found["charges"], found["billed"]

    first = await extracted("20260902T051500Z", whole[:3], whole[3:])
    assert first[1] == Decimal(load_ledger("gcp_billing").totals["BilledCost"])
    assert await extracted("20260903T051500Z", whole) == first

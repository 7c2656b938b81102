"""A bill that lies in a folder twice, as two runs of its export wrote it, is not summed."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from services.executor.steps.step import StepError
from tests.focus.ledger import Line, load_ledger
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


WHOLE_MONTH = {
    "focus_file": {"ResourceId": "", "SubAccountId": "", "ChargeDescription": "Subscription"},
    "azure_export": {"x_role": "", "ChargeType": "Purchase", "ResourceId": "", "MeterId": ""},
    "aws_cur": {"line_item_line_item_type": "Tax", "line_item_resource_id": ""},
}


def month(name: str, *said: dict[str, str]) -> bytes:
    """A line for each, which has nothing else that tells it from the others."""
    ledger = load_ledger(name)
    given = ledger.lines[0].given | WHOLE_MONTH[name]
    frame = ledger.frame([Line("", given | each, ()) for each in said])
    return frame.drop("x_role", strict=False).write_csv().encode()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("focus_file", ["ServiceName", "ServiceProviderName", "ProviderName", "PublisherName"]),
        ("azure_export", ["Product", "PublisherName", "MeterName", "BenefitId", "ReservationId"]),
        ("aws_cur", ["line_item_legal_entity", "line_item_tax_type"]),
    ],
)
async def test_other_charges_that_cost_the_same_may_stand_in_two_files(
    around: Surroundings, name: str, columns: list[str]
) -> None:
    around.deliver("a/bill.csv", month(name, *({column: "one"} for column in columns)))
    around.deliver("b/bill.csv", month(name, *({column: "other"} for column in columns)))
    await load(around, name)
    assert around.heard.checks["no_row_stands_in_two_files"] == "PASSED"


@pytest.mark.parametrize(
    ("name", "invoice"), [("focus_file", "InvoiceId"), ("aws_cur", "bill_invoice_id")]
)
async def test_a_run_before_the_invoice_and_one_after_it_are_two_of_one_bill(
    around: Surroundings, name: str, invoice: str
) -> None:
    around.deliver("a/bill.csv", month(name, {invoice: ""}))
    around.deliver("b/bill.csv", month(name, {invoice: "I-1"}))
    with pytest.raises(StepError, match="no_row_stands_in_two_files"):
        await load(around, name)

"""What SQL tells of tables and columns, and how it is exported."""

import json
from datetime import date
from typing import Any

import pytest

from contracts.audit import ListLineageV1
from contracts.identifiers import StepId, TenantId
from contracts.pipelines import DefinitionPart, StepPart
from contracts.runs import RunRequestedV1
from contracts.steps import StepCompletedV1, StepStatus
from libs.bus.message import Context
from services.audit_log.lineage import LONGEST, Lineage, lineage_of
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder
from tests.audit_log.test_views import CONFIG, run_id

JOINED = """
WITH spent AS (
  SELECT service, SUM(cost) AS cost FROM ${tenant_id}.bill WHERE day = ${date} GROUP BY service
)
SELECT s.service, s.cost * 2 AS twice, n.title, '${run_id}' AS run
FROM spent AS s JOIN names AS n ON n.service = s.service
"""


def requested(tenant: str, sql: str, target: str = "${tenant_id}.out") -> RunRequestedV1:
    step = StepPart(
        step_id=StepId("load"),
        type="bq_etl.query",
        config={"source_query": sql, "target_table": target},
    )
    other = StepPart(step_id=StepId("tell"), type="notify.webhook", config={"url": "https://x.y"})
    return RunRequestedV1(
        tenant_id=TenantId(tenant),
        run_id=run_id(1),
        attempt=1,
        config_id=CONFIG,
        revision=1,
        definition=DefinitionPart(pipeline_id=CONFIG, steps=(step, other)),
        run_date=date(2026, 3, 14),
        datasets=(tenant, f"{tenant}_raw"),
        max_bytes_billed=1,
        lease_seconds=60,
        submitted_at=START,
    )


def read(sql: str) -> Lineage:
    (found,) = lineage_of(requested("acme", sql))
    return found.lineage


def test_columns_are_followed_through_ctes_and_joins() -> None:
    (found,) = lineage_of(requested("acme", JOINED, "${tenant_id}.out$20260314"))
    assert found.target == "acme.out"
    assert found.lineage.inputs == ("acme.bill", "acme.names")
    assert found.lineage.columns == {
        "service": ("acme.bill.service",),
        "twice": ("acme.bill.cost",),
        "title": ("acme.names.title",),
        "run": (),
    }
    assert found.lineage.untold == ""


@pytest.mark.parametrize(
    ("sql", "inputs", "columns"),
    [
        ("SELECT * FROM acme_raw.a", ("acme_raw.a",), {}),
        ("SELECT 1 AS one", (), {"one": ()}),
        (
            "SELECT a FROM acme.x UNION ALL SELECT b FROM acme.y",
            ("acme.x", "acme.y"),
            {"a": ("acme.x.a", "acme.y.b")},
        ),
    ],
    ids=["star", "nothing read", "union"],
)
def test_what_sql_tells(sql: str, inputs: tuple[str, ...], columns: dict[str, Any]) -> None:
    assert (read(sql).inputs, read(sql).columns) == (inputs, columns)


@pytest.mark.parametrize(
    ("sql", "untold"),
    [
        ("SELECT FROM WHERE (", "cannot be read"),
        ("SELECT " + "(" * 5000, "cannot be read"),
        (f"SELECT a FROM acme.x -- {'x' * LONGEST}", "more than"),
    ],
    ids=["no SQL", "deep", "long"],
)
def test_what_cannot_be_told_says_so(sql: str, untold: str) -> None:
    assert untold in read(sql).untold


async def test_lineage_is_exported_once_as_openlineage(recorder: Recorder) -> None:
    tenant = "lineage_inc"
    request = requested(tenant, JOINED)
    for one in recorder.deliveries(request, request):
        await recorder.handlers.on_run_requested(request, Context(one.envelope))
    records = Records(recorder.warehouse)
    wanted = ListLineageV1(tenant_id=TenantId(tenant), run_id=run_id(1))
    assert await records.lineage(wanted) == ((), "")
    await recorder.record_badly(
        StepCompletedV1(
            tenant_id=TenantId(tenant),
            run_id=run_id(1),
            attempt=1,
            step_id=StepId("load"),
            step_type="bq_etl.query",
            status=StepStatus.COMPLETED,
            finished_at=START,
        )
    )
    (event,), _ = await records.lineage(wanted)
    assert (event["eventType"], event["eventTime"]) == ("COMPLETE", START.isoformat())
    assert event["job"] == {"namespace": f"convergence/{tenant}", "name": "daily.load"}
    assert event["run"]["facets"]["parent"]["run"]["runId"] == run_id(1)
    names = [dataset["name"] for dataset in event["inputs"]]
    assert names == [f"convergence-local.{tenant}.{table}" for table in ("bill", "names")]
    fields = event["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert fields["twice"]["inputFields"] == [
        {"namespace": "bigquery", "name": f"convergence-local.{tenant}.bill", "field": "cost"}
    ]
    json.dumps(event)

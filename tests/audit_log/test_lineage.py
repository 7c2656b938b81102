"""What SQL tells of tables and columns, and how it is exported."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import JsonValue

from contracts.audit import ListLineageV1
from contracts.identifiers import StepId, TenantId
from contracts.pipelines import DefinitionPart, StepPart
from contracts.runs import RunRequestedV1
from contracts.steps import StepCompletedV1, StepStatus
from libs.bus.message import Context
from services.audit_log.lineage import LONGEST, Lineage, _Known, lineage_of
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


def request_of(*steps: StepPart, **parameters: JsonValue) -> RunRequestedV1:
    request = requested("acme", "SELECT 1")
    definition = DefinitionPart(pipeline_id=CONFIG, steps=steps)
    return request.model_copy(update={"definition": definition, "parameters": parameters})


def step(kind: str, **config: JsonValue) -> StepPart:
    return StepPart(step_id=StepId(kind.replace(".", "_")), type=kind, config=config)


def test_steps_without_sql_name_what_they_read_and_write() -> None:
    checks: JsonValue = [
        {"type": "unique"},
        {"type": "referential", "other_table": "${tenant_id}.names"},
    ]
    request = request_of(
        step("ingest.file", files="a", target_table="${tenant_id}_raw.cur$20260314", slice="x"),
        step("ingest.api", url="https://a", target_table="acme_raw.${parameters.region}_use"),
        step("cost.focus", source_table="acme_raw.cur", slice="x", mapping="aws"),
        step("compliance.ocsf", source_table="acme_raw.hub", target_table="acme.found"),
        step("dq.check", table="${tenant_id}.focus_costs", checks=checks),
        step("notify.webhook", url="https://x.y"),
        region="eu",
    )
    told = {one.step.type: (one.lineage.inputs, one.target) for one in lineage_of(request)}
    assert told == {
        "ingest.file": ((), "acme_raw.cur"),
        "ingest.api": ((), "acme_raw.eu_use"),
        "cost.focus": (("acme_raw.cur",), "acme.focus_costs"),
        "compliance.ocsf": (("acme_raw.hub",), "acme.found"),
        "dq.check": (("acme.focus_costs", "acme.names"), ""),
    }


def test_parameters_in_names_of_tables_are_filled_in_and_others_are_values() -> None:
    sql = (
        "SELECT a, ${parameters.region} AS r FROM `${tenant_id}.use_${parameters.region}`"
        " WHERE day = '${date}' AND b = ${parameters.other} AND c IN ('${tenant_id}')"
    )
    request = request_of(step("bq_etl.query", source_query=sql), region="eu", other="x'; DROP")
    (found,) = lineage_of(request)
    assert found.lineage == Lineage(("acme.use_eu",), {"a": ("acme.use_eu.a",), "r": ()})


def test_what_is_kept_of_sql_is_bounded() -> None:
    known = _Known(20_000)
    for number in range(9):
        columns = ", ".join(f"c{n} AS {'x' * 250}{n}" for n in range(20))
        found = known.of(f"SELECT {columns} FROM acme.t{number}", "acme")
        assert (len(found.columns), found.inputs) == (20, (f"acme.t{number}",))
        assert known.of(f"SELECT {columns} FROM acme.t{number}", "acme") is found
    assert 0 < known._bytes <= 20_000
    assert known._bytes == sum(one.size for one in known._found.values())


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

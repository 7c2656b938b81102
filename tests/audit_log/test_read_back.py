"""Lists of lineage and of checks, over HTTP, as a tenant reads them."""

import json
from typing import Any

from contracts.identifiers import StepId, TenantId
from contracts.quality import CheckPart, CheckStatus, QualityCheckedV1, Severity
from libs.bus.message import Context
from services.audit_log.lineage import Lineage, StepLineage, lineage_rows
from tests.audit_log.reader import reading
from tests.audit_log.recorder import START, Recorder, delivery
from tests.audit_log.test_lineage import JOINED, requested
from tests.audit_log.test_views import run_id, step_completed

SINCE = "from=2026-03-14T00:00:00Z"
LINEAGE = f"/api/v1/pipelines/lineage?{SINCE}"
MEGABYTE = 1_000_000


def checked(
    tenant: str, number: int, *statuses: CheckStatus, sample: str = "7"
) -> QualityCheckedV1:
    checks = tuple(
        CheckPart(
            name=f"check {place}",
            kind="expect_column_values_to_not_be_null",
            column="cost",
            severity=Severity.FAIL,
            status=status,
            failing_rows=1,
            samples=({"id": sample},),
        )
        for place, status in enumerate(statuses)
    )
    return QualityCheckedV1(
        tenant_id=TenantId(tenant),
        run_id=run_id(number),
        attempt=1,
        step_id=StepId("check"),
        table=f"{tenant}.costs",
        checked_at=START,
        checks=checks,
    )


async def test_lineage_says_what_each_step_read_and_wrote(recorder: Recorder) -> None:
    tenant = "back_lineage"
    request = requested(tenant, JOINED)
    await recorder.handlers.on_run_requested(request, Context(delivery(request).envelope))
    await recorder.record(step_completed(TenantId(tenant), 1))
    async with reading(recorder, tenant) as client:
        (event,) = (await client.get(LINEAGE))["events"]
        assert event["job"]["name"] == "daily.load"
        assert [one["name"] for one in event["inputs"]] == [
            f"convergence-local.{tenant}.bill",
            f"convergence-local.{tenant}.names",
        ]
        (output,) = event["outputs"]
        assert output["name"] == f"convergence-local.{tenant}.out"
        assert output["facets"]["columnLineage"]["fields"]["title"]["inputFields"] == [
            {"namespace": "bigquery", "name": f"convergence-local.{tenant}.names", "field": "title"}
        ]
        assert (await client.get(f"{LINEAGE}&run_id={run_id(2)}"))["events"] == []


async def test_lineage_of_very_wide_steps_is_read_in_pages_that_fit(recorder: Recorder) -> None:
    tenant, many = "back_wide", 20
    columns = {f"column_{n}": tuple(f"{tenant}.t{m}.c{n}" for m in range(40)) for n in range(200)}
    for number in range(many):
        request = requested(tenant, "SELECT 1").model_copy(update={"run_id": run_id(number)})
        step = StepLineage(request.definition.steps[0], f"{tenant}.out", Lineage((), columns))
        rows = lineage_rows(delivery(request).envelope, request, [step], START)
        await recorder.handlers._append_lineage([rows])
        await recorder.record(step_completed(TenantId(tenant), number))
    async with reading(recorder, tenant) as client:
        lines = await client.export(LINEAGE)
        assert sum(map(len, lines)) > 10 * MEGABYTE  # more than one message may have
        runs = {json.loads(line)["run"]["facets"]["parent"]["run"]["runId"] for line in lines}
        assert (len(lines), runs) == (many, {run_id(number) for number in range(many)})


async def test_checks_of_a_run_and_of_all_runs(recorder: Recorder) -> None:
    tenant = "back_quality"
    passed, failed = CheckStatus.PASSED, CheckStatus.FAILED
    await recorder.record(checked(tenant, 1, passed, failed), checked(tenant, 2, passed))
    async with reading(recorder, tenant) as client:

        async def found(path: str) -> list[tuple[str, str, str]]:
            checks: list[dict[str, Any]] = (await client.get(f"/api/v1/pipelines{path}"))["checks"]
            assert all(check["samples"] == [{"id": "7"}] for check in checks)
            return sorted((check["run_id"], check["name"], check["status"]) for check in checks)

        first = [(run_id(1), "check 0", "PASSED"), (run_id(1), "check 1", "FAILED")]
        assert await found(f"/dq?{SINCE}") == [*first, (run_id(2), "check 0", "PASSED")]
        assert await found(f"/runs/{run_id(1)}/dq") == first
        assert await found(f"/dq?status=FAILED&{SINCE}") == first[1:]


async def test_checks_with_large_samples_are_read_in_pages_that_fit(recorder: Recorder) -> None:
    tenant, many = "back_samples", 12
    for number in range(many):
        await recorder.record(checked(tenant, number, CheckStatus.FAILED, sample="x" * MEGABYTE))
    async with reading(recorder, tenant) as client:
        lines = await client.export(f"/api/v1/pipelines/dq?{SINCE}")
        runs = {json.loads(line)["run_id"] for line in lines}
        assert (len(lines), runs) == (many, {run_id(number) for number in range(many)})

"""A run that repeats another begins with what that one has completed."""

from datetime import UTC, datetime

from contracts.identifiers import ConfigId, RunId, StepId, TenantId
from contracts.pipelines import DefinitionPart, StepPart
from contracts.runs import RunRequestedV1
from contracts.steps import StepCompletedV1, StepStatus
from services.executor.checkpoints import Checkpoints
from tests.scheduler.memory import MemoryObjects

NOW = datetime(2026, 3, 14, tzinfo=UTC)
TENANT = TenantId("acme")
FIRST = RunId("00000000-0000-4000-8000-000000000001")
AGAIN = RunId("00000000-0000-4000-8000-000000000002")
FIRST_REQUEST = RunRequestedV1(
    tenant_id=TENANT,
    run_id=FIRST,
    attempt=2,
    config_id=ConfigId("ones"),
    revision=1,
    definition=DefinitionPart(
        pipeline_id=ConfigId("ones"),
        steps=(StepPart(step_id=StepId("make"), type="bq_etl.query"),),
    ),
    run_date=NOW.date(),
    datasets=("acme",),
    max_bytes_billed=0,
    lease_seconds=60,
    submitted_at=NOW,
)


async def completed(objects: MemoryObjects, request: RunRequestedV1) -> None:
    kept = Checkpoints(request, objects)
    kept.add(
        StepCompletedV1(
            tenant_id=TENANT,
            run_id=request.run_id,
            attempt=request.attempt,
            step_id=StepId("make"),
            step_type="bq_etl.query",
            status=StepStatus.COMPLETED,
            finished_at=NOW,
            duration_ms=1,
        )
    )
    await kept.flush()


def repeating(attempts: int) -> RunRequestedV1:
    update = {
        "run_id": AGAIN,
        "attempt": 1,
        "generation": 2,
        "retry_of": FIRST,
        "retry_of_attempts": attempts,
    }
    return FIRST_REQUEST.model_copy(update=update)


async def test_a_retry_finds_what_the_run_it_repeats_completed() -> None:
    objects = MemoryObjects()
    await completed(objects, FIRST_REQUEST)
    (saved,) = await Checkpoints(repeating(2), objects).earlier()
    assert (saved.generation, [said.step_id for said in saved.steps]) == (1, ["make"])
    assert await Checkpoints(repeating(1), objects).earlier() == []


async def test_another_run_finds_nothing() -> None:
    objects = MemoryObjects()
    await completed(objects, FIRST_REQUEST)
    other = FIRST_REQUEST.model_copy(update={"run_id": AGAIN})
    assert await Checkpoints(other, objects).earlier() == []

"""What a step found out about a table, as an event."""

from datetime import datetime

from contracts.quality import CheckPart, QualityCheckedV1
from services.executor.steps.step import StepRun


def quality(
    given: StepRun, table: str, at: datetime, checks: tuple[CheckPart, ...]
) -> QualityCheckedV1:
    request = given.request
    return QualityCheckedV1(
        tenant_id=request.tenant_id,
        run_id=request.run_id,
        attempt=request.attempt,
        step_id=given.step.step_id,
        table=table,
        checked_at=at,
        checks=checks,
    )

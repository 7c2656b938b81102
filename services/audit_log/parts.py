"""What rows of the views say, as the parts that replies are made of."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from contracts.audit import (
    DeadLetterRowPart,
    EventRowPart,
    MessageAbandonedV1,
    RunCostPart,
    UsagePart,
)
from contracts.quality import CheckPart, QualityRowPart
from contracts.runs import ErrorPart, RunPart, TriggerPart, TriggerType
from contracts.steps import StepRowPart
from services.audit_log.reading import Row

_EVENT_FIELDS = frozenset(EventRowPart.model_fields)

RUN_COLUMNS = (
    "run_id, pipeline_id, revision, status, attempt, run_date, trigger_type, trigger_by, user_id,"
    " submitted_at, start_time, end_time, error_code, error_message"
)
USAGE_COLUMNS = (
    "usage_date, pipelines_run_today, pipelines_succeeded_today, pipelines_failed_today,"
    " pipelines_run_month, pipelines_refunded_today"
)


def run_part(row: Row) -> RunPart:
    return RunPart(
        run_id=row["run_id"],
        config_id=row["pipeline_id"],
        revision=row["revision"] or 0,
        status=row["status"],
        attempt=row["attempt"],
        run_date=row["run_date"] or date(1970, 1, 1),
        trigger=TriggerPart(
            type=TriggerType(row["trigger_type"] or "api"),
            by=row["trigger_by"] or "",
            user_id=row["user_id"] or "",
        ),
        submitted_at=row["submitted_at"] or datetime(1970, 1, 1, tzinfo=UTC),
        started_at=row["start_time"],
        finished_at=row["end_time"],
        error=_error(row),
    )


def step_part(row: Row) -> StepRowPart:
    return StepRowPart(
        step_id=row["step_id"],
        step_type=row["step_type"],
        attempt=row["attempt"],
        status=row["status"],
        started_at=row["start_time"],
        finished_at=row["end_time"],
        duration_ms=row["duration_ms"] or 0,
        rows=row["row_count"] or 0,
        bytes=row["bytes_billed"] or 0,
        error=_error(row),
    )


def _error(row: Row) -> ErrorPart | None:
    if not row["error_code"]:
        return None
    return ErrorPart(code=row["error_code"], detail=row["error_message"] or "")


def event_part(row: Row) -> EventRowPart:
    found: dict[str, Any] = {n: v for n, v in row.items() if n in _EVENT_FIELDS and v is not None}
    return EventRowPart(**found)


def check_part(row: Row) -> QualityRowPart:
    check = CheckPart(
        name=row["check_name"],
        kind=row["check_kind"],
        column=row["column_name"] or "",
        severity=row["severity"],
        status=row["status"],
        observed=row["observed"] or "",
        expected=row["expected"] or "",
        row_count=row["row_count"] or 0,
        failing_rows=row["failing_rows"] or 0,
        samples=tuple(json.loads(row["samples"] or "[]")),
        detail=row["detail"] or "",
    )
    return QualityRowPart(
        check=check,
        run_id=row["run_id"],
        step_id=row["step_id"],
        attempt=row["attempt"],
        table=row["table_name"],
        checked_at=row["checked_at"],
    )


def usage_part(row: Row) -> UsagePart:
    return UsagePart(
        day=row["usage_date"],
        runs=row["pipelines_run_today"],
        succeeded=row["pipelines_succeeded_today"],
        failed=row["pipelines_failed_today"],
        runs_this_month=int(row["pipelines_run_month"]),
        refunded=row["pipelines_refunded_today"],
    )


def cost_part(row: Row) -> RunCostPart:
    return RunCostPart(
        day=row.get("usage_date"),
        config_id=row.get("pipeline_id"),
        run_id=row.get("run_id"),
        step_id=row.get("step_id") or "",
        runs=row["runs"],
        steps=row["steps"],
        bytes_billed=int(row["bytes_billed"] or 0),
        slot_ms=int(row["slot_ms"] or 0),
        duration_ms=int(row["duration_ms"] or 0),
        cost=row["cost_usd"] or Decimal(0),
    )


def dead_letter_part(row: Row) -> DeadLetterRowPart:
    letter = MessageAbandonedV1.decode(row["data"].encode()).letter
    return DeadLetterRowPart(given_up_at=row["event_time"], **letter.model_dump())

"""What is written of a message: pure translations from messages to rows."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from contracts.audit import DeadLetterListV1, EventListV1, LineageListV1, RunCostListV1, UsageListV1
from contracts.envelope import Envelope
from contracts.message import Message
from contracts.quality import QualityCheckedV1, QualityListV1
from contracts.runs import (
    AttemptStartedV1,
    RunFinishedV1,
    RunListV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.steps import StepCompletedV1, StepListV1, StepStartedV1, StepStatus
from contracts.webhooks import NoticeListV1, SaveWebhookV1
from services.audit_log.state import state_rows

# Within one attempt, the higher rank says the later thing; from 10 on it is the end.
# Below 0 it was only asked for: known of a run, but no run by itself.
_ASKED, _QUEUED, _REQUESTED, _STARTED, _REJECTED, _FINISHED = -1, 0, 1, 2, 10, 11
_WITHHELD = "withheld"
_NOT_KEPT: dict[type[Message], str] = {
    SaveWebhookV1: "url",
    EventListV1: "events",
    LineageListV1: "events",
    RunCostListV1: "costs",
    UsageListV1: "days",
    QualityListV1: "checks",
    RunListV1: "runs",
    StepListV1: "steps",
    NoticeListV1: "deliveries",
    DeadLetterListV1: "letters",
}
"""What is to be gone when its owner deletes it, and what was read of the record itself:
kept again, each reading of everything would double what the next one reads."""
TIB = 1 << 40
_NANO = Decimal("0.000000001")


def event_row(envelope: Envelope, message: Message, data: bytes, now: datetime) -> dict[str, Any]:
    return {
        "event_id": envelope.id,
        "event_type": envelope.type,
        "kind": envelope.kind.value,
        "source": envelope.source,
        "event_time": envelope.time,
        "tenant_id": envelope.tenant_id or None,
        "correlation_id": envelope.correlation_id or None,
        "causation_id": envelope.causation_id or None,
        "sequence": envelope.sequence,
        "traceparent": envelope.traceparent or None,
        "data": _kept(message, data),
        "recorded_at": now,
        "run_id": getattr(message, "run_id", None),
    }


def _kept(message: Message, data: bytes) -> str:
    """The body as it was published, but for what is withheld."""
    field = _NOT_KEPT.get(type(message))
    if field is None:
        return data.decode()
    return json.dumps({**message.model_dump(mode="json", exclude={field}), field: _WITHHELD})


def run_row(envelope: Envelope, message: Message, now: datetime) -> dict[str, Any] | None:
    """The run log's row for a message about a run's course; None for any other."""
    said = _said_of_run(message)
    if said is None:
        return None
    return {
        "event_id": envelope.id,
        "event_time": envelope.time,
        "tenant_id": envelope.tenant_id,
        "recorded_at": now,
        **said,
    }


def _said_of_run(message: Message) -> dict[str, Any] | None:  # noqa: PLR0911  one per kind
    match message:
        case SubmitRunV1():
            asked = {"run_id": message.run_id, "attempt": 0, "priority": message.priority}
            return {**asked, **_state(RunStatus.PENDING, _ASKED)}
        case RunQueuedV1():
            state = {**_state(RunStatus.QUEUED, _QUEUED), "queue_position": message.position}
            return {**_about(message), "attempt": 0, **state}
        case RunRequestedV1():
            state = _state(RunStatus.PENDING, _REQUESTED)
            return {**_about(message), "attempt": message.attempt, **state}
        case AttemptStartedV1():
            return {
                "run_id": message.run_id,
                "pipeline_id": message.config_id,
                "attempt": message.attempt,
                "start_time": message.started_at,
                **_state(RunStatus.RUNNING, _STARTED),
            }
        case RunRejectedV1():
            error = {"error_code": message.code, "error_message": message.reason}
            state = _state(RunStatus.REJECTED, _REJECTED)
            return {**_about(message), "attempt": 0, **state, **error}
        case RunFinishedV1():
            return {
                **_about(message),
                "attempt": message.attempt,
                "start_time": message.started_at,
                "end_time": message.finished_at,
                "error_code": message.error.code if message.error else None,
                "error_message": message.error.detail if message.error else None,
                "refunded": message.refunded,
                **_state(message.status, _FINISHED),
            }
        case _:
            return None


def _about(
    message: RunQueuedV1 | RunRequestedV1 | RunRejectedV1 | RunFinishedV1,
) -> dict[str, Any]:
    return {
        "run_id": message.run_id,
        "pipeline_id": message.config_id,
        "revision": getattr(message, "revision", None),
        "run_date": message.run_date,
        "trigger_type": message.trigger.type.value,
        "trigger_by": message.trigger.by or None,
        "user_id": message.trigger.user_id or None,
        "submitted_at": message.submitted_at,
    }


def _state(status: RunStatus, rank: int) -> dict[str, Any]:
    return {"status": status.value, "rank": rank}


def step_row(
    envelope: Envelope, message: Message, now: datetime, price: Decimal
) -> dict[str, Any] | None:
    """The step log's row for a message about a step; None for any other."""
    if not isinstance(message, StepStartedV1 | StepCompletedV1):
        return None
    row = {
        "event_id": envelope.id,
        "event_time": envelope.time,
        "tenant_id": message.tenant_id,
        "run_id": message.run_id,
        "step_id": message.step_id,
        "step_type": message.step_type,
        "attempt": message.attempt,
        "status": StepStatus.RUNNING.value,
        "start_time": message.started_at,
        "job_ids": [],
        "recorded_at": now,
    }
    if isinstance(message, StepCompletedV1):
        row |= {
            "status": message.status.value,
            "end_time": message.finished_at,
            "duration_ms": message.duration_ms,
            "row_count": message.rows,
            "bytes_billed": message.bytes,
            "slot_ms": message.slot_ms,
            "cost_usd": cost_of(message.bytes, price),
            "job_ids": list(message.job_ids),
            "error_code": message.error.code if message.error else None,
            "error_message": message.error.detail if message.error else None,
        }
    return row


def quality_rows(envelope: Envelope, message: Message, now: datetime) -> list[dict[str, Any]]:
    """A row for each check of a table."""
    if not isinstance(message, QualityCheckedV1):
        return []
    return [
        {
            "event_id": envelope.id,
            "event_time": envelope.time,
            "tenant_id": message.tenant_id,
            "run_id": message.run_id,
            "step_id": message.step_id,
            "attempt": message.attempt,
            "check_number": number,
            "table_name": message.table,
            "check_name": check.name,
            "check_kind": check.kind,
            "column_name": check.column or None,
            "severity": check.severity.value,
            "status": check.status.value,
            "observed": check.observed,
            "expected": check.expected,
            "row_count": check.row_count,
            "failing_rows": check.failing_rows,
            "samples": json.dumps(check.samples),
            "detail": check.detail,
            "checked_at": message.checked_at,
            "recorded_at": now,
        }
        for number, check in enumerate(message.checks)
    ]


def cost_of(bytes_billed: int, price_per_tib: Decimal) -> Decimal:
    """US dollars, to the nano dollar that BigQuery's NUMERIC holds."""
    return (Decimal(bytes_billed) * price_per_tib / TIB).quantize(_NANO)


def rows_of(
    pairs: Sequence[tuple[Envelope, Message, bytes]], now: datetime, price: Decimal
) -> dict[str, list[dict[str, Any]]]:
    """What is to be written, by the names of the logs."""
    return {
        "event_log": [event_row(envelope, m, data, now) for envelope, m, data in pairs],
        "run_log": [row for e, m, _ in pairs if (row := run_row(e, m, now)) is not None],
        "step_log": [row for e, m, _ in pairs if (row := step_row(e, m, now, price)) is not None],
        "dq_log": [row for e, m, _ in pairs for row in quality_rows(e, m, now)],
        "state_log": [row for e, m, _ in pairs for row in state_rows(e, m, now)],
    }

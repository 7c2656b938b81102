"""What is written of a message: pure translations from messages to rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.envelope import Envelope
from contracts.message import Message
from contracts.runs import (
    AttemptStartedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
)
from contracts.steps import StepCompletedV1, StepStartedV1, StepStatus

Row = Mapping[str, object]

# Within one attempt, the higher rank says the later thing; from 10 on it is the end.
_QUEUED, _REQUESTED, _STARTED, _REJECTED, _FINISHED = 0, 1, 2, 10, 11


def event_row(envelope: Envelope, data: bytes, now: datetime) -> Row:
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
        "data": data.decode(),
        "recorded_at": now,
    }


def run_row(envelope: Envelope, message: Message, now: datetime) -> Row | None:
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


def _said_of_run(message: Message) -> dict[str, Any] | None:
    match message:
        case RunQueuedV1():
            return {**_about(message), "attempt": 0, **_state(RunStatus.QUEUED, _QUEUED)}
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


def step_row(envelope: Envelope, message: Message, now: datetime) -> Row | None:
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
            "job_ids": list(message.job_ids),
            "error_code": message.error.code if message.error else None,
            "error_message": message.error.detail if message.error else None,
        }
    return row


def rows_of(
    pairs: Sequence[tuple[Envelope, Message, bytes]], now: datetime
) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows for the event log, the run log and the step log."""
    events = [event_row(envelope, data, now) for envelope, _, data in pairs]
    runs = [row for e, m, _ in pairs if (row := run_row(e, m, now)) is not None]
    steps = [row for e, m, _ in pairs if (row := step_row(e, m, now)) is not None]
    return events, runs, steps

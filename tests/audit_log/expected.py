"""What every view must say of what was said: folded in the order in which it happened.

Written anew from what the messages mean, not from the views' SQL.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from contracts.quality import QualityCheckedV1
from contracts.runs import (
    AttemptStartedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.steps import StepCompletedV1, StepStartedV1
from tests.audit_log.expected_state import (
    Row,
    Rows,
    Said,
    configs,
    credentials,
    keys,
    profiles,
    subscriptions,
)
from tests.audit_log.expected_state import plans as plans_of

RUN_COLUMNS = (
    *("tenant_id", "run_id", "pipeline_id", "revision", "attempt", "status", "run_date"),
    *("trigger_type", "trigger_by", "submitted_at", "priority", "queue_position", "start_time"),
    *("end_time", "error_code", "error_message", "refunded"),
)


def events(said: Said) -> list[Row]:
    return [
        {
            "event_id": envelope.id,
            "event_type": envelope.type,
            "kind": envelope.kind.value,
            "source": envelope.source,
            "event_time": envelope.time,
            "tenant_id": envelope.tenant_id,
            "correlation_id": envelope.correlation_id,
            "sequence": envelope.sequence,
            "run_id": getattr(message, "run_id", None),
            "data": message.encode().decode(),
        }
        for envelope, message in said
    ]


def runs(said: Said) -> list[Row]:
    found: Rows = {}
    for _, message in said:
        match message:
            case SubmitRunV1():
                row = dict.fromkeys(RUN_COLUMNS) | {"refunded": False, "attempt": 0}
                about: Row = {"tenant_id": message.tenant_id, "run_id": message.run_id}
                asked = {"trigger_type": message.trigger.type.value, "run_date": message.run_date}
                known = {"pipeline_id": message.config_id, "trigger_by": message.trigger.by}
                row |= {**about, **known, **asked, "priority": message.priority}
                found[message.run_id] = row
            case RunQueuedV1():
                new: Row = {"status": "QUEUED", "queue_position": message.position}
                found[message.run_id] |= {**new, "submitted_at": message.submitted_at}
            case RunRequestedV1():
                new = {"status": "PENDING", "attempt": message.attempt}
                found[message.run_id] |= {**new, "revision": message.revision}
                found[message.run_id] |= {"submitted_at": message.submitted_at}
            case AttemptStartedV1():
                found[message.run_id] |= {"status": "RUNNING", "start_time": message.started_at}
            case RunRejectedV1():
                why = {"error_code": message.code, "error_message": message.reason}
                end = {"status": "REJECTED", "submitted_at": message.submitted_at}
                found[message.run_id] |= {**end, **why}
            case RunFinishedV1():
                found[message.run_id] |= {
                    "status": message.status.value,
                    "start_time": message.started_at,
                    "end_time": message.finished_at,
                    "refunded": message.refunded,
                    **_error(message),
                }
    return list(found.values())


def _error(message: RunFinishedV1 | StepCompletedV1) -> Row:
    error = message.error
    return {
        "error_code": error.code if error else None,
        "error_message": error.detail if error else None,
    }


def steps(said: Said) -> list[Row]:
    found: Rows = {}
    for _, message in said:
        if isinstance(message, StepStartedV1 | StepCompletedV1):
            found[message.run_id, message.step_id] = {
                "tenant_id": message.tenant_id,
                "run_id": message.run_id,
                "step_id": message.step_id,
                "step_type": message.step_type,
                "attempt": message.attempt,
                "start_time": message.started_at,
                **_end(message),
            }
    return list(found.values())


def _end(message: StepStartedV1 | StepCompletedV1) -> Row:
    if isinstance(message, StepStartedV1):
        return {"status": "RUNNING"}
    return {
        "status": message.status.value,
        "end_time": message.finished_at,
        "duration_ms": message.duration_ms,
        "row_count": message.rows,
        "bytes_billed": message.bytes,
        "slot_ms": message.slot_ms,
        "job_ids": tuple(message.job_ids),
        **_error(message),
    }


def costs(said: Said) -> list[Row]:
    """A job is paid once: by the run that made it, as its last report of the step says."""
    made_by: dict[str, str] = {}
    found: Rows = {}
    for envelope, message in said:
        if not isinstance(message, StepCompletedV1):
            continue
        for job in message.job_ids:
            made_by.setdefault(job, message.run_id)
        if message.run_id in {made_by[job] for job in message.job_ids}:
            found[message.run_id, message.step_id] = {
                "tenant_id": message.tenant_id,
                "run_id": message.run_id,
                "step_id": message.step_id,
                "attempt": message.attempt,
                "usage_date": envelope.time.date(),
                "bytes_billed": message.bytes,
                "slot_ms": message.slot_ms,
                "duration_ms": message.duration_ms,
            }
    return list(found.values())


def checks(said: Said) -> list[Row]:
    found: Rows = {}
    for _, message in said:
        if isinstance(message, QualityCheckedV1):
            for number, check in enumerate(message.checks):
                found[message.run_id, message.step_id, number] = {
                    "tenant_id": message.tenant_id,
                    "run_id": message.run_id,
                    "step_id": message.step_id,
                    "attempt": message.attempt,
                    "table_name": message.table,
                    "check_number": number,
                    "check_name": check.name,
                    "status": check.status.value,
                    "failing_rows": check.failing_rows,
                    "samples": json.dumps(check.samples),
                    "checked_at": message.checked_at,
                }
    return list(found.values())


def lineage(said: Said) -> list[Row]:
    return [
        {
            **{name: row[name] for name in ("tenant_id", "run_id", "step_id", "attempt", "status")},
            "inputs": json.dumps([f"{row['tenant_id']}.bill"]),
            "output": f"{row['tenant_id']}.sums",
            "columns": json.dumps({"cost": [f"{row['tenant_id']}.bill.cost"]}),
        }
        for row in steps(said)
    ]


def usage(said: Said) -> list[Row]:
    """A run counts on the day on which it was first admitted, unless it was given back."""
    admitted: dict[str, Any] = {}
    for envelope, message in said:
        if isinstance(message, RunQueuedV1 | RunRequestedV1):
            admitted.setdefault(message.run_id, envelope.time.date())
    days: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for row in runs(said):
        if row["run_id"] in admitted:
            counts = days[row["tenant_id"], admitted[row["run_id"]]]
            counts["refunded" if row["refunded"] else "counted"] += 1
            counts[row["status"]] += 1
    plans, month = plans_of(said), Counter[Any]()
    found = []
    for (tenant, day), counts in sorted(days.items()):
        month[tenant, day.year, day.month] += counts["counted"]
        limits = {n: plans[tenant][n] for n in ("daily_limit", "monthly_limit", "concurrent_limit")}
        found.append(
            {
                "tenant_id": tenant,
                "usage_date": day,
                "pipelines_run_today": counts["counted"],
                "pipelines_refunded_today": counts["refunded"],
                "pipelines_succeeded_today": counts[RunStatus.COMPLETED],
                "pipelines_failed_today": counts[RunStatus.FAILED],
                "pipelines_run_month": month[tenant, day.year, day.month],
                **limits,
            }
        )
    return found


def queue(said: Said) -> list[Row]:
    return [
        {
            "queue_id": row["run_id"],
            **{name: row[name] for name in ("tenant_id", "status", "priority", "queue_position")},
            "config_id": row["pipeline_id"],
        }
        for row in runs(said)
        if row["queue_position"] is not None
    ]


def scheduled(said: Said) -> list[Row]:
    return [
        {
            "scheduled_run_id": row["run_id"],
            **{name: row[name] for name in ("tenant_id", "status", "error_code")},
            "config_id": row["pipeline_id"],
            "scheduled_time": row["submitted_at"],
        }
        for row in runs(said)
        if row["trigger_type"] == "schedule"
    ]


VIEWS: dict[str, Callable[[Said], list[Row]]] = {
    "events": events,
    "tenant_pipeline_runs": runs,
    "tenant_step_logs": steps,
    "tenant_run_costs": costs,
    "tenant_dq_results": checks,
    "tenant_lineage": lineage,
    "tenant_profiles": profiles,
    "tenant_subscriptions": subscriptions,
    "tenant_api_keys": keys,
    "tenant_cloud_credentials": credentials,
    "tenant_pipeline_configs": configs,
    "tenant_usage_quotas": usage,
    "tenant_pipeline_execution_queue": queue,
    "tenant_scheduled_pipeline_runs": scheduled,
}

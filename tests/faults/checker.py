"""Reads what the platform recorded and says which promises were broken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.warehouse.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Finding:
    """One promise, how much of it was checked, and what breaks it."""

    promise: str
    checked: int
    violations: tuple[str, ...]


async def check_runs(warehouse: Warehouse, submitted: Sequence[tuple[str, str]]) -> list[Finding]:
    """Compare submitted runs, as (tenant, run id), with the views."""
    ids = {run_id for _, run_id in submitted}
    ends = await _rows(warehouse, "run.finished.v1")
    runs = await warehouse.query(
        "SELECT run_id, status, error_code, error_message FROM tenants.tenant_pipeline_runs"
    )
    events = await warehouse.query(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS d FROM tenants.events"
    )
    ended = [row["run_id"] for row in ends]
    shown = [row["run_id"] for row in runs if row["run_id"] in ids]
    there = {row["run_id"]: row for row in runs}
    return [
        Finding("every run ends exactly once", len(ids), _not_once(ids, ended)),
        Finding("every run is one row of the view", len(ids), _not_once(ids, shown)),
        Finding(
            "every run completes",
            len(ids),
            tuple(_how(i, there.get(i)) for i in ids if not _completed(there.get(i))),
        ),
        Finding(
            "no event is doubled in the view",
            events[0]["n"],
            () if events[0]["n"] == events[0]["d"] else (f"{events[0]}",),
        ),
    ]


def _completed(run: dict[str, Any] | None) -> bool:
    return run is not None and run["status"] == "COMPLETED"


def _how(run_id: str, run: dict[str, Any] | None) -> str:
    if run is None:
        return f"{run_id}: not there"
    return (
        f"{run_id}: {run['status']} {run['error_code'] or ''} {run['error_message'] or ''}".strip()
    )


async def _rows(warehouse: Warehouse, event_type: str) -> list[dict[str, Any]]:
    sql = (
        "SELECT JSON_VALUE(data, '$.run_id') AS run_id FROM tenants.events"
        " WHERE event_type = @event_type"
    )
    return await warehouse.query(sql, {"event_type": event_type})


def _not_once(wanted: set[str], found: Sequence[str]) -> tuple[str, ...]:
    counts = {run_id: found.count(run_id) for run_id in wanted}
    return tuple(f"{run_id}: {n} times" for run_id, n in counts.items() if n != 1)

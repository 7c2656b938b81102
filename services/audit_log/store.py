"""Reading back what was recorded. A tenant's id is bound here, in one place."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from contracts.audit import EventRowPart, ListEventsV1
from contracts.identifiers import TenantId
from contracts.runs import ErrorPart, GetRunV1, ListRunsV1, RunPart, TriggerPart, TriggerType
from contracts.steps import ListStepsV1, StepRowPart
from libs.warehouse.warehouse import Warehouse

Row = Mapping[str, Any]


class Records:
    """The views of the `tenants` dataset, one tenant at a time."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def run(self, query: GetRunV1) -> RunPart | None:
        rows = await self._select(
            "tenant_pipeline_runs", query.tenant_id, ["run_id = @run_id"], {"run_id": query.run_id}
        )
        return _run(rows[0]) if rows else None

    async def runs(self, query: ListRunsV1) -> tuple[tuple[RunPart, ...], str]:
        """A page, newest first, and what to pass as `after` for the next one."""
        conditions: dict[str, tuple[str, object]] = {
            "status": ("status = @status", query.status and query.status.value),
            "config": ("pipeline_id = @config", query.config_id),
            "from_date": ("run_date >= @from_date", query.from_date),
            "to_date": ("run_date <= @to_date", query.to_date),
            "after": (_BEHIND_RUN, query.after or None),
        }
        where = [sql for sql, value in conditions.values() if value is not None]
        values = {name: value for name, (_, value) in conditions.items() if value is not None}
        rows = await self._select(
            "tenant_pipeline_runs",
            query.tenant_id,
            where,
            values,
            f"ORDER BY submitted_at DESC, run_id DESC LIMIT {query.limit + 1}",
        )
        page = [_run(row) for row in rows[: query.limit]]
        last = f"{page[-1].submitted_at.isoformat()}|{page[-1].run_id}" if page else ""
        return tuple(page), last if len(rows) > query.limit else ""

    async def steps(self, query: ListStepsV1) -> tuple[StepRowPart, ...]:
        rows = await self._select(
            "tenant_step_logs",
            query.tenant_id,
            ["run_id = @run_id"],
            {"run_id": query.run_id},
            "ORDER BY start_time NULLS LAST, step_id LIMIT 1000",
        )
        return tuple(_step(row) for row in rows)

    async def events(self, query: ListEventsV1) -> tuple[tuple[EventRowPart, ...], str]:
        conditions: dict[str, tuple[str, object]] = {
            "event_type": ("event_type = @event_type", query.event_type or None),
            "correlation": ("correlation_id = @correlation", query.correlation_id or None),
            "from_time": ("event_time >= @from_time", query.from_time),
            "to_time": ("event_time < @to_time", query.to_time),
            "after": (_BEHIND_EVENT, query.after or None),
        }
        where = [sql for sql, value in conditions.values() if value is not None]
        values = {name: value for name, (_, value) in conditions.items() if value is not None}
        rows = await self._select(
            "events",
            query.tenant_id,
            where,
            values,
            f"ORDER BY event_time, event_id LIMIT {query.limit + 1}",
        )
        page = [_event(row) for row in rows[: query.limit]]
        last = f"{page[-1].event_time.isoformat()}|{page[-1].event_id}" if page else ""
        return tuple(page), last if len(rows) > query.limit else ""

    async def _select(
        self,
        view: str,
        tenant: TenantId,
        where: list[str],
        values: Mapping[str, object],
        tail: str = "",
    ) -> list[dict[str, Any]]:
        conditions = " AND ".join(["tenant_id = @tenant_id", *where])
        sql = (
            f"SELECT * FROM `{self._warehouse.project}.tenants.{view}`"  # noqa: S608  our names
            f" WHERE {conditions} {tail}"
        )
        bound = {k: str(v) if isinstance(v, str) else v for k, v in values.items()}
        return await self._warehouse.query(sql, {**bound, "tenant_id": str(tenant)})


_BEHIND_RUN = (
    "(submitted_at < TIMESTAMP(SPLIT(@after, '|')[OFFSET(0)])"
    " OR (submitted_at = TIMESTAMP(SPLIT(@after, '|')[OFFSET(0)])"
    " AND run_id < SPLIT(@after, '|')[OFFSET(1)]))"
)
_BEHIND_EVENT = (
    "(event_time > TIMESTAMP(SPLIT(@after, '|')[OFFSET(0)])"
    " OR (event_time = TIMESTAMP(SPLIT(@after, '|')[OFFSET(0)])"
    " AND event_id > SPLIT(@after, '|')[OFFSET(1)]))"
)


def _run(row: Row) -> RunPart:
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


def _step(row: Row) -> StepRowPart:
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


def _event(row: Row) -> EventRowPart:
    return EventRowPart(
        event_id=row["event_id"],
        event_type=row["event_type"],
        source=row["source"],
        event_time=row["event_time"],
        sequence=row["sequence"] or 0,
        correlation_id=row["correlation_id"] or "",
        causation_id=row["causation_id"] or "",
        data=row["data"],
    )

"""Reading back what was recorded: pages of runs, steps, events, usage and costs."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from contracts.audit import (
    CostGroup,
    EventOrder,
    EventRowPart,
    ListEventsV1,
    ListLineageV1,
    ListRunCostsV1,
    ListUsageV1,
    RunCostPart,
    UsagePart,
)
from contracts.identifiers import TenantId
from contracts.quality import CheckPart, ListQualityV1, QualityRowPart
from contracts.runs import ErrorPart, GetRunV1, ListRunsV1, RunPart, TriggerPart, TriggerType
from contracts.steps import ListStepsV1, StepRowPart
from contracts.webhooks import ListNoticesV1, NoticeSentV1
from libs.warehouse.warehouse import Warehouse
from services.audit_log.openlineage import run_event
from services.audit_log.reading import Conditions, Reader, Row

MOST_STEPS = 1000
PAGE_BYTES = 4_000_000
"""A reply travels as one message of 10 MB at most."""


class Records:
    """What one tenant may know, in pages; each comes with the `after` of the next."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._reader = Reader(warehouse)
        self._project = warehouse.project

    async def run(self, query: GetRunV1) -> RunPart | None:
        wanted = Conditions().add("run_id = @run_id", run_id=query.run_id)
        rows = await self._reader.select("tenant_pipeline_runs", query.tenant_id, wanted)
        return _run(rows[0]) if rows else None

    async def runs(self, query: ListRunsV1) -> tuple[tuple[RunPart, ...], str]:
        """Newest first."""
        at, _, run_id = query.after.partition("|")
        wanted = (
            Conditions()
            .add("status = @status", status=query.status and query.status.value)
            .add("pipeline_id = @config", config=query.config_id)
            .add("run_date >= @from_date", from_date=query.from_date)
            .add("run_date <= @to_date", to_date=query.to_date)
            .add(_BEHIND_RUN, at=at and datetime.fromisoformat(at), run=run_id)
        )
        rows = await self._reader.select(
            "tenant_pipeline_runs",
            query.tenant_id,
            wanted,
            tail=f"ORDER BY submitted_at DESC, run_id DESC LIMIT {query.limit + 1}",
        )
        page = tuple(_run(row) for row in rows[: query.limit])
        last = f"{page[-1].submitted_at.isoformat()}|{page[-1].run_id}" if page else ""
        return page, last if len(rows) > query.limit else ""

    async def steps(self, query: ListStepsV1) -> tuple[StepRowPart, ...]:
        rows = await self._reader.select(
            "tenant_step_logs",
            query.tenant_id,
            Conditions().add("run_id = @run_id", run_id=query.run_id),
            tail=f"ORDER BY start_time NULLS LAST, step_id LIMIT {MOST_STEPS}",
        )
        return tuple(_step(row) for row in rows)

    async def events(self, query: ListEventsV1) -> tuple[tuple[EventRowPart, ...], str]:
        """A page ends at its limit or before its bytes are too many for a message."""
        wanted = (
            Conditions()
            .add("event_type = @event_type", event_type=query.event_type)
            .add("correlation_id = @correlation", correlation=query.correlation_id)
            .add("event_time >= @from_time", from_time=query.from_time)
            .add("event_time < @to_time", to_time=query.to_time)
            .add("run_id = @run_id", run_id=query.run_id)
            .add("kind = @kind", kind=query.event_kind and query.event_kind.value)
            .add("source = @source", source=query.source)
        )
        view, order = "events", "event_time, event_id"
        first, _, second = query.after.partition("|")
        if query.order is EventOrder.CHAIN:
            view, order = "event_log", "chain_id, chain_position"
            wanted.add("chain_id IS NOT NULL")
            wanted.add(_BEHIND_LINK, chain=first, position=second and int(second))
        else:
            wanted.add(_BEHIND_EVENT, at=first and datetime.fromisoformat(first), event=second)
        rows = await self._reader.select(
            view,
            query.tenant_id,
            wanted,
            tail=f"ORDER BY {order} LIMIT {query.limit + 1}",
            around=_BOUNDED.replace("{order}", order),
        )
        page = rows[: query.limit]
        more = bool(rows) and rows[0]["found"] > len(page)
        return tuple(_event(row) for row in page), _after(page[-1], query.order) if more else ""

    async def quality(self, query: ListQualityV1) -> tuple[tuple[QualityRowPart, ...], str]:
        """Newest first."""
        key = f"{_MICROS} || '|' || {_CHECK}"
        wanted = (
            Conditions()
            .add("run_id = @run_id", run_id=query.run_id)
            .add("status = @status", status=query.status and query.status.value)
            .add(f"{key} < @after", after=query.after)
        )
        rows = await self._reader.select(
            "tenant_dq_results",
            query.tenant_id,
            wanted,
            columns=f"*, {key} AS row_key",
            tail=f"ORDER BY row_key DESC LIMIT {query.limit + 1}",
        )
        page, more = rows[: query.limit], len(rows) > query.limit
        return tuple(_check(row) for row in page), page[-1]["row_key"] if more else ""

    async def lineage(self, query: ListLineageV1) -> tuple[tuple[dict[str, Any], ...], str]:
        """Newest first."""
        key = f"{_MICROS.replace('checked_at', 'event_time')} || '|' || {_STEP}"
        wanted = (
            Conditions()
            .add("run_id = @run_id", run_id=query.run_id)
            .add(f"{key} < @after", after=query.after)
        )
        rows = await self._reader.select(
            "tenant_lineage",
            query.tenant_id,
            wanted,
            columns=f"*, {key} AS row_key",
            tail=f"ORDER BY row_key DESC LIMIT {query.limit + 1}",
        )
        page, more = rows[: query.limit], len(rows) > query.limit
        events = tuple(run_event(row, self._project) for row in page)
        return events, page[-1]["row_key"] if more else ""

    async def notices(self, query: ListNoticesV1) -> tuple[tuple[NoticeSentV1, ...], str]:
        """Newest first."""
        key = f"{_MICROS.replace('checked_at', 'event_time')} || '|' || event_id"
        wanted = (
            Conditions()
            .add("event_type = @type", type=NoticeSentV1.wire_type)
            .add("JSON_VALUE(data, '$.webhook_id') = @webhook", webhook=query.webhook_id)
            .add(f"{key} < @after", after=query.after)
        )
        rows = await self._reader.select(
            "events",
            query.tenant_id,
            wanted,
            columns=f"data, {key} AS row_key",
            tail=f"ORDER BY row_key DESC LIMIT {query.limit + 1}",
        )
        page, more = rows[: query.limit], len(rows) > query.limit
        tries = tuple(NoticeSentV1.decode(row["data"].encode()) for row in page)
        return tries, page[-1]["row_key"] if more else ""

    async def quota_used(self, tenant: TenantId, day: date) -> dict[str, tuple[int, int]]:
        """What of each limit is used on this day: (runs, limit)."""
        wanted = Conditions().add("usage_date = @day", day=day)
        rows = await self._reader.select("tenant_usage_quotas", tenant, wanted)
        if not rows:
            return {}
        row = rows[0]
        return {
            "daily": (row["pipelines_run_today"], row["daily_limit"] or 0),
            "monthly": (int(row["pipelines_run_month"]), row["monthly_limit"] or 0),
        }

    async def usage(self, query: ListUsageV1) -> tuple[tuple[UsagePart, ...], str]:
        wanted = (
            Conditions()
            .add("usage_date >= @from_date", from_date=query.from_date)
            .add("usage_date <= @to_date", to_date=query.to_date)
            .add("usage_date < @after", after=query.after and date.fromisoformat(query.after))
        )
        tail = f"ORDER BY usage_date DESC LIMIT {query.limit + 1}"
        rows = await self._reader.select("tenant_usage_quotas", query.tenant_id, wanted, tail=tail)
        page = tuple(_usage(row) for row in rows[: query.limit])
        return page, page[-1].day.isoformat() if len(rows) > query.limit else ""

    async def costs(self, query: ListRunCostsV1) -> tuple[tuple[RunCostPart, ...], str]:
        columns, key = _GROUPS[query.group_by]
        wanted = (
            Conditions()
            .add("pipeline_id = @config", config=query.config_id)
            .add("run_id = @run_id", run_id=query.run_id)
            .add("usage_date >= @from_date", from_date=query.from_date)
            .add("usage_date <= @to_date", to_date=query.to_date)
            .add(f"{key} > @after", after=query.after)
        )
        rows = await self._reader.select(
            "tenant_run_costs",
            query.tenant_id,
            wanted,
            columns=f"{', '.join(columns)}, {key} AS row_key, {_SUMS}",
            tail=f"GROUP BY {', '.join(columns)}, row_key ORDER BY row_key LIMIT {query.limit + 1}",
        )
        page = rows[: query.limit]
        more = len(rows) > query.limit
        return tuple(_cost(row) for row in page), page[-1]["row_key"] if more else ""


_MICROS = "LPAD(CAST(UNIX_MICROS(checked_at) AS STRING), 20, '0')"
_CHECK = "CONCAT(run_id, '/', step_id, '/', table_name, '/', CAST(check_number AS STRING))"
_STEP = "CONCAT(run_id, '/', step_id)"
_BEHIND_RUN = "(submitted_at < @at OR (submitted_at = @at AND run_id < @run))"
_BEHIND_EVENT = "(event_time > @at OR (event_time = @at AND event_id > @event))"
_BEHIND_LINK = "(chain_id > @chain OR (chain_id = @chain AND chain_position > @position))"
_BOUNDED = f"""
SELECT * FROM (
  SELECT *, COUNT(*) OVER () AS found, SUM(LENGTH(data)) OVER (
    ORDER BY {{order}} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS bytes_before
  FROM ({{query}})
) WHERE COALESCE(bytes_before, 0) < {PAGE_BYTES} ORDER BY {{order}}
"""  # noqa: S608  our names
_SUMS = (
    "COUNT(DISTINCT run_id) AS runs, COUNT(*) AS steps, SUM(bytes_billed) AS bytes_billed,"
    " SUM(slot_ms) AS slot_ms, SUM(duration_ms) AS duration_ms, SUM(cost_usd) AS cost_usd"
)
_GROUPS = {
    CostGroup.DAY: (("usage_date",), "CAST(usage_date AS STRING)"),
    CostGroup.PIPELINE: (("pipeline_id",), "pipeline_id"),
    CostGroup.RUN: (("pipeline_id", "run_id"), "run_id"),
    CostGroup.STEP: (("pipeline_id", "step_id"), "CONCAT(pipeline_id, '/', step_id)"),
}


def _after(row: Row, order: EventOrder) -> str:
    if order is EventOrder.CHAIN:
        return f"{row['chain_id']}|{row['chain_position']}"
    return f"{row['event_time'].isoformat()}|{row['event_id']}"


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


_EVENT_FIELDS = frozenset(EventRowPart.model_fields)


def _event(row: Row) -> EventRowPart:
    found: dict[str, Any] = {n: v for n, v in row.items() if n in _EVENT_FIELDS and v is not None}
    return EventRowPart(**found)


def _check(row: Row) -> QualityRowPart:
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


def _usage(row: Row) -> UsagePart:
    return UsagePart(
        day=row["usage_date"],
        runs=row["pipelines_run_today"],
        succeeded=row["pipelines_succeeded_today"],
        failed=row["pipelines_failed_today"],
        runs_this_month=int(row["pipelines_run_month"]),
    )


def _cost(row: Row) -> RunCostPart:
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

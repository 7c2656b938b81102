"""Reading back what was recorded: pages of runs, steps, events, usage and costs."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from contracts.audit import (
    CLOCKS_DIFFER,
    PLATFORM,
    CostGroup,
    DeadLetterRowPart,
    EventListV1,
    ListDeadLettersV1,
    ListEventsV1,
    ListLineageV1,
    ListRunCostsV1,
    ListUsageV1,
    MessageAbandonedV1,
    RunCostPart,
    UsagePart,
)
from contracts.quality import ListQualityV1, QualityRowPart
from contracts.runs import GetRunV1, ListRunsV1, RunPart
from contracts.steps import ListStepsV1, StepRowPart
from contracts.webhooks import ListNoticesV1, NoticeSentV1
from libs.clock import Clock, earlier, system_clock
from libs.warehouse.warehouse import Warehouse
from services.audit_log.event_pages import EventPages
from services.audit_log.openlineage import run_event
from services.audit_log.page_bounds import fitting, within_bytes
from services.audit_log.parts import (
    RUN_COLUMNS,
    USAGE_COLUMNS,
    check_part,
    cost_part,
    dead_letter_part,
    run_part,
    step_part,
    usage_part,
)
from services.audit_log.reading import SHOWN, Conditions, Reader, Row

MOST_STEPS = 1000


class Records:
    """What one tenant may know, in pages; each comes with the `after` of the next."""

    def __init__(self, warehouse: Warehouse, clock: Clock = system_clock) -> None:
        self._reader = Reader(warehouse)
        self._events = EventPages(self._reader, clock)
        self._clock = clock
        self._project = warehouse.project

    async def run(self, query: GetRunV1) -> RunPart | None:
        wanted = Conditions().add("run_id = @run_id", run_id=query.run_id)
        rows = await self._reader.select(
            "tenant_pipeline_runs", query.tenant_id, wanted, columns=RUN_COLUMNS
        )
        return run_part(rows[0]) if rows else None

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
            columns=RUN_COLUMNS,
            tail=f"ORDER BY {_SUBMITTED} DESC, run_id DESC LIMIT {query.limit + 1}",
        )
        page = fitting(map(run_part, rows[: query.limit]), RunPart.model_dump_json)
        last = f"{page[-1].submitted_at.isoformat()}|{page[-1].run_id}" if page else ""
        return page, last if len(rows) > len(page) else ""

    async def steps(self, query: ListStepsV1) -> tuple[StepRowPart, ...]:
        rows = await self._reader.select(
            "tenant_step_logs",
            query.tenant_id,
            Conditions().add("run_id = @run_id", run_id=query.run_id),
            tail=f"ORDER BY start_time NULLS LAST, step_id LIMIT {MOST_STEPS}",
        )
        return tuple(step_part(row) for row in rows)

    async def events(self, query: ListEventsV1) -> EventListV1:
        return await self._events.page(query)

    async def quality(self, query: ListQualityV1) -> tuple[tuple[QualityRowPart, ...], str]:
        wanted = (
            Conditions()
            .add("run_id = @run_id", run_id=query.run_id)
            .add("status = @status", status=query.status and query.status.value)
        )
        key = f"{_micros('checked_at')} || '|' || {_CHECK}"
        rows = await self._newest(
            "tenant_dq_results", query, wanted, key, ("samples", "detail", "observed", "expected")
        )
        page = fitting(map(check_part, rows[: query.limit]), QualityRowPart.model_dump_json)
        return page, _after(rows, page)

    async def lineage(self, query: ListLineageV1) -> tuple[tuple[dict[str, Any], ...], str]:
        wanted = Conditions().add("run_id = @run_id", run_id=query.run_id)
        key = f"{_micros('event_time')} || '|' || {_STEP}"
        rows = await self._newest("tenant_lineage", query, wanted, key, ("inputs", "columns"))
        page = fitting((run_event(row, self._project) for row in rows[: query.limit]), json.dumps)
        return page, _after(rows, page)

    async def notices(self, query: ListNoticesV1) -> tuple[tuple[NoticeSentV1, ...], str]:
        """The newest first."""
        since, after = self._place(query)
        wanted = (
            _between(since, query.to_time)
            .add("event_type = @type", type=NoticeSentV1.wire_type)
            .add("JSON_VALUE(data, '$.webhook_id') = @webhook", webhook=query.webhook_id)
        )
        asked = query.model_copy(update={"after": after})
        rows = await self._newest("event_log", asked, wanted, _EVENT_KEY, ("data",))
        sent = (NoticeSentV1.decode(row["data"].encode()) for row in rows[: query.limit])
        page = fitting(sent, NoticeSentV1.model_dump_json)
        return page, _after(rows, page, since)

    async def dead_letters(
        self, query: ListDeadLettersV1
    ) -> tuple[tuple[DeadLetterRowPart, ...], str]:
        """Of all tenants, the newest first."""
        since, after = self._place(query)
        wanted = (
            _between(since, query.to_time)
            .add("event_type = @type", type=MessageAbandonedV1.wire_type)
            .add("source = @service", service=query.service and query.service.value)
            .add(f"{_LETTER_TYPE} = @message_type", message_type=query.message_type)
        )
        asked = query.model_copy(update={"after": after})
        rows = await self._newest("event_log", asked, wanted, _EVENT_KEY, ("data",))
        page = fitting(
            map(dead_letter_part, rows[: query.limit]), DeadLetterRowPart.model_dump_json
        )
        return page, _after(rows, page, since)

    def _place(self, query: ListNoticesV1 | ListDeadLettersV1) -> tuple[datetime | None, str]:
        """Since when, and behind which row; cursors of older releases are of everything."""
        if not query.after:
            return query.from_time or earlier(query.to_time or self._clock(), SHOWN), ""
        at, event_id, since, *_ = [*query.after.split("|"), "", ""]
        return datetime.fromisoformat(since) if since else query.from_time, f"{at}|{event_id}"

    async def _newest(
        self,
        view: str,
        query: ListQualityV1 | ListLineageV1 | ListNoticesV1 | ListDeadLettersV1,
        wanted: Conditions,
        key: str,
        long: Sequence[str],
    ) -> list[dict[str, Any]]:
        """In the order of a text that no two rows share, the newest first; `long` may be long."""
        return await self._reader.select(
            view,
            query.scope or PLATFORM,
            wanted.add(f"{key} < @after", after=query.after),
            columns=f"*, {key} AS row_key",
            tail=f"ORDER BY row_key DESC LIMIT {query.limit + 1}",
            around=within_bytes("row_key DESC", *long),
        )

    async def usage(self, query: ListUsageV1) -> tuple[tuple[UsagePart, ...], str]:
        wanted = (
            Conditions()
            .add("usage_date >= @from_date", from_date=query.from_date)
            .add("usage_date <= @to_date", to_date=query.to_date)
            .add("usage_date < @after", after=query.after and date.fromisoformat(query.after))
        )
        tail = f"ORDER BY usage_date DESC LIMIT {query.limit + 1}"
        rows = await self._reader.select(
            "tenant_usage_quotas", query.tenant_id, wanted, columns=USAGE_COLUMNS, tail=tail
        )
        page = tuple(usage_part(row) for row in rows[: query.limit])
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
        return tuple(cost_part(row) for row in page), page[-1]["row_key"] if more else ""


_CHECK = "CONCAT(run_id, '/', step_id, '/', table_name, '/', CAST(check_number AS STRING))"
_STEP = "CONCAT(run_id, '/', step_id)"
_SUBMITTED = "COALESCE(submitted_at, TIMESTAMP_SECONDS(0))"
"""Of a run that only its executor has told of yet, it is not known when it was submitted."""
_BEHIND_RUN = f"({_SUBMITTED} < @at OR ({_SUBMITTED} = @at AND run_id < @run))"
_SUMS = (
    "COUNT(DISTINCT run_id) AS runs, COUNT(*) AS steps, SUM(bytes_billed) AS bytes_billed,"
    " SUM(slot_ms) AS slot_ms, SUM(duration_ms) AS duration_ms, SUM(cost_usd) AS cost_usd"
)
_PIPELINE = "COALESCE(pipeline_id, '~')"
"""Steps may be recorded before their run is: they come behind every name."""
_GROUPS = {
    CostGroup.DAY: (("usage_date",), "CAST(usage_date AS STRING)"),
    CostGroup.PIPELINE: (("pipeline_id",), _PIPELINE),
    CostGroup.RUN: (("pipeline_id", "run_id"), "run_id"),
    CostGroup.STEP: (("pipeline_id", "step_id"), f"CONCAT({_PIPELINE}, '/', step_id)"),
}


def _micros(column: str) -> str:
    """SQL of a time as text that sorts as the time does."""
    return f"LPAD(CAST(UNIX_MICROS({column}) AS STRING), 20, '0')"


_EVENT_KEY = f"{_micros('event_time')} || '|' || event_id"
_LETTER_TYPE = "JSON_VALUE(data, '$.letter.message_type')"


def _between(since: datetime | None, to_time: datetime | None) -> Conditions:
    """Of the log itself: messages sent then, each once.

    Reads the log from then on to its end: a replay records what is missing much later.
    """
    return (
        Conditions(once="event_id")
        .recorded_since(since and earlier(since, CLOCKS_DIFFER))
        .add("event_time >= @from_time", from_time=since)
        .add("event_time < @to_time", to_time=to_time)
    )


def _after(rows: Sequence[Row], page: Sequence[object], since: datetime | None = None) -> str:
    """What the next page comes after, if there is one."""
    if not page or rows[0]["found"] <= len(page):
        return ""
    key = str(rows[len(page) - 1]["row_key"])
    return f"{key}|{since.isoformat()}" if since else key

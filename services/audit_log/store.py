"""Reading back what was recorded: pages of runs, steps, events, usage and costs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from contracts.audit import (
    CLOCKS_DIFFER,
    PLATFORM,
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
    check_part,
    dead_letter_part,
    run_part,
    step_part,
)
from services.audit_log.reading import SHOWN, Conditions, Reader, Row
from services.audit_log.run_days import RunDays
from services.audit_log.spent import Spent

MOST_STEPS = 1000
ASKED_AHEAD = timedelta(days=366)
"""Runs may be about days to come: by so much before that day they are found by it."""
LONGEST_ATTEMPT = timedelta(days=30)
"""What a step reads is recorded when its attempt is asked for; when it has ended, shown."""


class Records:
    """What one tenant may know, in pages; each comes with the `after` of the next."""

    def __init__(self, warehouse: Warehouse, clock: Clock = system_clock) -> None:
        self._reader = Reader(warehouse)
        self._days = RunDays(self._reader, clock)
        self._events = EventPages(self._reader, self._days, clock)
        self._spent = Spent(self._reader, self._days, clock)
        self._clock = clock
        self._project = warehouse.project

    async def run(self, query: GetRunV1) -> RunPart | None:
        return await self._days.find(query.tenant_id, query.run_id)

    async def runs(self, query: ListRunsV1) -> tuple[tuple[RunPart, ...], str]:
        """Newest first."""
        since, (at, run_id) = self._runs_place(query)
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
            since=since,
        )
        page = fitting(map(run_part, rows[: query.limit]), RunPart.model_dump_json)
        if len(rows) <= len(page):
            return page, ""
        ends = f"{page[-1].submitted_at.isoformat()}|{page[-1].run_id}"
        return page, f"{ends}|{since.isoformat()}" if since else ends

    def _runs_place(self, query: ListRunsV1) -> tuple[datetime | None, tuple[str, str]]:
        """Since when, and behind which run; cursors of older releases are of everything."""
        if query.after:
            at, run_id, since, *_ = [*query.after.split("|"), ""]
            return datetime.fromisoformat(since) if since else None, (at, run_id)
        if query.from_date:
            asked = datetime.combine(query.from_date, time(), UTC)
            return earlier(asked, ASKED_AHEAD), ("", "")
        return None if query.to_date else earlier(self._clock(), SHOWN), ("", "")

    async def steps(self, query: ListStepsV1) -> tuple[StepRowPart, ...]:
        rows = await self._reader.select(
            "tenant_step_logs",
            query.tenant_id,
            Conditions().add("run_id = @run_id", run_id=query.run_id),
            tail=f"ORDER BY start_time NULLS LAST, step_id LIMIT {MOST_STEPS}",
            since=await self._days.began(query.tenant_id, query.run_id),
        )
        return tuple(step_part(row) for row in rows)

    async def events(self, query: ListEventsV1) -> EventListV1:
        return await self._events.page(query)

    async def quality(self, query: ListQualityV1) -> tuple[tuple[QualityRowPart, ...], str]:
        since, after = await self._place_in_runs(query)
        wanted = (
            Conditions()
            .add("run_id = @run_id", run_id=query.run_id)
            .add("status = @status", status=query.status and query.status.value)
            .add("checked_at >= @from_time", from_time=query.from_time if query.run_id else since)
            .add("checked_at < @to_time", to_time=query.to_time)
        )
        key = f"{_micros('checked_at')} || '|' || {_CHECK}"
        long = ("samples", "detail", "observed", "expected")
        asked = query.model_copy(update={"after": after})
        read = since and earlier(since, CLOCKS_DIFFER)
        rows = await self._newest("tenant_dq_results", asked, wanted, key, long, since=read)
        page = fitting(map(check_part, rows[: query.limit]), QualityRowPart.model_dump_json)
        return page, _after(rows, page, since)

    async def lineage(self, query: ListLineageV1) -> tuple[tuple[dict[str, Any], ...], str]:
        since, after = await self._place_in_runs(query)
        wanted = (
            Conditions()
            .add("run_id = @run_id", run_id=query.run_id)
            .add("event_time >= @from_time", from_time=query.from_time if query.run_id else since)
            .add("event_time < @to_time", to_time=query.to_time)
        )
        key = f"{_micros('event_time')} || '|' || {_STEP}"
        asked = query.model_copy(update={"after": after})
        read = since and earlier(since, CLOCKS_DIFFER + LONGEST_ATTEMPT)
        long = ("inputs", "columns")
        rows = await self._newest("tenant_lineage", asked, wanted, key, long, since=read)
        page = fitting((run_event(row, self._project) for row in rows[: query.limit]), json.dumps)
        return page, _after(rows, page, since)

    async def _place_in_runs(
        self, query: ListQualityV1 | ListLineageV1
    ) -> tuple[datetime | None, str]:
        if query.run_id and not query.after:
            return await self._days.began(query.tenant_id, query.run_id), ""
        return self._place(query)

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

    def _place(
        self, query: ListNoticesV1 | ListDeadLettersV1 | ListQualityV1 | ListLineageV1
    ) -> tuple[datetime | None, str]:
        """Since when, and behind which row; cursors of older releases are of everything."""
        if not query.after:
            return query.from_time or earlier(query.to_time or self._clock(), SHOWN), ""
        at, event_id, since, *_ = [*query.after.split("|"), "", ""]
        return datetime.fromisoformat(since) if since else query.from_time, f"{at}|{event_id}"

    async def _newest(  # noqa: PLR0913  the parts of a query
        self,
        view: str,
        query: ListQualityV1 | ListLineageV1 | ListNoticesV1 | ListDeadLettersV1,
        wanted: Conditions,
        key: str,
        long: Sequence[str],
        *,
        since: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """In the order of a text that no two rows share, the newest first; `long` may be long."""
        return await self._reader.select(
            view,
            query.scope or PLATFORM,
            wanted.add(f"{key} < @after", after=query.after),
            columns=f"*, {key} AS row_key",
            tail=f"ORDER BY row_key DESC LIMIT {query.limit + 1}",
            around=within_bytes("row_key DESC", *long),
            since=since,
        )

    async def usage(self, query: ListUsageV1) -> tuple[tuple[UsagePart, ...], str]:
        return await self._spent.usage(query)

    async def costs(self, query: ListRunCostsV1) -> tuple[tuple[RunCostPart, ...], str]:
        return await self._spent.costs(query)


_CHECK = "CONCAT(run_id, '/', step_id, '/', table_name, '/', CAST(check_number AS STRING))"
_STEP = "CONCAT(run_id, '/', step_id)"
_SUBMITTED = "COALESCE(submitted_at, TIMESTAMP_SECONDS(0))"
"""Of a run that only its executor has told of yet, it is not known when it was submitted."""
_BEHIND_RUN = f"({_SUBMITTED} < @at OR ({_SUBMITTED} = @at AND run_id < @run))"


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

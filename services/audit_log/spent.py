"""Pages of what runs used: by day, and what they cost."""

from datetime import UTC, date, datetime, time, timedelta

from contracts.audit import (
    CLOCKS_DIFFER,
    CostGroup,
    ListRunCostsV1,
    ListUsageV1,
    RunCostPart,
    UsagePart,
)
from contracts.identifiers import RunId
from libs.clock import Clock, earlier
from services.audit_log.parts import USAGE_COLUMNS, cost_part, usage_part
from services.audit_log.reading import SHOWN, Conditions, Reader
from services.audit_log.run_days import RunDays

LONGEST_LIFE = timedelta(days=90)
"""For which a run may wait, and be tried again; older ones are forgotten."""


class Spent:
    def __init__(self, reader: Reader, days: RunDays, clock: Clock) -> None:
        self._reader = reader
        self._days = days
        self._clock = clock

    async def usage(self, query: ListUsageV1) -> tuple[tuple[UsagePart, ...], str]:
        first, after = self._place(query)
        wanted = (
            Conditions()
            .add("usage_date >= @from_date", from_date=first)
            .add("usage_date <= @to_date", to_date=query.to_date)
            .add("usage_date < @after", after=after and date.fromisoformat(after))
        )
        tail = f"ORDER BY usage_date DESC LIMIT {query.limit + 1}"
        rows = await self._reader.select(
            "tenant_usage_quotas",
            query.tenant_id,
            wanted,
            columns=USAGE_COLUMNS,
            tail=tail,
            since=_since(first.replace(day=1) if first else None),
        )
        page = tuple(usage_part(row) for row in rows[: query.limit])
        return page, f"{page[-1].day}|{first or ''}" if len(rows) > query.limit else ""

    async def costs(self, query: ListRunCostsV1) -> tuple[tuple[RunCostPart, ...], str]:
        first, after = self._place(query, query.run_id)
        run = query.run_id and await self._days.began(query.tenant_id, query.run_id)
        columns, key = _GROUPS[query.group_by]
        wanted = (
            Conditions()
            .add("pipeline_id = @config", config=query.config_id)
            .add("run_id = @run_id", run_id=query.run_id)
            .add("usage_date >= @from_date", from_date=first)
            .add("usage_date <= @to_date", to_date=query.to_date)
            .add(f"{key} > @after", after=after)
        )
        rows = await self._reader.select(
            "tenant_run_costs",
            query.tenant_id,
            wanted,
            columns=f"{', '.join(columns)}, {key} AS row_key, {_SUMS}",
            tail=f"GROUP BY {', '.join(columns)}, row_key ORDER BY row_key LIMIT {query.limit + 1}",
            since=_since(run.date() if run else first),
        )
        page = tuple(cost_part(row) for row in rows[: query.limit])
        more = len(rows) > query.limit
        return page, f"{rows[query.limit - 1]['row_key']}|{first or ''}" if more else ""

    def _place(
        self, query: ListUsageV1 | ListRunCostsV1, run_id: RunId | None = None
    ) -> tuple[date | None, str]:
        """The first day, and what the page comes after; cursors of older releases name no day."""
        after, bar, first = query.after.rpartition("|")
        if bar:
            return date.fromisoformat(first) if first else query.from_date, after
        if query.after:
            return query.from_date, query.after
        if query.from_date or query.to_date or run_id:
            return query.from_date, ""
        return earlier(self._clock().date(), SHOWN), ""


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


def _since(day: date | None) -> datetime | None:
    """When the first run can have begun that is about this day, or shares its jobs."""
    if day is None:
        return None
    return earlier(datetime.combine(day, time(), UTC), LONGEST_LIFE + CLOCKS_DIFFER)

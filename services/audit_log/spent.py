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
from libs.clock import Clock, earlier
from services.audit_log.parts import USAGE_COLUMNS, cost_part, usage_part
from services.audit_log.reading import SHOWN, Conditions, Reader

LONGEST_LIFE = timedelta(days=90)
"""For which a run may wait, and be tried again; older ones are forgotten."""


class Spent:
    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def usage(self, query: ListUsageV1) -> tuple[tuple[UsagePart, ...], str]:
        first, after = self._first_day(query)
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
            since=_month_of(first) if first else None,
        )
        page = tuple(usage_part(row) for row in rows[: query.limit])
        return page, f"{page[-1].day}|{first or ''}" if len(rows) > query.limit else ""

    def _first_day(self, query: ListUsageV1) -> tuple[date | None, str]:
        """And what the page comes after; cursors of older releases are of everything."""
        if query.after:
            after, _, first = query.after.partition("|")
            return date.fromisoformat(first) if first else query.from_date, after
        if query.from_date or query.to_date:
            return query.from_date, ""
        return earlier(self._clock().date(), SHOWN), ""

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


def _month_of(day: date) -> datetime:
    """Since when runs of its month may have begun to be counted: each is on its first day."""
    first = datetime.combine(day.replace(day=1), time(), UTC)
    return earlier(first, LONGEST_LIFE + CLOCKS_DIFFER)

"""What is told of a load of FOCUS rows: does it conform, and how does it compare."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from contracts.quality import CheckPart
from libs.warehouse.jobs import JobResult, QueryJob
from libs.warehouse.warehouse import Warehouse
from services.executor.focus.conformance import conformance, cost_rows
from services.executor.focus.history import LOOKBACK, history_checks
from services.executor.focus.tables import WHERE, replaced
from services.executor.focus.tally import Key, Tally
from services.executor.ingest.slices import SliceLoad
from services.executor.steps.checks import Config, compile_checks
from services.executor.steps.findings import findings_of
from services.executor.steps.quality import quality
from services.executor.steps.step import StepRun


class CostReport:
    """Safe to share between runs."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def compared(self, load: SliceLoad, tally: Tally, now: datetime) -> list[CheckPart]:
        """Against what the target holds; it is made if it is not there."""
        await self._warehouse.ensure(load.target)
        return history_checks(
            tally, await self._before(load, tally), await self._days(load, tally), now
        )

    async def conforms(
        self, given: StepRun, target: str, staged: str, now: datetime
    ) -> Sequence[JobResult]:
        """All rules in one scan of the staged rows; told as checks of the target."""
        config = Config.model_validate({"table": staged, "checks": [*conformance(), *cost_rows()]})
        scan = compile_checks(config, f"`{self._warehouse.project}.{staged}`")
        job = QueryJob(
            job_id=given.job_id_of("conforms"),
            sql=scan.sql(""),
            parameters=scan.parameters,
            labels=given.labels,
        )
        done = await self._warehouse.run_query_job(job)
        (row,) = await self._warehouse.rows_of(done.job_id, limit=1)
        found = findings_of(config, row)
        given.tell.say("conformance", quality(given, target, now, found))
        return [done]

    async def _before(self, load: SliceLoad, tally: Tally) -> Mapping[Key, Decimal]:
        rows = await self._rows(
            "SELECT BillingPeriodStart AS p, BillingAccountId AS a, BillingCurrency AS c,"
            " SUM(BilledCost) AS billed FROM {table} WHERE {where} GROUP BY 1, 2, 3",
            load,
            replaced(str(load.parameters["provider"]), tally.billed),
            WHERE,
        )
        return {(row["p"], row["a"], row["c"]): row["billed"] for row in rows}

    async def _days(self, load: SliceLoad, tally: Tally) -> Mapping[date, Decimal]:
        if not tally.days:
            return {}
        first = min(day for _, day in tally.days)
        parameters = {
            "provider": load.parameters["provider"],
            "first": first - LOOKBACK,
            "last": first,
        }
        rows = await self._rows(
            "SELECT DATE(ChargePeriodStart) AS d, SUM(EffectiveCost) AS cost FROM {table}"
            " WHERE {where} GROUP BY 1",
            load,
            parameters,
            "x_provider = @provider AND ChargeCategory = 'Usage'"
            " AND ChargePeriodStart >= TIMESTAMP(@first) AND ChargePeriodStart < TIMESTAMP(@last)",
        )
        return {row["d"]: row["cost"] for row in rows}

    async def _rows(
        self, sql: str, load: SliceLoad, parameters: Mapping[str, Any], where: str
    ) -> list[dict[str, Any]]:
        table = f"`{self._warehouse.project}.{load.target.path}`"
        text = sql.replace("{table}", table).replace("{where}", where)
        return await self._warehouse.query(text, parameters)

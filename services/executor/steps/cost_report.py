"""What is told of a load of FOCUS rows: does it conform, and how does it compare."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from contracts.quality import CheckPart
from libs.clock import earlier, later
from libs.warehouse.data_tables import loads_table
from libs.warehouse.jobs import JobResult, QueryJob
from libs.warehouse.warehouse import Warehouse
from services.executor.focus.begins import begins_on
from services.executor.focus.beside import beside_check, found_beside, loads_of_provider
from services.executor.focus.conformance import conformance, cost_rows
from services.executor.focus.counted import MOST_SHOWN
from services.executor.focus.history import LOOKBACK, history_checks
from services.executor.focus.money import NOTHING, added, less
from services.executor.focus.tables import WITHIN_PARAMETERS, Replacement
from services.executor.focus.tally import Day, Key, Tally
from services.executor.ingest.deliveries import Delivery
from services.executor.steps.checks import Config, compile_checks
from services.executor.steps.findings import findings_of
from services.executor.steps.quality import quality
from services.executor.steps.step import StepRun


class CostReport:
    """Safe to share between runs."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def holds(self, replacement: Replacement, delivery: Delivery) -> bool:
        """Whether all that is there of the source is this load, and the whole of it.

        Others may have replaced it since, in part even. Tables that are not there are made.
        """
        await self._ensure(replacement)
        given = await self._bounded(replacement, replacement.parameters("", ()))
        (row,) = await self._warehouse.query(
            "SELECT COUNT(*) AS held, COUNTIF(x_load_id = @load_id) AS whole"  # noqa: S608  our own
            f" FROM {replacement.there} WHERE {WITHIN_PARAMETERS} AND {replacement.ours}",
            {**given, "load_id": delivery.load_id},
        )
        return bool(row["held"] == row["whole"] == delivery.rows)

    async def compared(
        self, replacement: Replacement, given: Mapping[str, object], tally: Tally, now: datetime
    ) -> list[CheckPart]:
        """Against what the target holds; it is made if it is not there."""
        await self._ensure(replacement)
        bounded = await self._bounded(replacement, given)
        changes = await self._changes(replacement, bounded, tally)
        days = await self._days(replacement, bounded, tally)
        return history_checks(tally, changes, days, now)

    async def loads_seen(self, replacement: Replacement, given: Mapping[str, object]) -> int:
        """In a table that is there."""
        (row,) = await self._warehouse.query(loads_of_provider(replacement), given)
        return int(row["n"])

    async def beside(
        self, given: StepRun, replacement: Replacement, replaced: Mapping[str, object], staged: str
    ) -> tuple[JobResult, CheckPart]:
        """Whether other slices, which stay, have the charges of the staged rows."""
        sql = found_beside(replacement, f"`{self._warehouse.project}.{staged}`")
        job = QueryJob(
            job_id=given.job_id_of("beside"),
            sql=f"{sql} ORDER BY stops DESC, alike DESC, source, account LIMIT {MOST_SHOWN}",
            parameters=replaced,
            labels=given.labels,
        )
        done = await self._warehouse.run_query_job(job)
        return done, beside_check(await self._warehouse.rows_of(done.job_id, limit=MOST_SHOWN))

    async def _ensure(self, replacement: Replacement) -> None:
        target = replacement.target
        await self._warehouse.ensure(target, loads_table(target.dataset))

    async def _bounded(
        self, replacement: Replacement, given: Mapping[str, object]
    ) -> dict[str, object]:
        first, last = replacement.bounds
        (row,) = await self._warehouse.query(f"SELECT {first} AS first, {last} AS last", given)
        return {**given, "first_period": row["first"], "last_period": row["last"]}

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

    async def _changes(
        self, replacement: Replacement, given: Mapping[str, object], tally: Tally
    ) -> Mapping[Key, tuple[Decimal, Decimal]]:
        """What each period that is there holds, and what it will."""
        rows = await self._warehouse.query(
            "SELECT BillingPeriodStart AS p, BillingAccountId AS a, BillingCurrency AS c,"  # noqa: S608  our own
            " COALESCE(SUM(BilledCost), 0) AS billed,"
            f" COALESCE(SUM(IF({replacement.gives_way}, BilledCost, NULL)), 0) AS gone"
            f" FROM {replacement.there} WHERE {WITHIN_PARAMETERS} AND x_provider = @provider"
            " GROUP BY 1, 2, 3",
            given,
        )
        keys = [((row["p"], row["a"], row["c"]), row["billed"], row["gone"]) for row in rows]
        there = {
            key: (billed, added(less(billed, gone), tally.billed.get(key, NOTHING)))
            for key, billed, gone in keys
        }
        emptied = await self._known(replacement, given) - {_named(key) for key in there}
        back = {key: (NOTHING, new) for key, new in tally.billed.items() if _named(key) in emptied}
        return there | back

    async def _known(
        self, replacement: Replacement, given: Mapping[str, object]
    ) -> set[tuple[date, str, str]]:
        """Periods, of those that a load may be of, that had rows once, by when they begin."""
        rows = await self._warehouse.query(
            "SELECT billing_period AS p, billing_account_id AS a, currency AS c"  # noqa: S608  our own
            f" FROM {replacement.loads} WHERE provider = @provider"
            " AND billing_period >= DATE(@first_period) AND billing_period <= DATE(@last_period)"
            " GROUP BY 1, 2, 3",
            given,
        )
        return {(row["p"], row["a"], row["c"]) for row in rows}

    async def _days(
        self, replacement: Replacement, given: Mapping[str, object], tally: Tally
    ) -> Mapping[Day, Decimal]:
        """What usage of the load's accounts costs that stays: on its days, and before them."""
        if not tally.days:
            return {}
        days = [day for day, _, _ in tally.days]
        since, until = earlier(min(days), LOOKBACK), later(max(days), timedelta(days=1))
        rows = await self._warehouse.query(
            "SELECT DATE(ChargePeriodStart) AS d, BillingAccountId AS a, BillingCurrency AS c,"  # noqa: S608  our own
            f" SUM(EffectiveCost) AS cost FROM {replacement.there}"
            " WHERE x_provider = @provider AND ChargeCategory = 'Usage'"
            " AND BillingAccountId IN UNNEST(@accounts)"
            " AND ChargePeriodStart >= TIMESTAMP(@since) AND ChargePeriodStart < TIMESTAMP(@until)"
            f" AND NOT ({WITHIN_PARAMETERS} AND {replacement.gives_way})"
            " GROUP BY 1, 2, 3",
            {**given, "since": since, "until": until},
        )
        return {(row["d"], row["a"], row["c"]): row["cost"] for row in rows}


def _named(key: Key) -> tuple[date, str, str]:
    """As its history names it."""
    start, account, currency = key
    return begins_on(start), account, currency

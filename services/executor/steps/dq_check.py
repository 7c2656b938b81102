"""`dq.check`: all checks of one table in one scan; results as an event, failures as an error."""

from contracts.quality import CheckPart, CheckStatus, Severity
from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.jobs import QueryJob
from services.executor.steps.checks import Config, Scan, compile_checks
from services.executor.steps.findings import findings_of
from services.executor.steps.isolation import failed_job, unavailable
from services.executor.steps.quality import quality
from services.executor.steps.step import (
    StepError,
    StepPlan,
    StepResult,
    StepRun,
    StepType,
)
from services.executor.steps.tools import Tools
from services.executor.steps.variables import BoundSql, bind_sql, fill_name

NAMED_FAILURES = 5


class DqCheck(StepType):
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, given: StepRun) -> StepResult:
        config = given.config(Config)
        sql = self._sql(given, config)
        await self._tools.isolation.admit(sql, given.request)
        job = QueryJob(
            job_id=given.job_id,
            sql=sql.text,
            parameters=sql.parameters,
            default_dataset=given.request.datasets[0],
            max_bytes_billed=given.request.max_bytes_billed,
            labels=given.labels,
        )
        try:
            warehouse = self._tools.warehouse_of(given.request)
            done = await warehouse.run_query_job(job, given.tell_job)
            given.spent.add(done)
            (row,) = await warehouse.rows_of(done.job_id, limit=1)
        except JobFailedError as error:
            raise failed_job(error) from error
        except UnavailableError as error:
            raise unavailable(error) from error
        checks = findings_of(config, row)
        self._tell(given, config, checks)
        _judge(given, checks)
        return StepResult(row["row_count"])

    async def cancel(self, given: StepRun) -> None:
        await self._tools.warehouse_of(given.request).cancel_job(given.job_id)

    async def plan(self, given: StepRun) -> StepPlan:
        sql = self._sql(given, given.config(Config))
        judged = await self._tools.isolation.judge(sql, given.request)
        return StepPlan(
            sql=sql.text,
            reads=judged.reads,
            bytes=judged.bytes,
            price_usd=self._tools.price_of(judged.bytes),
        )

    def _sql(self, given: StepRun, config: Config) -> BoundSql:
        request = given.request
        scan: Scan = compile_checks(config, f"`{fill_name(config.table, request)}`")
        bound = bind_sql(scan.sql(config.where), request)
        bound.parameters.update(scan.parameters)
        bound.parameters |= {"run_date": request.run_date, "checked_at": self._tools.clock()}
        bound.parameters = {n: v for n, v in bound.parameters.items() if f"@{n}" in bound.text}
        return bound

    def _tell(self, given: StepRun, config: Config, checks: tuple[CheckPart, ...]) -> None:
        table = fill_name(config.table, given.request)
        given.tell.say("quality", quality(given, table, self._tools.clock(), checks))


def _judge(given: StepRun, checks: tuple[CheckPart, ...]) -> None:
    bad = [c for c in checks if c.status is CheckStatus.FAILED and c.severity is Severity.FAIL]
    if not bad:
        return
    said = [f"{c.name}: {c.observed}, expected {c.expected}" for c in bad[:NAMED_FAILURES]]
    more = f" (and {len(bad) - NAMED_FAILURES} more)" if len(bad) > NAMED_FAILURES else ""
    failed = f"step {given.step.step_id}: {len(bad)} of {len(checks)} checks failed"
    raise StepError("data_quality", f"{failed}: {'; '.join(said)}{more}")

"""`bq_etl.query`: a SELECT whose result becomes a table of the tenant, or a part of one."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.jobs import QueryJob
from libs.warehouse.parameters import UnsupportedParameterError
from services.executor.steps.isolation import failed_job, unavailable
from services.executor.steps.step import (
    StepError,
    StepPlan,
    StepResult,
    StepRun,
    StepType,
)
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools
from services.executor.steps.variables import BoundSql, bind_sql


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source_query: str = Field(min_length=1, max_length=100_000)
    target_table: str = Field(min_length=3, max_length=1400)
    """With `$20260131` or `$${date}` behind it, only that partition is written."""
    write_disposition: Literal["WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY"] = "WRITE_TRUNCATE"
    partition_by: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,299}$")
    """A DATE or TIMESTAMP column by whose days the table is partitioned when it is made."""
    cluster_by: tuple[str, ...] = Field(default=(), max_length=4)


class BqEtlQuery(StepType):
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, given: StepRun) -> StepResult:
        sql, job = self._job(given)
        await self._tools.isolation.admit(sql, given.request)
        try:
            warehouse = self._tools.warehouse_of(given.request)
            done = await warehouse.run_query_job(job, given.tell_job)
        except JobFailedError as error:
            raise failed_job(error) from error
        except UnavailableError as error:
            raise unavailable(error) from error
        except UnsupportedParameterError as error:
            raise StepError("bad_parameter", str(error)) from error
        given.spent.add(done)
        return StepResult(done.rows)

    async def cancel(self, given: StepRun) -> None:
        await self._tools.warehouse_of(given.request).cancel_job(given.job_id)

    async def plan(self, given: StepRun) -> StepPlan:
        sql, job = self._job(given)
        judged = await self._tools.isolation.judge(sql, given.request)
        return StepPlan(
            sql=sql.text,
            reads=judged.reads,
            writes=(job.destination or "",),
            bytes=judged.bytes,
            price_usd=self._tools.price_of(judged.bytes),
        )

    def _job(self, given: StepRun) -> tuple[BoundSql, QueryJob]:
        request, config = given.request, given.config(Config)
        sql = bind_sql(config.source_query, request)
        return sql, QueryJob(
            job_id=given.job_id,
            sql=sql.text,
            parameters=sql.parameters,
            destination=target_of(config.target_table, request),
            write_disposition=config.write_disposition,
            partition_by=config.partition_by,
            cluster_by=config.cluster_by,
            default_dataset=request.datasets[0],
            max_bytes_billed=request.max_bytes_billed,
            labels=given.labels,
        )

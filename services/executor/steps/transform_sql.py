"""`transform.sql`: a model of the tenant, made anew or brought up to date.

An incremental model is staged first and then committed by one job, so that its
table is always as it was before or as it should be. A commit that was made is
found by its id; staging that a crash left behind expires.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.jobs import JobResult, QueryJob, WriteDisposition
from libs.warehouse.parameters import UnsupportedParameterError
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.checks import Column
from services.executor.steps.drift import say_drift
from services.executor.steps.isolation import failed_job, unavailable
from services.executor.steps.merge import days_of, doubled_keys, merge, quoted, replace_days
from services.executor.steps.step import (
    STAGING_HOURS,
    WHOLE,
    Span,
    StepError,
    StepPlan,
    StepResult,
    StepRun,
    StepType,
    StepUnknownError,
)
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools
from services.executor.steps.variables import BoundSql, bind_sql

MOST_DAYS = 4_000
SPANS = {
    "stage": Span(0.0, 0.6, "its rows are staged"),
    "look": Span(0.6, 0.7, "staged rows are looked at"),
    "commit": Span(0.7, 1.0, "staged rows are put in place"),
}


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sql: str = Field(min_length=1, max_length=100_000)
    incremental_sql: str = Field(default="", max_length=100_000)
    """Used instead of `sql` when the table is there, e.g. for only the newest rows."""
    target_table: str = Field(min_length=3, max_length=1400, pattern=r"^[^$]*(\$\{[^$]*)*$")
    materialized: Literal["table", "incremental"] = "table"
    strategy: Literal["merge", "replace_days", "append"] = "merge"
    unique_key: tuple[Column, ...] = Field(default=(), max_length=10)
    partition_by: Column | None = None
    cluster_by: tuple[Column, ...] = Field(default=(), max_length=4)

    @model_validator(mode="after")
    def _has_what_its_strategy_needs(self) -> Self:
        if self.materialized == "incremental":
            if self.strategy == "merge" and not self.unique_key:
                msg = "an incremental model that merges needs unique_key: the columns of its key"
                raise ValueError(msg)
            if self.strategy == "replace_days" and not self.partition_by:
                msg = "an incremental model that replaces days needs partition_by: a date column"
                raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is made in one run."""

    config: Config
    target: str
    sql: BoundSql
    exists: bool

    @property
    def staged(self) -> bool:
        incremental = self.config.materialized == "incremental"
        return incremental and self.exists and self.config.strategy != "append"


class TransformSql(StepType):
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, given: StepRun) -> StepResult:
        try:
            done = await self._of(given).adopt(given.job_id_of("commit"), given.tell_job)
            if done is None:
                done = await self._make(given)
            else:
                await self._count_earlier(given)
        except JobFailedError as error:
            if error.reason == "notFound" and given.staging_table in error.message:
                detail = f"{given.staging_table} went while it was used, maybe after its commit"
                raise StepUnknownError("staging_gone", detail) from error
            raise failed_job(error) from error
        except UnavailableError as error:
            raise unavailable(error) from error
        except UnsupportedParameterError as error:
            raise StepError("bad_parameter", str(error)) from error
        await self._drop_staging(given)
        given.spent.add(done)
        return StepResult(done.rows)

    async def cancel(self, given: StepRun) -> None:
        for part in ("stage", "look", "commit"):
            await self._of(given).cancel_job(given.job_id_of(part))

    async def plan(self, given: StepRun) -> StepPlan:
        model = await self._model(given)
        judged = await self._tools.isolation.judge(model.sql, given.request)
        how = model.config.strategy if model.staged else "made anew"
        return StepPlan(
            sql=model.sql.text,
            reads=judged.reads,
            writes=(model.target,),
            bytes=judged.bytes,
            price_usd=self._tools.price_of(judged.bytes),
            note=f"{model.target}: {how}",
        )

    def _of(self, given: StepRun) -> Warehouse:
        return self._tools.warehouse_of(given.request)

    async def _count_earlier(self, given: StepRun) -> None:
        """What went before the commit has its price too."""
        for part in ("stage", "look"):
            done = await self._of(given).adopt(given.job_id_of(part))
            if done is not None:
                given.spent.add(done)

    async def _model(self, given: StepRun) -> Model:
        config = given.config(Config)
        target = target_of(config.target_table, given.request)
        exists = False
        if config.materialized == "incremental":
            exists = await self._of(given).columns(target) is not None
        text = config.incremental_sql if exists and config.incremental_sql else config.sql
        return Model(config, target, bind_sql(text, given.request), exists)

    async def _make(self, given: StepRun) -> JobResult:
        model = await self._model(given)
        await self._tools.isolation.admit(model.sql, given.request)
        if model.staged:
            return await self._stage_and_commit(given, model)
        append = model.exists and model.config.strategy == "append"
        return await self._write(
            given,
            "commit",
            model.sql,
            model.target,
            "WRITE_APPEND" if append else "WRITE_TRUNCATE",
            model.config,
        )

    async def _stage_and_commit(self, given: StepRun, model: Model) -> JobResult:
        staging, config = given.staging_table, model.config
        await self._write(given, "stage", model.sql, staging, "WRITE_TRUNCATE")
        await self._of(given).expire(staging, hours=STAGING_HOURS)
        columns = await self._columns(given, model.target, staging)
        if config.strategy == "merge":
            await self._check_keys(given, staging, config.unique_key)
            statement = BoundSql(merge(model.target, staging, columns, config.unique_key))
        else:
            column = config.partition_by or ""
            days = await self._days(given, staging, column)
            if not days:
                # Nothing is staged, so nothing is replaced; an empty list cannot be bound.
                statement = BoundSql(f"SELECT * FROM {quoted(staging)}")  # noqa: S608  our own name
            else:
                text = replace_days(model.target, staging, columns, column)
                statement = BoundSql(text, {"days": days})
        return await self._write(given, "commit", statement)

    async def _columns(self, given: StepRun, target: str, staging: str) -> tuple[str, ...]:
        staged = [column.name for column in await self._of(given).columns(staging) or ()]
        there = {column.name.lower() for column in await self._of(given).columns(target) or ()}
        new = [name for name in staged if name.lower() not in there]
        if new:
            say_drift(given, self._tools, target, added=tuple(new), refused=True)
            detail = (
                f"{target} has no column {', '.join(new)}: add it to the table first, "
                "or make the model anew with materialized: table"
            )
            raise StepError("schema_changed", detail)
        return tuple(staged)

    async def _check_keys(self, given: StepRun, staging: str, keys: tuple[str, ...]) -> None:
        await self._write(given, "look", BoundSql(doubled_keys(staging, keys)))
        (row,) = await self._of(given).rows_of(given.job_id_of("look"), limit=1)
        for count, what in ((row["doubled"], "more than once"), (row["empty"], "without a value")):
            if count:
                detail = (
                    f"the model gives {count} keys ({', '.join(keys)}) {what}; each must be one row"
                )
                raise StepError("key_not_unique", detail)

    async def _days(self, given: StepRun, staging: str, column: str) -> list[object]:
        await self._write(given, "look", BoundSql(days_of(staging, column, MOST_DAYS)))
        rows = await self._of(given).rows_of(given.job_id_of("look"), limit=MOST_DAYS + 1)
        days = [row["day"] for row in rows]
        if None in days or len(days) > MOST_DAYS:
            detail = (
                f"{column} is null in some rows, or has more than {MOST_DAYS} days; "
                "every row needs a day, and fewer days can be replaced at once"
            )
            raise StepError("days_not_clear", detail)
        return days

    async def _write(  # noqa: PLR0913, PLR0917  what a job is made of
        self,
        given: StepRun,
        part: str,
        sql: BoundSql,
        destination: str | None = None,
        disposition: WriteDisposition = "WRITE_TRUNCATE",
        layout: Config | None = None,
    ) -> JobResult:
        request = given.request
        job = QueryJob(
            job_id=given.job_id_of(part),
            sql=sql.text,
            parameters=sql.parameters,
            destination=destination,
            write_disposition=disposition,
            partition_by=layout.partition_by if layout else None,
            cluster_by=layout.cluster_by if layout else (),
            default_dataset=request.datasets[0],
            max_bytes_billed=request.max_bytes_billed,
            labels=given.labels,
        )
        direct = part == "commit" and destination is not None
        tell = partial(given.tell_job, span=WHOLE if direct else SPANS[part])
        done = await self._of(given).run_query_job(job, tell)
        given.spent.add(done)
        return done

    async def _drop_staging(self, given: StepRun) -> None:
        """A failure to tidy up is not the step's: what is left expires."""
        try:
            await self._of(given).drop(given.staging_table)
        except UnavailableError:
            given.tell.progress(note="BigQuery does not answer; the staging table will expire")

"""`bq_etl.query`: a SELECT whose result becomes a table of the tenant."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.jobs import QueryJob
from libs.warehouse.parameters import UnsupportedParameterError
from services.executor.steps.guard import check_select
from services.executor.steps.step import (
    StepError,
    StepResult,
    StepRetryError,
    StepRun,
    StepType,
    StepUnknownError,
)
from services.executor.steps.tools import Tools
from services.executor.steps.variables import bind_sql, fill_name

_TARGET = re.compile(
    r"(?P<dataset>[A-Za-z_][A-Za-z0-9_]{0,1023})\.(?P<table>[A-Za-z0-9_]{1,300})"
    r"(?P<partition>\$[0-9]{4,10})?"
)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source_query: str = Field(min_length=1, max_length=100_000)
    target_table: str = Field(min_length=3, max_length=1400)
    write_disposition: Literal["WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY"] = "WRITE_TRUNCATE"


class BqEtlQuery(StepType):
    def __init__(self, tools: Tools) -> None:
        self._warehouse = tools.warehouse

    async def run(self, given: StepRun) -> StepResult:
        job = self._job(given)
        try:
            done = await self._warehouse.run_query_job(job)
        except JobFailedError as error:
            kind = StepRetryError if error.retryable else StepError
            raise kind(f"bigquery_{error.reason or 'error'}", error.message) from error
        except UnavailableError as error:
            raise StepUnknownError("bigquery_unavailable", str(error)) from error
        except UnsupportedParameterError as error:
            raise StepError("bad_parameter", str(error)) from error
        return StepResult(done.rows, done.bytes_billed, (done.job_id,))

    async def cancel(self, given: StepRun) -> None:
        await self._warehouse.cancel_job(given.job_id)

    def _job(self, given: StepRun) -> QueryJob:
        request, config = given.request, given.config(Config)
        bound = bind_sql(config.source_query, request)
        check_select(bound.text, self._warehouse.project, request.datasets)
        return QueryJob(
            job_id=given.job_id,
            sql=bound.text,
            parameters=bound.parameters,
            destination=_target(fill_name(config.target_table, request), request.datasets),
            write_disposition=config.write_disposition,
            default_dataset=request.datasets[0],
            max_bytes_billed=request.max_bytes_billed,
            labels=given.labels,
        )


def _target(name: str, datasets: tuple[str, ...]) -> str:
    match = _TARGET.fullmatch(name)
    if match is None:
        raise StepError("invalid_target", f"target_table {name!r} is not dataset.table")
    if match.group("dataset") not in datasets:
        allowed = ", ".join(datasets)
        raise StepError(
            "target_not_allowed",
            f"target_table {name}: dataset {match.group('dataset')} is not yours; "
            f"yours are {allowed}",
        )
    return name

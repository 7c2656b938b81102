"""Mends copy and extract jobs: in a worker thread, in one transaction with their record."""

from typing import Any

import duckdb
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import DomainError
from bqemulator.jobs import executor

from libs.local_cloud.bigquery_history import describe, error_result, record
from libs.local_cloud.bigquery_runs import Run
from libs.local_cloud.bigquery_sessions import forget_stop
from libs.local_cloud.bigquery_writes import exclusive


async def run_copy(run: Run, ctx: Any) -> JobMeta:
    return await _run(executor.execute_copy_job, run, ctx)


async def run_extract(run: Run, ctx: Any) -> JobMeta:
    return await _run(executor.execute_extract_job, run, ctx)


async def _run(execute: Any, run: Run, ctx: Any) -> JobMeta:
    try:
        with exclusive(ctx.engine.connection):
            meta = await execute(*run.key, run.configuration, ctx)
            return record(ctx, describe(run, meta.statistics))
    except (DomainError, duckdb.Error) as error:
        reason = forget_stop()
        if reason:
            return record(ctx, describe(run, {}, {"reason": "stopped", "message": reason}))
        return record(ctx, describe(run, {}, error_result(error)))

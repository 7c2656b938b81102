"""Mends dry runs: bqemulator runs the query to see its columns, and knows no bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from bqemulator.api.routes import jobs
from bqemulator.domain.errors import DomainError
from bqemulator.jobs import executor

from libs.local_cloud.bigquery_bytes import check_known, reads_of
from libs.local_cloud.bigquery_sessions import CURRENT, Fetch, open_session


async def columns_of(
    ctx: Any,
    project: str,
    sql: str,
    parameters: list[dict[str, Any]] | None = None,
    caller: Any = None,
) -> list[dict[str, Any]]:
    """The columns that a SELECT would give; raises what running it would."""
    job_id = f"described-{uuid4().hex}"
    with _asking_for_columns(ctx):
        try:
            await executor.execute_query_job(project, job_id, sql, parameters, ctx, caller=caller)
            found: list[dict[str, Any]] = executor.JOB_SCHEMAS[job_id]
        finally:
            executor.JOB_RESULTS.pop(job_id, None)
            executor.JOB_SCHEMAS.pop(job_id, None)
    return found


@contextmanager
def _asking_for_columns(ctx: Any) -> Iterator[None]:
    session = open_session(ctx.engine)
    session.fetch = Fetch.SCHEMA
    token = CURRENT.set(session)
    try:
        yield
    finally:
        CURRENT.reset(token)
        session.cursor.close()


async def dry_run(
    ctx: Any, project: str, configuration: dict[str, Any], caller: Any
) -> dict[str, Any]:
    """The statistics of a query that is checked and not run; it leaves no job behind."""
    query = configuration["query"]
    sql = jobs._apply_default_dataset(  # noqa: SLF001
        query.get("query", ""), query, request_project_id=project
    )
    kind = executor.classify_statement_type(sql)
    reads = reads_of(sql, project, ctx)
    check_known(reads, ctx)
    try:
        fields = await _preview(ctx, project, {**query, "query": sql}, kind, caller)
    except DomainError as error:
        jobs._rewrite_for_dry_run(error, bq_sql=sql)  # noqa: SLF001
        raise
    processed = str(sum(read.bytes for read in reads))
    return {
        "totalBytesProcessed": processed,
        "query": {
            "statementType": kind or "SCRIPT",
            "totalBytesProcessed": processed,
            "totalBytesBilled": "0",
            "cacheHit": False,
            "schema": {"fields": fields},
            "referencedTables": [_reference(read.table) for read in reads],
        },
    }


async def _preview(
    ctx: Any,
    project: str,
    query: dict[str, Any],
    kind: str,
    caller: Any,
) -> list[dict[str, Any]]:
    sql = query["query"]
    script = executor._parse_script_or_raise(sql)  # noqa: SLF001
    if len(script.statements) != 1:
        return []
    if kind in jobs._DESTRUCTIVE_STATEMENT_TYPES:  # noqa: SLF001
        fields: list[dict[str, Any]] = jobs._destructive_dry_run_schema(  # noqa: SLF001
            bq_sql=sql, statement_type=kind, project_id=project, ctx=ctx
        )
        return fields
    return await columns_of(ctx, project, sql, query.get("queryParameters"), caller)


def _reference(table: tuple[str, str, str]) -> dict[str, str]:
    project, dataset, name = table
    return {"projectId": project, "datasetId": dataset, "tableId": name}

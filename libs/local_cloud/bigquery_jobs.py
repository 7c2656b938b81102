"""Mends query jobs: one run per job id, destination tables, statistics, limits.

bqemulator accepts a job id twice, ignores destination tables, reports no bytes
and no labels, and knows no limit on bytes billed.
"""

import json
import re
from typing import Any

import sqlglot
from bqemulator.api.routes import jobs
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import ResourceRef, resource_already_exists
from bqemulator.jobs import executor
from bqemulator.storage.sql_identifiers import quoted_table_ref
from fastapi import Request
from sqlglot import exp

from libs.local_cloud.bigquery_mending import replace, replace_route
from libs.local_cloud.bigquery_tables import partition_predicate, register_table

_RUNNING: dict[tuple[str, str], dict[str, Any]] = {}
"""Jobs that have begun and not ended: (project, job id) → configuration."""
_LAYOUT = ("timePartitioning", "clustering")
LEAST_BILLED = 10 << 20  # BigQuery bills ten megabytes at least for each table read


def mend() -> None:
    replace_route(jobs.router, "insert_job", _insert_job)
    replace_route(jobs.router, "get_job", _get_job)
    replace_route(jobs.router, "get_query_results", _get_query_results)
    _run = jobs._execute_query_or_failed_meta  # noqa: SLF001

    async def run(**given: Any) -> JobMeta:
        return await _run_query(_run, **given)

    replace(jobs, "_execute_query_or_failed_meta", run)
    dry_run = jobs._build_dry_run_query_response  # noqa: SLF001

    async def dry(**given: Any) -> dict[str, Any]:
        return await _dry_run(dry_run, **given)

    replace(jobs, "_build_dry_run_query_response", dry)


_insert_original = jobs.insert_job


async def _insert_job(
    project_id: str,
    request: Request,
    ctx: jobs._Ctx,
    caller: jobs._Caller,
) -> dict[str, Any]:
    """An id that was used, or is being used, is refused: the caller adopts that job."""
    body = await request.json()
    job_id = body.get("jobReference", {}).get("jobId") or ""
    key = (project_id, job_id)
    if job_id and (key in _RUNNING or ctx.catalog.get_job(project_id, job_id) is not None):
        raise resource_already_exists(ResourceRef("job", project_id, resource_id=job_id))
    _RUNNING[key] = body.get("configuration", {})
    try:
        return await _insert_original(project_id, request, ctx, caller)
    finally:
        del _RUNNING[key]


_get_original = jobs.get_job


def _get_job(project_id: str, job_id: str, ctx: jobs._Ctx) -> dict[str, Any]:
    running = _RUNNING.get((project_id, job_id))
    if running is None:
        return _get_original(project_id, job_id, ctx)
    now = ctx.clock.now()
    meta = JobMeta(
        project_id=project_id,
        job_id=job_id,
        job_type="QUERY",
        state="RUNNING",
        configuration=running,
        creation_time=now,
        start_time=now,
        etag=generate_etag(project_id, job_id, str(now)),
    )
    return jobs._build_job_response(project_id, job_id, meta, running)  # noqa: SLF001


_results_original = jobs.get_query_results


def _get_query_results(  # noqa: PLR0913, PLR0917  the API's own parameters
    project_id: str,
    job_id: str,
    ctx: jobs._Ctx,
    maxResults: int = 10_000,  # noqa: N803
    startIndex: int = 0,  # noqa: N803
    pageToken: str | None = None,  # noqa: N803
) -> dict[str, Any]:
    """Results are gone after a restart; how many there were is still known."""
    known = ctx.catalog.get_job(project_id, job_id)
    if job_id in executor.JOB_RESULTS or known is None or maxResults:
        return _results_original(project_id, job_id, ctx, maxResults, startIndex, pageToken)
    query = known.statistics.get("query", {})
    return {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": {"projectId": project_id, "jobId": job_id},
        "jobComplete": True,
        "schema": {"fields": []},
        "rows": [],
        "totalRows": query.get("totalRows", "0"),
    }


async def _run_query(run: Any, **given: Any) -> JobMeta:
    """Check the limit, run the query, then write its result where it belongs."""
    config, ctx, project = given["query_config"], given["ctx"], given["project_id"]
    read = _bytes_read(given["bq_sql"], project, ctx)
    limit = int(config.get("maximumBytesBilled") or 0)
    if limit and max(read, LEAST_BILLED if read else 0) > limit:
        message = f"Query exceeded limit for bytes billed: {limit}. {read} or higher required."
        return _failed(given, "bytesBilledLimitExceeded", message)
    target = config.get("destinationTable")
    writes = bool(target) and executor.classify_statement_type(given["bq_sql"]) == "SELECT"
    inner = {k: v for k, v in config.items() if k != "destinationTable"} if writes else config
    meta: JobMeta = await run(**{**given, "query_config": inner})
    if writes and given["job_id"] in executor.JOB_RESULTS:
        meta = _write_result(meta, given, target, config)
    return _with_statistics(meta, given["config"], read)


def _write_result(
    meta: JobMeta, given: dict[str, Any], target: dict[str, str], config: dict[str, Any]
) -> JobMeta:
    ctx, project = given["ctx"], target.get("projectId") or given["project_id"]
    dataset, (table, _, part) = target["datasetId"], target["tableId"].partition("$")
    if ctx.catalog.get_dataset(project, dataset) is None:
        return _failed(given, "notFound", f"Not found: Dataset {project}:{dataset}")
    disposition = config.get("writeDisposition", "WRITE_EMPTY")
    known = ctx.catalog.get_table(project, dataset, table)
    path = quoted_table_ref(project, dataset, table)
    if known is not None and disposition == "WRITE_EMPTY" and _count(ctx, path):
        return _failed(given, "duplicate", f"Already Exists: Table {project}:{dataset}.{table}")
    connection = ctx.engine.connection
    connection.register("result", executor.JOB_RESULTS[given["job_id"]])
    connection.execute("begin")
    try:
        if known is None or (disposition == "WRITE_TRUNCATE" and not part):
            if known is not None:
                connection.execute(f"DROP TABLE {path}")
                ctx.catalog.delete_table(project, dataset, table)
            connection.execute(f"CREATE TABLE {path} AS SELECT * FROM result")  # noqa: S608
            layout: dict[str, Any] = {k: config[k] for k in _LAYOUT if k in config}
            register_table(ctx, project, dataset, table, layout)
        else:
            if disposition == "WRITE_TRUNCATE":
                where = partition_predicate(known, part)
                connection.execute(f"DELETE FROM {path} WHERE {where}")  # noqa: S608
            connection.execute(f"INSERT INTO {path} BY NAME SELECT * FROM result")  # noqa: S608
        connection.execute("commit")
    except Exception as error:  # noqa: BLE001  whatever it is, it is the job's error
        connection.execute("rollback")
        return _failed(given, "invalid", str(error))
    finally:
        connection.unregister("result")
    return meta


def _with_statistics(meta: JobMeta, config: dict[str, Any], read: int) -> JobMeta:
    billed = max(read, LEAST_BILLED) if read else 0
    statistics = json.loads(json.dumps(meta.statistics or {}))
    statistics["totalBytesProcessed"] = str(read)
    query = statistics.setdefault("query", {})
    query.update(totalBytesProcessed=str(read), totalBytesBilled=str(billed))
    configuration = {**(meta.configuration or {})}
    if config.get("labels"):
        configuration["labels"] = config["labels"]
    return meta.model_copy(update={"statistics": statistics, "configuration": configuration})


async def _dry_run(build: Any, **given: Any) -> dict[str, Any]:
    """Say which tables would be read, and how much of them."""
    response: dict[str, Any] = await build(**given)
    ctx, project, sql = given["ctx"], given["project_id"], given["bq_sql"]
    tables = referenced_tables(sql, project, ctx)
    read = str(sum(_size(ctx, *table) for table in tables))
    response["statistics"]["totalBytesProcessed"] = read
    response["statistics"]["query"]["totalBytesProcessed"] = read
    response["statistics"]["query"]["referencedTables"] = [
        {"projectId": p, "datasetId": d, "tableId": t} for p, d, t in tables
    ]
    response["configuration"]["dryRun"] = True
    return response


Table = tuple[str, str, str]


def referenced_tables(sql: str, project: str, ctx: Any, depth: int = 0) -> list[Table]:
    """The tables that a query reads, through its views, in order of appearance."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return []
    names = {cte.alias for cte in tree.find_all(exp.CTE)}
    found: dict[Table, None] = {}
    for node in tree.find_all(exp.Table):
        if not node.db or (node.name in names and not node.db):
            continue
        table = (node.catalog or project, node.db, node.name)
        known = ctx.catalog.get_table(*table)
        found[table] = None
        if known is not None and known.view_query and depth < 8:  # noqa: PLR2004  nesting limit
            for inner in referenced_tables(known.view_query, table[0], ctx, depth + 1):
                found[inner] = None
    return list(found)


def _bytes_read(sql: str, project: str, ctx: Any) -> int:
    if not re.search(r"\bfrom\b", sql, re.IGNORECASE):
        return 0
    return sum(_size(ctx, *table) for table in referenced_tables(sql, project, ctx))


def _size(ctx: Any, project: str, dataset: str, table: str) -> int:
    """Rows times a width by type; a size that grows as the real one does."""
    known = ctx.catalog.get_table(project, dataset, table)
    if known is None or known.view_query or known.schema_ is None:
        return 0
    width = sum(16 if str(f.type).upper() == "STRING" else 8 for f in known.schema_.fields)
    return width * _count(ctx, quoted_table_ref(project, dataset, table))


def _count(ctx: Any, path: str) -> int:
    row = ctx.engine.execute(f"SELECT count(*) FROM {path}").fetchone()  # noqa: S608  quoted above
    return int(row[0])


def _failed(given: dict[str, Any], reason: str, message: str) -> JobMeta:
    meta: JobMeta = jobs._failed_job_meta(  # noqa: SLF001
        project_id=given["project_id"],
        job_id=given["job_id"],
        job_type="QUERY",
        config=given["config"],
        error_result={"reason": reason, "message": message, "location": "query"},
        now=given["ctx"].clock.now(),
    )
    return meta

"""Mends query jobs: each in one transaction with its own record, as far as it can be.

bqemulator commits statement by statement, writes no destination tables, and
knows no limit on bytes billed. Here a single statement, its effect and the fact
that its job is done are committed together, so a crash leaves all or nothing.
"""

import re
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import duckdb
from bqemulator.api.routes import jobs
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import DomainError
from bqemulator.jobs import executor
from bqemulator.scripting.ast import SqlStmt

from libs.local_cloud.bigquery_bytes import Read, reads_of
from libs.local_cloud.bigquery_destinations import (
    Destination,
    destination_of,
    insert_spooled,
    prepare,
)
from libs.local_cloud.bigquery_gate import GATE
from libs.local_cloud.bigquery_history import describe, error_result, record
from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_progress import stages_done
from libs.local_cloud.bigquery_runs import Run
from libs.local_cloud.bigquery_sessions import (
    CURRENT,
    SPOOLED,
    Fetch,
    Session,
    TooLargeError,
    forget_stop,
)
from libs.local_cloud.bigquery_statements import has_where
from libs.local_cloud.bigquery_tables import unchanged_on_error
from libs.local_cloud.bigquery_writes import exclusive, transaction

ANONYMOUS_DATASET = "_bqemu_anonymous"
CHANGES = re.compile(
    r"\b(insert|update|delete|merge|create|drop|alter|truncate|call|execute|export)\b",
    re.IGNORECASE,
)
TRANSLATED = jobs._SQL_EXECUTION_DOMAIN_ERRORS  # noqa: SLF001  what a job ends with, not a request
NEED_WHERE = ("UPDATE", "DELETE")
COUNTED = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a query before it runs."""

    kind: str
    is_script: bool
    changes: bool
    reads: tuple[Read, ...]
    destination: Destination | None

    @property
    def processed(self) -> int:
        return sum(read.bytes for read in self.reads)

    @property
    def billed(self) -> int:
        return sum(read.billed for read in self.reads)


class NoWhereError(DomainError):
    http_status = 400
    bq_reason = "invalidQuery"

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} must have a WHERE clause")


class BytesBilledError(DomainError):
    http_status = 400
    bq_reason = "bytesBilledLimitExceeded"

    def __init__(self, limit: int, billed: int) -> None:
        super().__init__(
            f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required."
        )


def mend() -> None:
    """Bqemulator checks a request, then comes here to have the query run."""
    replace(jobs, "_execute_query_or_failed_meta", _execute)


async def run_query(run: Run, ctx: Any, caller: Any) -> JobMeta:
    """Run the query of a job in this worker thread; the job is recorded when this returns."""
    meta: Any = await jobs._handle_query_job(  # noqa: SLF001
        *run.key, {**run.configuration}, dry_run=False, ctx=ctx, caller=caller, now=run.created
    )
    return cast("JobMeta", meta)


async def _execute(**given: Any) -> JobMeta:
    session = CURRENT.get()
    if session is None or session.run is None:
        raise NoSessionError
    ctx, run = given["ctx"], session.run
    try:
        plan = _plan(given)
        run.reads = plan.reads
        if plan.processed:
            session.count_progress()
        return await _run_planned(plan, session, given)
    except BaseException as error:
        reason = forget_stop()
        if reason:
            return record(ctx, describe(run, {}, {"reason": "stopped", "message": reason}))
        if isinstance(error.__cause__, TooLargeError):
            error = error.__cause__
        if isinstance(error, (*TRANSLATED, BytesBilledError, NoWhereError)):
            return record(ctx, describe(run, {}, error_result(error)))
        raise


class NoSessionError(RuntimeError):
    def __init__(self) -> None:
        super().__init__("a query job runs in a worker thread, in a session of its own")


def _plan(given: dict[str, Any]) -> Plan:
    sql, config, ctx = given["bq_sql"], given["query_config"], given["ctx"]
    script = executor._parse_script_or_raise(sql)  # noqa: SLF001
    single = len(script.statements) == 1 and isinstance(script.statements[0], SqlStmt)
    kind = executor.classify_statement_type(sql) if single else "SCRIPT"
    if kind in NEED_WHERE and not has_where(sql):
        raise NoWhereError(kind)
    changes = bool(CHANGES.search(sql)) if kind == "SCRIPT" else kind != "SELECT"
    target = config.get("destinationTable")
    destination = (
        destination_of(config, given["project_id"], "WRITE_EMPTY")
        if target and kind == "SELECT" and target["datasetId"] != ANONYMOUS_DATASET
        else None
    )
    plan = Plan(kind, not single, changes, reads_of(sql, given["project_id"], ctx), destination)
    limit = int(config.get("maximumBytesBilled") or 0)
    if limit and plan.billed > limit:
        raise BytesBilledError(limit, plan.billed)
    return plan


async def _run_planned(plan: Plan, session: Session, given: dict[str, Any]) -> JobMeta:
    if plan.destination is not None:
        return await _run_into(plan.destination, plan, session, given)
    if plan.is_script:
        return await _run_script(plan, session, given)
    if not plan.changes:
        return await _run_single(plan, session, given)
    if plan.kind == "INSERT":
        try:
            with transaction(session.cursor):
                return await _run_single(plan, session, given)
        except duckdb.TransactionException:
            pass  # its table was altered meanwhile: once more, alone
    with exclusive(session.cursor):
        return await _run_single(plan, session, given)


async def _run_single(plan: Plan, session: Session, given: dict[str, Any]) -> JobMeta:
    return record(given["ctx"], _ended(plan, session, given, await _bqemulator(given)))


async def _run_script(plan: Plan, session: Session, given: dict[str, Any]) -> JobMeta:
    """A script commits as it goes. Should the process end, its record says it was begun."""
    ctx, run = given["ctx"], session.run
    with GATE.hold() if plan.changes else nullcontext():
        if plan.changes:
            record(ctx, describe(run, {}, state="RUNNING"))
        return record(ctx, _ended(plan, session, given, await _bqemulator(given)))


async def _run_into(
    wanted: Destination, plan: Plan, session: Session, given: dict[str, Any]
) -> JobMeta:
    """Rows go from DuckDB to DuckDB: there may be more than memory holds."""
    ctx, job_id = given["ctx"], given["job_id"]
    session.fetch = Fetch.SPOOLED
    meta = await _bqemulator(given)
    session.fetch = Fetch.ROWS
    executor.JOB_RESULTS.pop(job_id, None)
    fields = executor.JOB_SCHEMAS.pop(job_id)
    with unchanged_on_error(ctx, wanted.table), exclusive(session.cursor):
        prepare(ctx, wanted, fields)
        insert_spooled(ctx, wanted)
        rows = ctx.engine.execute(f"SELECT count(*) FROM {SPOOLED}").fetchone()[0]  # noqa: S608
        meta.statistics["query"]["totalRows"] = str(rows)
        return record(ctx, _ended(plan, session, given, meta))


async def _bqemulator(given: dict[str, Any]) -> JobMeta:
    meta: JobMeta = await executor.execute_query_job(
        given["project_id"],
        given["job_id"],
        given["bq_sql"],
        given["query_params"],
        given["ctx"],
        caller=given["caller"],
    )
    return meta


def _ended(plan: Plan, session: Session, given: dict[str, Any], meta: JobMeta) -> JobMeta:
    run: Run = session.run
    slot_ms = str(_slot_ms(run))
    query = {
        **meta.statistics.get("query", {}),
        "totalBytesProcessed": str(plan.processed),
        "totalBytesBilled": str(plan.billed),
        "totalSlotMs": slot_ms,
        "referencedTables": [_reference(read.table) for read in plan.reads],
        **stages_done(run, int(meta.statistics["query"].get("totalRows") or 0)),
    }
    affected = query.get("numDmlAffectedRows")
    if affected is not None and plan.kind in COUNTED:
        query["dmlStats"] = {COUNTED[plan.kind]: affected}
    statistics = {
        **meta.statistics,
        "query": query,
        "totalBytesProcessed": str(plan.processed),
        "totalSlotMs": slot_ms,
    }
    target = (meta.configuration.get("query") or {}).get("destinationTable")
    if target and not given["query_config"].get("destinationTable"):
        own = {**run.configuration["query"], "destinationTable": target}
        run.configuration = {**run.configuration, "query": own}
    return describe(run, statistics)


def _slot_ms(run: Run) -> int:
    """One worker is one slot, for as long as it works."""
    now = datetime.now(UTC)
    return max(1, round((now - (run.started or now)).total_seconds() * 1000))


def _reference(table: tuple[str, str, str]) -> dict[str, str]:
    project, dataset, name = table
    return {"projectId": project, "datasetId": dataset, "tableId": name}

"""Mends results: paged by rows and by bytes, and readable for as long as they exist.

bqemulator keeps results in memory only. A job that wrote a table is read from
that table, as in BigQuery, so its rows are still there after a restart.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import DomainError, ResourceRef, resource_not_found
from bqemulator.jobs import executor
from bqemulator.storage.arrow_bridge import arrow_table_to_bq_rows
from bqemulator.storage.sql_identifiers import quoted_table_ref

from libs.local_cloud.bigquery_bytes import count
from libs.local_cloud.bigquery_columns import fields_of
from libs.local_cloud.bigquery_tables import partition_predicate

MOST_ROWS = 50_000
PAGE_BYTES = 10 << 20
STATUS = {"notFound": 404, "duplicate": 409, "accessDenied": 403, "responseTooLarge": 403}


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a result are asked for."""

    start: int
    limit: int | None


class JobFailedError(DomainError):
    """A failed job, where its rows were asked for."""

    def __init__(self, meta: JobMeta) -> None:
        result = meta.error_result or {}
        super().__init__(result["message"], location=result.get("location"))
        # Class variables of bqemulator's; here they differ from job to job.
        vars(self)["bq_reason"] = result["reason"]
        vars(self)["http_status"] = STATUS.get(result["reason"], 400)


def page_of(ctx: Any, meta: JobMeta, page: Page) -> dict[str, Any]:
    """The part of a response that is about rows."""
    statistics = meta.statistics.get("query", {})
    fields, rows, total = _read(ctx, meta, page)
    answer: dict[str, Any] = {
        "jobReference": {"projectId": meta.project_id, "jobId": meta.job_id, "location": "US"},
        "jobComplete": True,
        "schema": {"fields": fields},
        "rows": rows,
        "totalRows": str(total),
        "totalBytesProcessed": statistics.get("totalBytesProcessed", "0"),
        "cacheHit": False,
    }
    for name in ("numDmlAffectedRows", "statementType", "ddlOperationPerformed", "dmlStats"):
        if statistics.get(name) is not None:
            answer[name] = statistics[name]
    if "sessionInfo" in meta.statistics:
        answer["sessionInfo"] = meta.statistics["sessionInfo"]
    if page.start + len(rows) < total:
        answer["pageToken"] = str(page.start + len(rows))
    return answer


Rows = tuple[list[dict[str, Any]], list[dict[str, Any]], int]
"""(columns, rows, how many there are in all)."""


def _read(ctx: Any, meta: JobMeta, page: Page) -> Rows:
    result = executor.JOB_RESULTS.get(meta.job_id)
    if result is not None:
        fields = executor.JOB_SCHEMAS.get(meta.job_id, [])
        return fields, _rest_rows(result, page), result.num_rows
    target = meta.configuration.get("query", {}).get("destinationTable")
    if meta.statistics.get("query", {}).get("statementType") != "SELECT":
        return [], [], 0
    if target is None or ctx.catalog.get_dataset(_owner(meta, target), target["datasetId"]) is None:
        raise resource_not_found(ResourceRef("job", meta.project_id, resource_id=meta.job_id))
    return _read_destination(ctx, _owner(meta, target), target, page)


def _owner(meta: JobMeta, target: dict[str, str]) -> str:
    return target.get("projectId") or meta.project_id


def _read_destination(ctx: Any, project: str, target: dict[str, str], page: Page) -> Rows:
    name, _, part = target["tableId"].partition("$")
    table = (project, target["datasetId"], name)
    known = ctx.catalog.get_table(*table)
    if known is None:
        raise resource_not_found(ResourceRef("table", *table))
    path, where = quoted_table_ref(*table), partition_predicate(known, part) if part else "true"
    limit = MOST_ROWS if page.limit is None else min(page.limit, MOST_ROWS)
    rows = ctx.engine.fetch_arrow(
        f"SELECT * FROM {path} WHERE {where} LIMIT {limit} OFFSET {page.start}"  # noqa: S608
    )
    return fields_of(known), _rest_rows(rows, Page(0, limit)), count(ctx, path, where)


def _rest_rows(table: pa.Table, page: Page) -> list[dict[str, Any]]:
    limit = MOST_ROWS if page.limit is None else min(page.limit, MOST_ROWS)
    if table.num_rows:
        limit = min(limit, max(1, PAGE_BYTES * table.num_rows // max(1, table.nbytes)))
    rows: list[dict[str, Any]] = arrow_table_to_bq_rows(table, page.start, limit)
    return rows

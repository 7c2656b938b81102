"""Query jobs under ids that we make, so that each happens once.

Starting a job whose id exists answers 409: the job is then ours from an
earlier try, and is adopted instead of being run again. A job that BigQuery does
not know raises Google's `NotFound`; a table that a job misses is that job's failure.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, ServerError
from google.cloud import bigquery

from libs.warehouse.errors import ROWS_GONE, JobFailedError
from libs.warehouse.migrate import RETRY, field_of
from libs.warehouse.parameters import query_parameters
from libs.warehouse.schema import Column

WriteDisposition = Literal["WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY"]
Job = TypeVar("Job", bigquery.QueryJob, bigquery.LoadJob)
LOAD_POLL = 0.05
LOG = logging.getLogger(__name__)
CALL_DEADLINE = 30.0
NO_RETRY: Any = None  # the client takes None to mean it, though its annotation does not


@dataclass(frozen=True, slots=True)
class QueryJob:
    """A query to run once under `job_id`."""

    job_id: str
    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    destination: str | None = None
    """`dataset.table`, or nothing for a temporary result."""
    write_disposition: WriteDisposition = "WRITE_TRUNCATE"
    partition_by: str | None = None
    """A column by whose days the destination is partitioned when it is made."""
    cluster_by: tuple[str, ...] = ()
    default_dataset: str | None = None
    max_bytes_billed: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadJob:
    """Files of Cloud Storage to load once under `job_id`."""

    job_id: str
    uris: tuple[str, ...]
    destination: str
    """`dataset.table`, or `dataset.table$20260131` for one day."""
    source_format: Literal["CSV", "NEWLINE_DELIMITED_JSON", "PARQUET"]
    write_disposition: WriteDisposition = "WRITE_APPEND"
    schema: tuple[Column, ...] = ()
    """Empty: as the table has it, or as the files say."""
    skip_leading_rows: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a query is that runs, as far as BigQuery says."""

    rows_read: int = 0
    bytes_read: int = 0
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a finished job did."""

    job_id: str
    rows: int
    bytes_processed: int
    bytes_billed: int
    adopted: bool
    started: datetime | None
    ended: datetime | None
    slot_ms: int = 0
    """Slot time that is paid for: loads take none."""
    labels: Mapping[str, str] = field(default_factory=dict)


def job_config(client: bigquery.Client, wanted: QueryJob) -> bigquery.QueryJobConfig:
    config = bigquery.QueryJobConfig(
        use_legacy_sql=False,
        query_parameters=query_parameters(wanted.parameters),
        labels=dict(wanted.labels),
    )
    if wanted.default_dataset:
        config.default_dataset = f"{client.project}.{wanted.default_dataset}"
    if wanted.max_bytes_billed:
        config.maximum_bytes_billed = wanted.max_bytes_billed
    if wanted.destination:
        config.destination = f"{client.project}.{wanted.destination}"
        config.write_disposition = wanted.write_disposition
        config.create_disposition = "CREATE_IF_NEEDED"
        if wanted.partition_by:
            config.time_partitioning = bigquery.TimePartitioning(field=wanted.partition_by)
        if wanted.cluster_by:
            config.clustering_fields = list(wanted.cluster_by)
    return config


def start(client: bigquery.Client, wanted: QueryJob) -> tuple[bigquery.QueryJob, bool]:
    """Start the job, or find it started: (job, whether it was adopted)."""
    try:
        job = client.query(
            wanted.sql,
            job_config=job_config(client, wanted),
            job_id=wanted.job_id,
            retry=NO_RETRY,
            job_retry=None,
            timeout=CALL_DEADLINE,
        )
    except Conflict:
        return _get(client, wanted.job_id, bigquery.QueryJob), True
    except ServerError:
        raise  # it may have begun: only under the same id is it found
    except GoogleAPICallError as error:
        raise failure(wanted.job_id, error) from error
    return job, False


def start_load(client: bigquery.Client, wanted: LoadJob) -> tuple[bigquery.LoadJob, bool]:
    """Start the load, or find it started: (job, whether it was adopted)."""
    config = bigquery.LoadJobConfig(
        source_format=wanted.source_format,
        write_disposition=wanted.write_disposition,
        labels=dict(wanted.labels),
    )
    if wanted.schema:
        config.schema = [field_of(column) for column in wanted.schema]
    elif wanted.source_format == "PARQUET":
        # Unless told, BigQuery makes NUMERIC of decimals, which has nine decimals.
        config.decimal_target_types = [bigquery.DecimalTargetType.BIGNUMERIC]
    if wanted.source_format == "CSV":
        config.skip_leading_rows = wanted.skip_leading_rows
    try:
        job = client.load_table_from_uri(
            list(wanted.uris),
            f"{client.project}.{wanted.destination}",
            job_config=config,
            job_id=wanted.job_id,
            retry=NO_RETRY,
            timeout=CALL_DEADLINE,
        )
    except Conflict:
        return _get(client, wanted.job_id, bigquery.LoadJob), True
    except ServerError:
        raise  # as above
    except GoogleAPICallError as error:
        raise failure(wanted.job_id, error) from error
    return job, False


def _loaded(job: bigquery.LoadJob, *, adopted: bool) -> JobResult:
    """Load jobs are free, so they bill no bytes."""
    return JobResult(
        job_id=job.job_id,
        rows=job.output_rows or 0,
        bytes_processed=job.input_file_bytes or 0,
        bytes_billed=0,
        adopted=adopted,
        started=job.started,
        ended=job.ended,
        labels=job.labels,
    )


def look(client: bigquery.Client, job: Job, seconds: float) -> Job:
    """The job as it is when it ends, or after some seconds; raises when it has failed.

    A query's end is waited for by BigQuery itself, so that it is known at once.
    """
    if job.state != "DONE":
        if isinstance(job, bigquery.QueryJob):
            _wait_for_results(client, job, seconds)
        else:
            time.sleep(min(seconds, LOAD_POLL))
        job = _get(client, job.job_id, type(job))
    _check(job)
    return job


def _check(job: bigquery.QueryJob | bigquery.LoadJob) -> None:
    if job.state == "DONE" and job.error_result:
        raise JobFailedError(
            job.job_id, job.error_result.get("reason", ""), job.error_result.get("message", "")
        )


def _wait_for_results(client: bigquery.Client, job: bigquery.QueryJob, seconds: float) -> None:
    try:
        client._get_query_results(  # noqa: SLF001  the public way keeps its thread to the end
            job.job_id,
            retry=NO_RETRY,
            timeout_ms=int(seconds * 1000),
            location=job.location,
            timeout=CALL_DEADLINE,
        )
    except GoogleAPICallError as error:
        if (error.code or 500) >= 500:  # noqa: PLR2004  HTTP
            raise
        LOG.debug("job %s: %s", job.job_id, error)  # the job itself says how it failed


def _get(client: bigquery.Client, job_id: str, kind: type[Job]) -> Job:
    job = client.get_job(job_id, retry=RETRY, timeout=CALL_DEADLINE)
    if not isinstance(job, kind):
        raise JobFailedError(job_id, "duplicate", "its id belongs to a job of another kind")
    return job


def progress_of(job: bigquery.QueryJob | bigquery.LoadJob) -> JobProgress:
    if isinstance(job, bigquery.LoadJob):
        return JobProgress()
    inputs = [stage for stage in job.query_plan if not stage.input_stages]
    return JobProgress(
        rows_read=sum(stage.records_read or 0 for stage in inputs),
        bytes_read=job.total_bytes_processed or 0,
        fraction=_fraction(job.timeline),
    )


def _fraction(timeline: Sequence[Any]) -> float | None:
    """Of the units of work that are known by now; more may come to be known."""
    if not timeline:
        return None
    last = timeline[-1]
    left = (last.pending_units or 0) + (last.active_units or 0)
    done = last.completed_units or 0
    return done / (done + left) if done + left else None


def result_of(job: bigquery.QueryJob | bigquery.LoadJob, *, adopted: bool) -> JobResult:
    if isinstance(job, bigquery.LoadJob):
        return _loaded(job, adopted=adopted)
    return JobResult(
        job_id=job.job_id,
        rows=_rows(job),
        bytes_processed=job.total_bytes_processed or 0,
        bytes_billed=job.total_bytes_billed or 0,
        adopted=adopted,
        started=job.started,
        ended=job.ended,
        slot_ms=job.slot_millis or 0,
        labels=job.labels,
    )


def find(client: bigquery.Client, job_id: str) -> bigquery.QueryJob:
    """Raises Google's `NotFound`."""
    return _get(client, job_id, bigquery.QueryJob)


def rows(client: bigquery.Client, job_id: str, limit: int) -> list[dict[str, Any]]:
    job = _get(client, job_id, bigquery.QueryJob)
    _check(job)
    try:
        found = job.result(max_results=limit, retry=RETRY, timeout=CALL_DEADLINE)
        return [dict(row.items()) for row in found]
    except NotFound as error:
        raise JobFailedError(job_id, ROWS_GONE, "what it gave is not kept any more") from error


def _rows(job: bigquery.QueryJob) -> int:
    """Rows the job changed, or else the rows it gave."""
    if job.num_dml_affected_rows is not None:
        return int(job.num_dml_affected_rows)
    if job.statement_type not in {None, "SELECT"}:
        return 0
    if _adds(job) and job.query_plan:
        return int(job.query_plan[-1].records_written or 0)
    try:
        results = job.result(max_results=0, retry=RETRY, timeout=CALL_DEADLINE)
    except NotFound:
        return 0  # the table that it wrote was dropped since
    return int(results.total_rows or 0)


def _adds(job: bigquery.QueryJob) -> bool:
    """To a table with rows of others, which BigQuery counts as if the job had given them."""
    partition = job.destination is not None and "$" in job.destination.table_id
    return partition or job.write_disposition == "WRITE_APPEND"


def routines_of(job: bigquery.QueryJob) -> tuple[str, ...]:
    """Google's client does not show these."""
    said = job.to_api_repr().get("statistics", {}).get("query", {}).get("referencedRoutines", ())
    return tuple(f"{one.get('datasetId', '')}.{one.get('routineId', '')}" for one in said)


def failure(job_id: str, error: GoogleAPICallError) -> JobFailedError:
    first = error.errors[0] if error.errors else {}
    fallback = "backendError" if (error.code or 500) >= 500 else "invalid"  # noqa: PLR2004  HTTP
    # The error's own message begins with what was called, and where.
    said = first.get("message") or error.message
    return JobFailedError(job_id, first.get("reason") or fallback, said)

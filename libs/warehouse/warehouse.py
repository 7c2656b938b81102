"""BigQuery as the services use it. Google's blocking client runs in a bounded pool."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import google.auth
import requests
from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    NotFound,
    RetryError,
    ServerError,
)
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError, TransportError
from google.cloud import bigquery
from requests.adapters import HTTPAdapter

from contracts.platform import ObjectAction
from libs.patience import if_waited_for
from libs.warehouse import jobs, migrate
from libs.warehouse.errors import UnavailableError
from libs.warehouse.jobs import NO_RETRY, JobProgress, JobResult, LoadJob, QueryJob
from libs.warehouse.parameters import query_parameters
from libs.warehouse.schema import Dataset, Found, Object, Table

if TYPE_CHECKING:
    from libs.warehouse.appender import Appender

T = TypeVar("T")
LOG = logging.getLogger(__name__)
DEADLINE = 30.0
LOOK_SECONDS = 1.0
STARTS = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
CLOUD = "https://www.googleapis.com/auth/cloud-platform"
BIGQUERY = "https://www.googleapis.com/auth/bigquery"
UNREACHABLE = (
    ServerError,
    RetryError,
    requests.RequestException,
    TransportError,
    RefreshError,  # an account that was made just now may not be let in at once
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class WarehouseSettings:
    """Where the warehouse is; endpoints only when it is not Google's."""

    project_id: str
    location: str = "US"
    endpoint: str = ""
    storage_endpoint: str = ""
    threads: int = 32
    account: str = ""
    """Whom to act as; empty means as the process itself."""


@dataclass(frozen=True, slots=True)
class ObjectResult:
    name: str
    action: ObjectAction


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a query would do."""

    bytes_processed: int
    referenced_tables: tuple[str, ...]
    statement: str = "SELECT"
    routines: tuple[str, ...] = ()
    """Functions and procedures of datasets."""


Row = Mapping[str, Any]
Tell = Callable[[JobProgress], None]


class Warehouse:
    """Datasets, tables, appends, queries and jobs. Safe to share between tasks."""

    def __init__(self, settings: WarehouseSettings, pool: ThreadPoolExecutor | None = None) -> None:
        self._settings = settings
        self._client = client_of(settings)
        self._pool = pool or ThreadPoolExecutor(settings.threads, thread_name_prefix="bigquery")
        self._appender: Appender | None = None

    @classmethod
    def connect(cls, settings: WarehouseSettings) -> Self:
        return cls(settings)

    def acting_as(self, account: str) -> "Warehouse":
        """The same warehouse as another account sees it; ends with this one."""
        return Warehouse(replace(self._settings, account=account), self._pool)

    @property
    def project(self) -> str:
        return self._settings.project_id

    async def ensure(self, *objects: Object) -> list[ObjectResult]:
        """Make the warehouse match what is declared, in the order given; repeatable."""
        results = []
        for wanted in objects:
            make = partial(migrate.ensure, self._client, wanted, self._settings.location)
            action = await self._run(f"ensuring {_name(wanted)}", make)
            results.append(ObjectResult(_name(wanted), action))
        return results

    async def append(self, table: Table, rows: Sequence[Row]) -> None:
        """Add rows; returns once BigQuery has confirmed every one of them."""
        if self._appender is None:
            from libs.warehouse.appender import Appender  # noqa: PLC0415  pyarrow, only where used

            self._appender = Appender(self.project, self._settings.storage_endpoint)
        await self._appender.append(table, rows)

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        max_bytes_billed: int | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Run a query of our own and return its rows, at most `limit` of them."""

        def call() -> list[dict[str, Any]]:
            config = bigquery.QueryJobConfig(
                query_parameters=query_parameters(parameters or {}), use_legacy_sql=False
            )
            if max_bytes_billed:
                config.maximum_bytes_billed = max_bytes_billed
            rows = self._client.query_and_wait(
                sql, job_config=config, retry=migrate.RETRY, api_timeout=DEADLINE, max_results=limit
            )
            return [dict(row.items()) for row in rows]

        return await self._run("a query", call)

    async def run_query_job(self, wanted: QueryJob, tell: Tell | None = None) -> JobResult:
        """Run a query once under its id, or adopt the job that already has that id.

        While it is long, `tell` hears now and then how far it is. Raises `JobFailedError`.
        Cancelling the caller leaves the job running: it can be adopted, or ended by `cancel_job`.
        """
        start = partial(jobs.start, self._client, wanted)
        return await self._run_job(wanted.job_id, start, tell)

    async def run_load_job(self, wanted: LoadJob) -> JobResult:
        """Load files once under an id, or adopt the job that already has that id.

        Raises `JobFailedError`; a load that fails has loaded nothing.
        """
        return await self._run_job(wanted.job_id, partial(jobs.start_load, self._client, wanted))

    async def _run_job(
        self, job_id: str, start: Callable[[], tuple[Any, bool]], tell: Tell | None = None
    ) -> JobResult:
        """A job that was accepted and is not known any more is begun anew under its id."""
        for _ in range(STARTS):
            try:
                return await self._follow(job_id, start, tell)
            except NotFound:
                LOG.warning("job %s was accepted and is not known any more", job_id)
        raise UnavailableError(f"job {job_id}", "it is accepted, and not known afterwards")

    async def _follow(
        self, job_id: str, start: Callable[[], tuple[Any, bool]], tell: Tell | None = None
    ) -> JobResult:
        """Start a job and see it to its end, without keeping a thread while it is long.

        Raises Google's `NotFound` when the job, which may have been known, is not.
        """

        def begin() -> tuple[Any, bool, JobResult | None]:
            job, adopted = start()
            return see(job, adopted)

        def see(job: Any, adopted: bool) -> tuple[Any, bool, JobResult | None]:  # noqa: FBT001  passed on
            job = jobs.look(self._client, job, LOOK_SECONDS)
            done = jobs.result_of(job, adopted=adopted) if job.state == "DONE" else None
            return job, adopted, done

        job, adopted, result = await self._run(f"job {job_id}", begin)
        pause = FIRST_PAUSE
        while result is None:
            if tell is not None:
                tell(jobs.progress_of(job))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            job, adopted, result = await self._run(f"job {job_id}", partial(see, job, adopted))
        return result

    async def adopt(self, job_id: str, tell: Tell | None = None) -> JobResult | None:
        """See a query job to its end if there is one of this id; raises `JobFailedError`."""

        def find() -> tuple[Any, bool]:
            return jobs.find(self._client, job_id), True

        try:
            return await self._follow(job_id, find, tell)
        except NotFound:
            return None

    async def columns(self, path: str) -> tuple[Found, ...] | None:
        """A table's columns; None when there is no such table."""

        def call() -> tuple[Found, ...] | None:
            try:
                table = self._client.get_table(
                    f"{self.project}.{path}", retry=migrate.RETRY, timeout=DEADLINE
                )
            except NotFound:
                return None
            return tuple(migrate.found_of(field) for field in table.schema)

        return await self._run(f"columns of {path}", call)

    async def expire(self, path: str, *, hours: float) -> None:
        """Have BigQuery delete a table by itself after some time; one that is gone is fine."""

        def call() -> None:
            table = bigquery.Table(f"{self.project}.{path}")
            table.expires = datetime.now(UTC) + timedelta(hours=hours)
            with suppress(NotFound):
                self._client.update_table(table, ["expires"], retry=migrate.RETRY, timeout=DEADLINE)

        await self._run(f"expiry of {path}", call)

    async def rows_of(self, job_id: str, *, limit: int) -> list[dict[str, Any]]:
        """The first rows that a query job which has ended gave; raises `JobFailedError`.

        Its reason is `ROWS_GONE` when they are not kept any more, and `UnavailableError` is
        raised when the job itself is not known: then it can be run again under its id.
        """

        def call() -> list[dict[str, Any]]:
            try:
                return jobs.rows(self._client, job_id, limit)
            except UNREACHABLE:
                raise
            except NotFound as error:
                reason = "the job is not known any more"
                raise UnavailableError(f"rows of {job_id}", reason) from error
            except GoogleAPICallError as error:
                raise jobs.failure(job_id, error) from error

        return await self._run(f"rows of {job_id}", call)

    async def cancel_job(self, job_id: str) -> None:
        def call() -> None:
            try:
                self._client.cancel_job(job_id, retry=migrate.RETRY, timeout=DEADLINE)
            except NotFound:
                return  # it never started, so there is nothing to cancel

        await self._run(f"cancelling {job_id}", call)

    async def dry_run(
        self,
        sql: str,
        *,
        default_dataset: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> DryRun:
        """Ask BigQuery what a query would read, without running it."""

        def call() -> DryRun:
            config = jobs.job_config(
                self._client,
                QueryJob("", sql, parameters or {}, default_dataset=default_dataset),
            )
            config.dry_run = True
            try:
                job = self._client.query(
                    sql, job_config=config, retry=migrate.RETRY, timeout=DEADLINE
                )
            except UNREACHABLE:
                raise
            except GoogleAPICallError as error:
                raise jobs.failure("dry run", error) from error
            return DryRun(
                job.total_bytes_processed or 0,
                tuple(f"{t.project}.{t.dataset_id}.{t.table_id}" for t in job.referenced_tables),
                job.statement_type or "",
                jobs.routines_of(job),
            )

        return await self._run("a dry run", call)

    async def drop_dataset(self, unwanted: Dataset, *, only_if_empty: bool = False) -> None:
        """Delete a dataset with all it holds; one that is gone already is fine.

        Raises `ForeignDatasetError` for an owned one that does not carry its labels.
        """
        call = partial(migrate.drop_dataset, self._client, unwanted, only_if_empty=only_if_empty)
        await self._run(f"dropping {unwanted.name}", call)

    async def drop(self, path: str) -> None:
        """Delete a table or view; one that is gone already is fine."""
        await self._run(
            f"dropping {path}",
            lambda: self._client.delete_table(
                f"{self.project}.{path}", not_found_ok=True, retry=migrate.RETRY, timeout=DEADLINE
            ),
        )

    async def tables(self, dataset: str) -> list[str]:
        """Names of the physical tables of a dataset; none when there is no such dataset."""
        return await self._listed(dataset, "TABLE")

    async def views(self, dataset: str) -> list[str]:
        return await self._listed(dataset, "VIEW")

    async def _listed(self, dataset: str, kind: str) -> list[str]:
        def call() -> list[str]:
            try:
                listed = self._client.list_tables(
                    f"{self.project}.{dataset}", retry=migrate.RETRY, timeout=DEADLINE
                )
                return [item.table_id for item in listed if item.table_type == kind]
            except NotFound:
                return []
            except Forbidden as error:  # a role that is granted takes a while to be known
                raise UnavailableError(f"listing {dataset}", str(error)) from error

        return await self._run(f"listing {dataset}", call)

    async def made_like(self, source: str, target: str) -> bool:
        """Make an empty table with the columns of another, and say which of the two is older.

        True when the source is: then it is what the target was made after. A target
        that is there already stays as it is.
        """
        call = partial(migrate.made_like, self._client, source, target)
        return await self._run(f"making {target}", call)

    async def check(self) -> None:
        """Raise `UnavailableError` unless BigQuery answers."""

        def call() -> None:
            list(self._client.list_datasets(max_results=1, timeout=3.0, retry=NO_RETRY))

        await self._run("a check", call)

    async def close(self) -> None:
        if self._appender is not None:
            await self._appender.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def _run(self, what: str, call: Callable[[], T]) -> T:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, if_waited_for(call))
        except UNREACHABLE as error:
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise UnavailableError(what, reason) from error


def _name(wanted: Object) -> str:
    return wanted.name if isinstance(wanted, Dataset) else wanted.path


def _acting_as(account: str) -> impersonated_credentials.Credentials:
    own, _ = google.auth.default(scopes=[CLOUD])
    return impersonated_credentials.Credentials(own, account, [BIGQUERY])


def client_of(settings: WarehouseSettings) -> bigquery.Client:
    if not settings.endpoint:
        credentials = _acting_as(settings.account) if settings.account else None
        client = bigquery.Client(
            settings.project_id, credentials=credentials, location=settings.location
        )
    else:
        client = bigquery.Client(
            settings.project_id,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": settings.endpoint},
            location=settings.location,
        )
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=settings.threads)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)  # noqa: SLF001  the client offers no pool size
    return client

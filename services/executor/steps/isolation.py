"""Both walls around tenant SQL, and what BigQuery makes of it.

The first is our own reading of the query. The second is BigQuery's: the tables that
its dry run says it would touch. In production a third stands behind them: the
account that runs a tenant's jobs can see nothing but that tenant's datasets.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256

from contracts.runs import RunRequestedV1
from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.parameters import UnsupportedParameterError
from libs.warehouse.warehouse import DryRun, Warehouse
from services.executor.steps.guard import check_select
from services.executor.steps.step import (
    StepError,
    StepFaultError,
    StepRetryError,
    StepUnknownError,
)
from services.executor.steps.variables import BoundSql

REMEMBERED = 2_000
TRUSTED_SECONDS = 600.0
BIG_SQL = 4_000
PLATFORM_VIEWS = ("x_meta_",)
PLATFORM_TABLES = ("tenant_comprehensive_view",)
MOST_TABLES = 50
"""BigQuery has told no more than these."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A query that may run, and what BigQuery expects of it."""

    reads: tuple[str, ...]
    bytes: int


class Isolation:
    """Safe to share between runs. Verdicts are trusted for ten minutes."""

    def __init__(self, warehouse_of: Callable[[RunRequestedV1], Warehouse]) -> None:
        self._warehouse_of = warehouse_of
        self._trusted: OrderedDict[bytes, float] = OrderedDict()
        self._views: OrderedDict[str, tuple[frozenset[str], float]] = OrderedDict()

    async def admit(self, sql: BoundSql, request: RunRequestedV1) -> None:
        """Raises `StepError` unless the query may run for this tenant."""
        key = sha256("\0".join((*request.datasets, sql.text)).encode()).digest()
        if self._trusted.get(key, 0.0) > time.monotonic():
            return
        await self.judge(sql, request)
        self._trusted[key] = time.monotonic() + TRUSTED_SECONDS
        self._trusted.move_to_end(key)
        if len(self._trusted) > REMEMBERED:
            self._trusted.popitem(last=False)

    async def judge(self, sql: BoundSql, request: RunRequestedV1) -> Judged:
        """Ask BigQuery anew, for its estimate too."""
        warehouse = self._warehouse_of(request)
        project, datasets = warehouse.project, request.datasets
        if len(sql.text) < BIG_SQL:
            named = check_select(sql.text, project, datasets)
        else:
            named = await asyncio.to_thread(check_select, sql.text, project, datasets)
        found = await self._dry_run(sql, request)
        _check_kind(found)
        shown = {f"{project}.{name}" for name in named if is_platforms(name)}
        under = [await self._under(view, request) for view in sorted(shown)]
        _check_touched(found.referenced_tables, project, datasets, shown.union(*under))
        return Judged(named, found.bytes_processed)

    async def _under(self, view: str, request: RunRequestedV1) -> frozenset[str]:
        """What a view of the platform reads, which a query that names it may touch."""
        known, until = self._views.get(view, (frozenset(), 0.0))
        if until < time.monotonic():
            sql = BoundSql(f"SELECT * FROM `{view}`")  # noqa: S608  a name that the guard has read
            known = frozenset((await self._dry_run(sql, request)).referenced_tables)
            self._views[view] = known, time.monotonic() + TRUSTED_SECONDS
            if len(self._views) > REMEMBERED:
                self._views.popitem(last=False)
        return known

    async def _dry_run(self, sql: BoundSql, request: RunRequestedV1) -> DryRun:
        try:
            return await self._warehouse_of(request).dry_run(
                sql.text, default_dataset=request.datasets[0], parameters=sql.parameters
            )
        except JobFailedError as error:
            raise failed_job(error) from error
        except UnavailableError as error:
            raise unavailable(error) from error
        except UnsupportedParameterError as error:
            raise StepError("bad_parameter", str(error)) from error


def failed_job(error: JobFailedError) -> StepError:
    code = f"bigquery_{error.reason or 'error'}"
    if error.is_fault:
        return StepFaultError(code, error.message)
    kind = StepRetryError if error.retryable else StepError
    return kind(code, error.message)


def unavailable(error: UnavailableError) -> StepUnknownError:
    detail = f"BigQuery is not available for {error.what}; nothing is lost, try again later"
    return StepUnknownError("bigquery_unavailable", detail)


def is_platforms(table: str) -> bool:
    """Whether a `dataset.table` of a tenant is a view that the platform made there."""
    name = table.partition(".")[2]
    return name.startswith(PLATFORM_VIEWS) or name in PLATFORM_TABLES


def _check_kind(found: DryRun) -> None:
    """What the list of tables would not show."""
    if found.statement != "SELECT":
        raise _refused(f"to BigQuery it is a {found.statement or 'script'}; only SELECT is allowed")
    if found.routines:
        raise _refused(f"BigQuery says that it calls {found.routines[0]}, a function of a dataset")
    if len(found.referenced_tables) >= MOST_TABLES:
        raise _refused(f"it reads {MOST_TABLES} tables or more; take it apart into steps")


def _check_touched(
    touched: Collection[str], project: str, datasets: Collection[str], under: Collection[str]
) -> None:
    for table in touched:
        owner, dataset, name = table.split(".", 2)
        if table not in under and (owner != project or dataset not in datasets):
            raise _refused(
                f"BigQuery says that it reads {dataset}.{name}, which is not yours; "
                f"yours are {', '.join(datasets)}"
            )


def _refused(reason: str) -> StepError:
    return StepError("sql_not_allowed", f"the query was refused: {reason}")

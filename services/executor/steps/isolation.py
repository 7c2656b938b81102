"""Both walls around tenant SQL, and what BigQuery makes of it.

The first is our own reading of the query. The second is BigQuery's: the tables that
its dry run says it would touch. In production a third stands behind them: the
account that runs a tenant's jobs can see nothing but that tenant's datasets.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from contracts.runs import RunRequestedV1
from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.parameters import UnsupportedParameterError
from libs.warehouse.warehouse import DryRun, Warehouse
from services.executor.steps.guard import check_select
from services.executor.steps.step import StepError, StepRetryError, StepUnknownError
from services.executor.steps.variables import BoundSql

REMEMBERED = 2_000
TRUSTED_SECONDS = 600.0
BIG_SQL = 4_000
PLATFORM_VIEWS = ("x_meta_",)
PLATFORM_TABLES = ("tenant_comprehensive_view",)
PLATFORM_DATASETS = frozenset({"tenants", "metadata"})


@dataclass(frozen=True, slots=True)
class Judged:
    """A query that may run, and what BigQuery expects of it."""

    reads: tuple[str, ...]
    bytes: int


class Isolation:
    """Safe to share between runs. Verdicts are trusted for ten minutes."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._trusted: OrderedDict[tuple[str, tuple[str, ...]], float] = OrderedDict()

    async def admit(self, sql: BoundSql, request: RunRequestedV1) -> None:
        """Raises `StepError` unless the query may run for this tenant."""
        key = (sql.text, request.datasets)
        if self._trusted.get(key, 0.0) > time.monotonic():
            return
        await self.judge(sql, request)
        self._trusted[key] = time.monotonic() + TRUSTED_SECONDS
        self._trusted.move_to_end(key)
        if len(self._trusted) > REMEMBERED:
            self._trusted.popitem(last=False)

    async def judge(self, sql: BoundSql, request: RunRequestedV1) -> Judged:
        """Ask BigQuery anew, for its estimate too."""
        project, datasets = self._warehouse.project, request.datasets
        if len(sql.text) < BIG_SQL:
            named = check_select(sql.text, project, datasets)
        else:
            named = await asyncio.to_thread(check_select, sql.text, project, datasets)
        found = await self._dry_run(sql, request)
        _check_touched(found.referenced_tables, project, datasets, named)
        return Judged(named, found.bytes_processed)

    async def _dry_run(self, sql: BoundSql, request: RunRequestedV1) -> DryRun:
        try:
            return await self._warehouse.dry_run(
                sql.text, default_dataset=request.datasets[0], parameters=sql.parameters
            )
        except JobFailedError as error:
            raise failed_job(error) from error
        except UnavailableError as error:
            raise StepUnknownError("bigquery_unavailable", str(error)) from error
        except UnsupportedParameterError as error:
            raise StepError("bad_parameter", str(error)) from error


def failed_job(error: JobFailedError) -> StepError:
    kind = StepRetryError if error.retryable else StepError
    return kind(f"bigquery_{error.reason or 'error'}", error.message)


def is_platforms(table: str) -> bool:
    """Whether a `dataset.table` of a tenant is a view that the platform made there."""
    name = table.partition(".")[2]
    return name.startswith(PLATFORM_VIEWS) or name in PLATFORM_TABLES


def _check_touched(
    touched: Collection[str], project: str, datasets: Collection[str], named: Collection[str]
) -> None:
    allowed = set(datasets)
    if any(map(is_platforms, named)):
        allowed |= PLATFORM_DATASETS  # these views look there, at this tenant's rows only
    for table in touched:
        owner, dataset, name = table.split(".", 2)
        if owner != project or dataset not in allowed:
            raise StepError(
                "sql_not_allowed",
                f"the query was refused: BigQuery says that it reads {dataset}.{name}, "
                f"which is not yours; yours are {', '.join(datasets)}",
            )

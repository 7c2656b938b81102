"""Record every message; answer what was recorded; make the tables for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from contracts.audit import (
    DeadLetterListV1,
    LineageListV1,
    ListDeadLettersV1,
    ListEventsV1,
    ListLineageV1,
    ListRunCostsV1,
    ListUsageV1,
    RunCostListV1,
    UsageListV1,
)
from contracts.message import Message
from contracts.platform import (
    BootstrapPlatformV1,
    CommandRefusedV1,
    ObjectPart,
    PlatformBootstrappedV1,
)
from contracts.quality import ListQualityV1, QualityListV1
from contracts.runs import GetRunV1, ListRunsV1, RunListV1, RunRequestedV1, RunV1
from contracts.steps import ListStepsV1, StepListV1
from libs.bus.errors import PermanentError, RetryableError
from libs.bus.message import Context
from libs.bus.retrying import Backoff
from libs.bus.router import Delivery, Router
from libs.bus.sink import BatchBounds, Sink
from libs.clock import Clock
from libs.warehouse.errors import (
    RowRejectedError,
    SchemaConflictError,
    UnavailableError,
    WarehouseError,
)
from libs.warehouse.warehouse import Warehouse
from services.audit_log import tables
from services.audit_log.bootstrap import Bootstrap
from services.audit_log.chain import Chains
from services.audit_log.domain import rows_of
from services.audit_log.lineage import lineage_of, lineage_rows
from services.audit_log.measures import Measures
from services.audit_log.store import Records

LOG = logging.getLogger(__name__)
DATASET_NAMES = tuple(dataset.name for dataset in tables.DATASETS)


class NotBootstrappedError(RetryableError):
    def __init__(self) -> None:
        super().__init__("tables of the tenants dataset: call POST /api/v1/admin/bootstrap", 1.0)


class UnrecordableError(PermanentError):
    """A message that BigQuery will never take."""


@dataclass(frozen=True, slots=True)
class Given:
    """What may differ between processes."""

    writer: str = field(default_factory=lambda: uuid4().hex)
    """Unique among all processes, ever: a hash chain belongs to one."""
    price_per_tib: Decimal = Decimal("6.25")


class Handlers:
    """audit_log's handlers, over one warehouse."""

    def __init__(self, warehouse: Warehouse, clock: Clock, given: Given | None = None) -> None:
        self._warehouse = warehouse
        self._records = Records(warehouse, clock)
        self._clock = clock
        self._given = given or Given()
        self.measures = Measures(clock)
        self._bootstrap = Bootstrap(warehouse, clock)
        self._chains = Chains(self._given.writer)
        self._lineage = Sink(self._append_lineage, BatchBounds(), _size_of_rows)
        self._writing = asyncio.Lock()
        self._bootstrapped = False
        self._recorded_at = datetime.min.replace(tzinfo=UTC)

    def register(self, router: Router) -> None:
        router.record_all(self.record)
        router.on(BootstrapPlatformV1)(self.on_bootstrap)
        router.on(GetRunV1)(self.on_get_run)
        router.on(ListRunsV1)(self.on_list_runs)
        router.on(ListStepsV1)(self.on_list_steps)
        router.on(ListEventsV1)(self.on_list_events)
        router.on(ListQualityV1)(self.on_list_quality)
        router.on(RunRequestedV1)(self.on_run_requested)
        router.on(ListLineageV1)(self.on_list_lineage)
        router.on(ListUsageV1)(self.on_list_usage)
        router.on(ListRunCostsV1)(self.on_list_run_costs)
        router.on(ListDeadLettersV1)(self.on_list_dead_letters)

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """Append a batch; returns when BigQuery has confirmed every row.

        Waits as long as it takes for the tables and for BigQuery: nothing that
        was published may be lost because the warehouse was away. Raises
        `UnrecordableError` when a message can never be a row.
        """
        with self.measures.batch(deliveries):
            await self._record(deliveries)

    async def _record(self, deliveries: Sequence[Delivery]) -> None:
        await self._until_possible(self.check_bootstrapped)
        rows = self._rows(deliveries)
        async with self._writing:
            self._chains.link(rows["event_log"])
            try:
                await self._until_possible(lambda: self._append(rows))
            except BaseException:
                self._chains.end()
                raise

    def _rows(self, deliveries: Sequence[Delivery]) -> dict[str, list[dict[str, Any]]]:
        pairs = [(d.envelope, d.message, d.received.data) for d in deliveries]
        try:
            return rows_of(pairs, self._now(), self._given.price_per_tib)
        except (ArithmeticError, ValueError) as error:
            raise UnrecordableError(f"no row can be made of it: {type(error).__name__}") from None

    def _now(self) -> datetime:
        """Never earlier than before, so that a chain's rows until any moment are its beginning."""
        self._recorded_at = max(self._recorded_at, self._clock())
        return self._recorded_at

    async def _append(self, rows: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
        """Append to all tables; what one of them refuses does not keep the others from ending."""
        ended = await asyncio.gather(
            *(
                self._warehouse.append(tables.LOGS[name], batch)
                for name, batch in rows.items()
                if batch
            ),
            return_exceptions=True,
        )
        failures = [end for end in ended if isinstance(end, BaseException)]
        for failure in failures:
            if isinstance(failure, RowRejectedError):
                raise UnrecordableError(str(failure)) from failure
        if failures:
            raise failures[0]

    async def _until_possible(self, work: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff()
        while True:
            try:
                await work()
            except (NotBootstrappedError, UnavailableError) as error:
                LOG.warning("recording waits: %s", error)
                await backoff.pause()
            else:
                return

    async def check_bootstrapped(self) -> None:
        """Raises `NotBootstrappedError` until the tables are there; then free."""
        if self._bootstrapped:
            return
        wanted = {table.name for table in tables.TABLES if table.dataset == "tenants"}
        if not wanted <= set(await self._warehouse.tables("tenants")):
            raise NotBootstrappedError
        self._bootstrapped = True

    async def on_bootstrap(
        self, command: BootstrapPlatformV1, context: Context
    ) -> Sequence[Message]:
        forced = command.force_recreate_dataset or command.force_recreate_tables
        if forced and command.confirm not in DATASET_NAMES:
            return [_unconfirmed()]
        try:
            done = await (self._recreate(command, context) if forced else self._bootstrap.ensure())
        except SchemaConflictError as error:
            return [CommandRefusedV1(code="schema_conflict", detail=str(error))]
        except UnavailableError:
            raise
        except WarehouseError as error:
            raise RetryableError(str(error), delay=0.5) from error
        self._bootstrapped = True
        return [PlatformBootstrappedV1(schema_version=tables.SCHEMA_VERSION, objects=tuple(done))]

    async def _recreate(self, command: BootstrapPlatformV1, context: Context) -> list[ObjectPart]:
        """Nothing is appended here meanwhile; what follows begins chains of its own."""
        async with self._writing:
            self._chains.end()
            return await self._bootstrap.recreate(
                command.confirm, whole=command.force_recreate_dataset, cause=context.envelope
            )

    async def on_get_run(self, query: GetRunV1, _: Context) -> Sequence[Message]:
        run = await self._records.run(query)
        return [RunV1(tenant_id=query.tenant_id, run=run)]

    async def on_list_runs(self, query: ListRunsV1, _: Context) -> Sequence[Message]:
        runs, after = await self._records.runs(query)
        return [RunListV1(tenant_id=query.tenant_id, runs=runs, next_after=after)]

    async def on_list_steps(self, query: ListStepsV1, _: Context) -> Sequence[Message]:
        steps = await self._records.steps(query)
        return [StepListV1(tenant_id=query.tenant_id, run_id=query.run_id, steps=steps)]

    async def on_list_events(self, query: ListEventsV1, _: Context) -> Sequence[Message]:
        return [await self._records.events(query)]

    async def on_list_quality(self, query: ListQualityV1, _: Context) -> Sequence[Message]:
        checks, after = await self._records.quality(query)
        return [QualityListV1(tenant_id=query.tenant_id, checks=checks, next_after=after)]

    async def on_run_requested(self, event: RunRequestedV1, context: Context) -> None:
        """Note what the run will read and write, as its definition tells."""
        found = await asyncio.to_thread(lambda: tuple(lineage_of(event)))
        rows = lineage_rows(context.envelope, event, found, self._clock())
        if rows:
            await self._lineage.put(rows)

    async def _append_lineage(self, found: Sequence[Sequence[Mapping[str, object]]]) -> None:
        """Of many runs at once."""
        rows = [row for some in found for row in some]
        await self._until_possible(self.check_bootstrapped)
        async with self._writing:
            await self._until_possible(lambda: self._append({tables.LINEAGE_LOG.name: rows}))

    async def on_list_lineage(self, query: ListLineageV1, _: Context) -> Sequence[Message]:
        events, after = await self._records.lineage(query)
        return [LineageListV1(tenant_id=query.tenant_id, events=events, next_after=after)]

    async def on_list_usage(self, query: ListUsageV1, _: Context) -> Sequence[Message]:
        days, after = await self._records.usage(query)
        return [UsageListV1(tenant_id=query.tenant_id, days=days, next_after=after)]

    async def on_list_run_costs(self, query: ListRunCostsV1, _: Context) -> Sequence[Message]:
        costs, after = await self._records.costs(query)
        return [RunCostListV1(tenant_id=query.tenant_id, costs=costs, next_after=after)]

    async def on_list_dead_letters(self, query: ListDeadLettersV1, _: Context) -> Sequence[Message]:
        letters, after = await self._records.dead_letters(query)
        return [DeadLetterListV1(letters=letters, next_after=after)]


def _unconfirmed() -> CommandRefusedV1:
    names = " or ".join(f'"{name}"' for name in DATASET_NAMES)
    detail = (
        f"recreating empties a dataset: repeat with confirm: {names}, the one it is to be; "
        "each of its tables is copied to a snapshot first"
    )
    return CommandRefusedV1(code="confirmation_required", detail=detail)


def _size_of_rows(rows: Sequence[Mapping[str, object]]) -> int:
    """What can be large of lineage."""
    return sum(len(str(row["inputs"])) + len(str(row["columns"])) for row in rows)

"""Making the system datasets as declared, and making them anew when that is confirmed."""

from collections.abc import Collection

from contracts.envelope import Envelope
from contracts.platform import ObjectAction, ObjectPart
from libs.clock import Clock
from libs.warehouse.jobs import QueryJob
from libs.warehouse.schema import Dataset
from libs.warehouse.snapshots import LABELS, snapshot_name
from libs.warehouse.warehouse import Warehouse
from services.audit_log import tables


class Bootstrap:
    """What it returns says of each object what was done to it."""

    def __init__(self, warehouse: Warehouse, clock: Clock) -> None:
        self._warehouse = warehouse
        self._clock = clock

    async def ensure(self, dropped: Collection[str] = ()) -> list[ObjectPart]:
        """Create what is missing, add what is new; raises `WarehouseError`."""
        results = await self._warehouse.ensure(*tables.OBJECTS)
        done = [
            ObjectPart(
                name=result.name,
                action=ObjectAction.RECREATED if result.name in dropped else result.action,
            )
            for result in results
        ]
        await self._record_version()
        return done

    async def _record_version(self) -> None:
        """Whether or not anything was made just now: a crash may have come in between."""
        path = f"{self._warehouse.project}.{tables.SCHEMA_VERSIONS.path}"
        sql = f"SELECT version FROM `{path}` ORDER BY applied_at DESC LIMIT 1"  # noqa: S608  our own name
        recorded = [row["version"] for row in await self._warehouse.query(sql)]
        if recorded != [tables.SCHEMA_VERSION]:
            row = {"version": tables.SCHEMA_VERSION, "applied_at": self._clock()}
            await self._warehouse.append(tables.SCHEMA_VERSIONS, [row])

    async def recreate(self, dataset: str, *, whole: bool, cause: Envelope) -> list[ObjectPart]:
        """Copy every table to a snapshot, drop it, and make it anew; raises `WarehouseError`.

        `whole` takes along what is not declared, and the views. The dataset itself
        stays, because it holds who may read it. The same command goes on where a
        crash has cut it off, and drops nothing that was made since.
        """
        snapshot = snapshot_name(dataset, cause.time)
        await self._warehouse.ensure(
            Dataset(snapshot, f"Before it was made anew: {dataset}", LABELS)
        )
        copies, dropped = [], set[str]()
        for name in await self._tables(dataset, whole=whole):
            if await self._set_aside(dataset, name, snapshot, cause.id):
                copies.append(ObjectPart(name=f"{snapshot}.{name}", action=ObjectAction.SNAPSHOT))
                dropped.add(f"{dataset}.{name}")
        if whole:
            dropped |= {dataset, *await self._drop_views(dataset)}
        return [*copies, *await self.ensure(dropped)]

    async def _tables(self, dataset: str, *, whole: bool) -> list[str]:
        present = await self._warehouse.tables(dataset)
        declared = {table.name for table in tables.TABLES if table.dataset == dataset}
        return sorted(name for name in present if whole or name in declared)

    async def _set_aside(self, dataset: str, name: str, snapshot: str, cause: str) -> bool:
        """Copy a table and drop it, unless it is younger than its copy: then that was done."""
        source, copy = f"{dataset}.{name}", f"{snapshot}.{name}"
        if not await self._warehouse.made_like(source, copy):
            return False
        project = self._warehouse.project
        # A query, because a copy job may leave out what was written in the last minutes.
        sql = f"INSERT INTO `{project}.{copy}` SELECT * FROM `{project}.{source}`"  # noqa: S608  listed names
        await self._warehouse.run_query_job(QueryJob(f"snapshot_{cause}_{name}", sql))
        await self._warehouse.drop(source)
        return True

    async def _drop_views(self, dataset: str) -> list[str]:
        paths = [f"{dataset}.{name}" for name in await self._warehouse.views(dataset)]
        for path in paths:
            await self._warehouse.drop(path)
        return paths

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import emulator
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.audit_log.tables import OBJECTS
from tests.tenant.desk import Desk

PROJECT = "project-one"
BUCKETS = count(1)


@pytest.fixture(scope="session")
def endpoints() -> Iterator[tuple[dict[str, int], dict[str, int]]]:
    with emulator("bigquery") as bigquery, emulator("storage") as storage:
        yield bigquery.ports, storage.ports


@pytest.fixture
async def warehouse(
    endpoints: tuple[dict[str, int], dict[str, int]],
) -> AsyncIterator[Warehouse]:
    ports, _ = endpoints
    found = Warehouse.connect(
        WarehouseSettings(
            PROJECT,
            endpoint=f"http://127.0.0.1:{ports['rest']}",
            storage_endpoint=f"127.0.0.1:{ports['grpc']}",
        )
    )
    await found.ensure(*OBJECTS)
    yield found
    await found.close()


@pytest.fixture
async def bucket(endpoints: tuple[dict[str, int], dict[str, int]]) -> AsyncIterator[Bucket]:
    _, ports = endpoints
    settings = BucketSettings(
        PROJECT, f"bucket-{next(BUCKETS)}", f"http://127.0.0.1:{ports['http']}"
    )
    found = Bucket(settings)
    await found.ensure()
    yield found
    await found.close()


@pytest.fixture
def desk(warehouse: Warehouse, bucket: Bucket) -> Desk:
    return Desk(warehouse, bucket)

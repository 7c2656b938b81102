"""Steps against the BigQuery and Cloud Storage emulators, without a run around them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.clock import system_clock
from libs.objects import Objects
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import EmulatorProcess, emulator
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.executor.steps.tools import Tools
from tests.executor.stage import PROJECT, TENANT, NoCredentials


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with emulator(
        "bigquery", state_dir=tmp_path_factory.mktemp("bigquery"), control=True
    ) as running:
        yield running


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with emulator("storage", state_dir=tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture
async def warehouse(bigquery: EmulatorProcess) -> AsyncIterator[Warehouse]:
    found = Warehouse.connect(
        WarehouseSettings(PROJECT, endpoint=f"http://127.0.0.1:{bigquery.ports['rest']}")
    )
    await found.ensure(Dataset(TENANT, "", {}), Dataset("other", "", {}))
    yield found
    for name in (TENANT, "other"):
        await found.drop_dataset(Dataset(name))
    await found.close()


@pytest.fixture
async def bucket(storage: EmulatorProcess, tmp_path: Path) -> AsyncIterator[Bucket]:
    found = Bucket(
        BucketSettings(PROJECT, "ledger", f"http://127.0.0.1:{storage.ports['http']}", at_once=4)
    )
    await found.ensure()
    yield found
    await found.close()


@pytest.fixture
async def data(storage: EmulatorProcess) -> AsyncIterator[Objects]:
    found = Objects(
        BucketSettings(PROJECT, "data", f"http://127.0.0.1:{storage.ports['http']}", at_once=4)
    )
    await found.ensure()
    yield found
    found.close()


@pytest.fixture
async def tools(warehouse: Warehouse, bucket: Bucket, data: Objects) -> AsyncIterator[Tools]:
    outgoing = Outgoing(OutgoingRules.of(development=True))
    yield Tools(
        warehouse=warehouse,
        files=bucket,
        data=data,
        credentials=NoCredentials(),
        outgoing=outgoing,
        clock=system_clock,
        development=True,
    )
    await outgoing.close()

from collections.abc import AsyncIterator, Iterator

import pytest

from libs.clock import system_clock
from libs.testing.processes import EmulatorProcess, emulator
from services.audit_log.handlers import Handlers
from tests.audit_log.recorder import Recorder, connect


@pytest.fixture(scope="session")
def bigquery() -> Iterator[EmulatorProcess]:
    with emulator("bigquery") as found:
        yield found


@pytest.fixture
async def recorder(bigquery: EmulatorProcess) -> AsyncIterator[Recorder]:
    """Tests keep apart by their tenants' names."""
    warehouse = connect(bigquery.ports)
    found = Recorder(warehouse, Handlers(warehouse, system_clock))
    await found.bootstrap()
    yield found
    await warehouse.close()

"""Both brokers, for tests that must hold on either."""

from collections.abc import AsyncIterator, Iterator

import pytest

from libs.testing.processes import EmulatorProcess, emulator
from tests.libs.bus.brokers import Broker, MemoryBroker, PubSubBroker


@pytest.fixture(scope="module")
def pubsub() -> Iterator[EmulatorProcess]:
    with emulator("pubsub") as running:
        yield running


@pytest.fixture(params=["memory", "pubsub"])
async def broker(request: pytest.FixtureRequest, pubsub: EmulatorProcess) -> AsyncIterator[Broker]:
    found: Broker = (
        MemoryBroker() if request.param == "memory" else PubSubBroker(pubsub.ports["grpc"])
    )
    yield found
    await found.transport.close()

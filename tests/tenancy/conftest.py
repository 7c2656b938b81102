"""One platform for all of tenancy: two of every service, as in production."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.stack import Stack, StackError
from tests.tenancy.traces import TraceSink


@pytest.fixture(scope="session")
def traces() -> Iterator[TraceSink]:
    with TraceSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, traces: TraceSink) -> Iterator[Stack]:
    settings = {
        "INSTANCES": "2",
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        "LOG_LEVEL": "DEBUG",
        "MAX_DELIVERIES": "2",
    }
    for _ in range(5):  # the second gateway takes the next port, which may be somebody's
        found = Stack(tmp_path_factory.mktemp("tenancy"), settings)
        try:
            found.start()
        except StackError as error:
            if "in use" not in str(error):
                raise
            continue
        yield found
        assert found.stop() == 0
        return
    pytest.fail("no two free ports beside each other")


@pytest.fixture(scope="session")
def second(stack: Stack) -> Stack:
    """The same platform through its second gateway."""
    return replace(stack, port=stack.port + 1)

"""One platform for all of tenancy, with a second gateway beside the first."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.stack import ADMIN_KEY, ROOT, Stack, eventually, free_port
from tests.tenancy.providers import ProviderStandIn
from tests.tenancy.traces import TraceSink


@pytest.fixture(scope="session")
def traces() -> Iterator[TraceSink]:
    with TraceSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def providers() -> Iterator[ProviderStandIn]:
    with ProviderStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, traces: TraceSink, providers: ProviderStandIn
) -> Iterator[Stack]:
    settings = {
        "PROVIDERS_AT": providers.url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        "LOG_LEVEL": "DEBUG",
        "MAX_FAILURES": "2",
    }
    found = Stack(tmp_path_factory.mktemp("tenancy"), settings).start()
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="session")
def second(stack: Stack) -> Iterator[Stack]:
    """The same platform through another gateway."""
    ports, port = stack.ports(), free_port()
    environment = {
        "PORT": str(port),
        "ADMIN_API_KEY": ADMIN_KEY,
        "SECRETS_DIR": str(stack.state_dir / "secrets"),
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{ports['pubsub']['grpc']}",
        "KMS_ENDPOINT": f"127.0.0.1:{ports['kms']['grpc']}",
        "RATE_LIMIT_ADDRESS": "0",
        "RATE_LIMIT_TENANT": "0",
        "QUESTION_TIMEOUT_SECONDS": "20",
    }
    log = stack.state_dir / "logs" / "second-gateway.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=said,
        )
        other = replace(stack, port=port)
        try:
            eventually(lambda: _is_ready(other))
            yield other
        finally:
            process.terminate()
            assert process.wait(60) == 0


def _is_ready(gateway: Stack) -> None:
    assert gateway.call("GET", "/readyz").status == 200

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.compose import Composed, without_docker

SETTINGS = {"LEASE_SECONDS": "6", "TICK_SECONDS": "1", "MAX_ATTEMPTS": "50"}


@pytest.fixture(scope="session")
def composed() -> Iterator[Composed]:
    missing = without_docker()
    if missing:
        pytest.fail(missing)
    stack = Composed(settings=SETTINGS)
    stack.down()
    stack.up()
    yield stack
    if report := os.environ.get("CONTAINERS_REPORT"):
        Path(report).write_text(json.dumps(stack.memory()))
    if os.environ.get("KEEP") != "1":
        stack.down()

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.containers.compose import Composed, without_docker
from tests.containers.load import Load, prepare
from tests.faults.checker import Finding, check_runs

SETTINGS = {"LEASE_SECONDS": "6", "TICK_SECONDS": "1", "MAX_ATTEMPTS": "50"}
QUIET_SECONDS = 180


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


@pytest.fixture
def load(composed: Composed) -> Iterator[Load]:
    composed.ready()
    found = Load(composed, prepare(composed, f"t{uuid4().hex[:8]}"))
    with found:
        found.more(4)
        yield found
    assert_nothing_lost_or_doubled(composed, found)


def assert_nothing_lost_or_doubled(composed: Composed, load: Load) -> None:
    found = asyncio.run(findings_when_quiet(composed.bigquery(), load.submitted))
    broken = {one.promise: one.violations[:5] for one in found if one.violations}
    assert not broken, (broken, load.statuses)


async def findings_when_quiet(url: str, submitted: list[tuple[str, str]]) -> list[Finding]:
    warehouse = Warehouse.connect(WarehouseSettings("convergence-local", endpoint=url))
    end = time.monotonic() + QUIET_SECONDS
    while True:
        found = await check_runs(warehouse, submitted)
        if not any(one.violations for one in found) or time.monotonic() > end:
            await warehouse.close()
            return found
        await asyncio.sleep(0.5)

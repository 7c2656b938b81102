"""Kill, pause and disconnect any container under a steady load; restart all of them in turn."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from uuid import uuid4

import pytest

from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.containers.compose import SERVICES, Composed
from tests.containers.load import Load, prepare
from tests.faults.checker import Finding, check_runs

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
EVERYTHING = (*SERVICES, "local-cloud")
QUIET_SECONDS = 120


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


@pytest.mark.parametrize("service", EVERYTHING)
def test_a_killed_container_loses_nothing(composed: Composed, load: Load, service: str) -> None:
    with load.gateway_down() if service in {"gateway", "local-cloud"} else nullcontext():
        composed.kill(service)
        if service not in {"gateway", "local-cloud"}:
            load.more(3)
        composed.revive(service)
        composed.ready()
    load.more(3)
    assert load.failures == []


@pytest.mark.parametrize("service", EVERYTHING)
def test_a_paused_container_loses_nothing(composed: Composed, load: Load, service: str) -> None:
    with load.gateway_down() if service in {"gateway", "local-cloud"} else nullcontext():
        with composed.paused(service):
            until = time.monotonic() + 4
            while time.monotonic() < until:
                time.sleep(0.1)
        composed.ready()
    load.more(3)
    assert load.failures == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_disconnected_container_loses_nothing(
    composed: Composed, load: Load, service: str
) -> None:
    with load.gateway_down() if service == "gateway" else nullcontext():
        with composed.disconnected(service):
            until = time.monotonic() + 4
            while time.monotonic() < until:
                time.sleep(0.1)
        composed.ready()
    load.more(3)
    assert load.failures == []


def test_each_service_is_restarted_in_turn_while_runs_flow(composed: Composed, load: Load) -> None:
    for service in SERVICES:
        with load.gateway_down() if service == "gateway" else nullcontext():
            composed.roll(service)
            composed.ready()
        load.more(2)
    assert load.failures == []

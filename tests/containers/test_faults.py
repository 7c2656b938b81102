"""Kill, pause and disconnect any container under a steady load; restart all of them in turn."""

import random
import time
from contextlib import nullcontext

import pytest

from tests.containers.compose import SERVICES, Composed
from tests.containers.load import Load

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
EVERYTHING = (*SERVICES, "local-cloud")
BEHIND_THE_GATEWAY = tuple(service for service in SERVICES if service != "gateway")
SEED, STEPS = 7, 12


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
        if service == "gateway":
            with load.gateway_down():
                composed.replace_gateway()
        else:
            with composed.side_by_side(service):
                load.more(1)
        load.more(2)
    composed.ready()
    assert load.failures == []


def test_any_order_of_stopping_and_starting_loses_nothing(composed: Composed, load: Load) -> None:
    chance = random.Random(SEED)
    stopped: set[str] = set()
    for _ in range(STEPS):
        service = chance.choice(BEHIND_THE_GATEWAY)
        (composed.revive if service in stopped else composed.stop_one)(service)
        stopped ^= {service}
        load.more(1)
    for service in chance.sample(sorted(stopped), len(stopped)):
        composed.revive(service)
    with load.gateway_down():
        composed.replace_gateway()
    load.more(3)
    assert load.failures == []

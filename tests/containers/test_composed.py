"""`docker compose up`: one run through all five, and how the containers are shut in."""

import pytest

from tests.containers.compose import SERVICES, Composed, docker
from tests.pipelines import ONE_STEP

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


def test_a_run_goes_through_all_five(composed: Composed) -> None:
    composed.onboard("whole")
    saved = composed.call("PUT", "/api/v1/pipelines/configs/ones", text=ONE_STEP, tenant="whole")
    assert saved.status == 200, saved.body
    begun = composed.call("POST", "/api/v1/pipelines/run/ones", {}, tenant="whole")
    assert begun.status == 202, begun.body
    run = composed.wait_for_run("whole", begun.body["run_id"])
    assert run["status"] == "COMPLETED", run


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_shut_in(composed: Composed, service: str) -> None:
    found = composed.inspect(service)
    host = found["HostConfig"]
    assert found["Config"]["User"] == "10001:10001"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    written = docker("exec", found["Id"], "sh", "-c", "touch /app/x 2>&1 || echo refused")
    assert "refused" in written


def test_only_the_gateway_can_be_reached_and_only_from_here(composed: Composed) -> None:
    for service in SERVICES:
        bound = composed.inspect(service)["HostConfig"]["PortBindings"] or {}
        addresses = {one["HostIp"] for bindings in bound.values() for one in bindings}
        assert addresses == ({"127.0.0.1"} if service == "gateway" else set())


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_only_its_own_service(composed: Composed, service: str) -> None:
    listed = docker("exec", composed.containers(service)[0], "ls", "/app/services")
    assert set(listed.split()) <= {service, "__init__.py", "__pycache__"}

"""The Cloud Run manifests, against Google's own description of what it takes."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from contracts.message import Service
from deploy import manifests
from deploy.access import account_id
from deploy.manifests import SERVICES, Place, render
from libs.settings import ExecutorSettings, GatewaySettings, ServiceSettings
from tests.deploy.fixtures import schema

PLACE = Place(project="my-project", image="region-docker.pkg.dev/p/r/s@sha256:0", revision="1a2b")
POOLS = tuple(service for service in SERVICES if service != "gateway")


def manifest(service: str) -> Any:
    return yaml.safe_load(render(service, PLACE))


def check(found: Any) -> None:
    kind = "Service" if found["kind"] == "Service" else "WorkerPool"
    Draft202012Validator({"$ref": f"#/$defs/{kind}", **schema("run.v1")}).validate(found)


@pytest.mark.parametrize("service", SERVICES)
def test_a_manifest_is_what_cloud_run_takes(service: str) -> None:
    found = manifest(service)
    check(found)
    assert found["apiVersion"] in {"serving.knative.dev/v1", "run.googleapis.com/v1"}
    assert found["spec"]["template"]["metadata"]["name"].startswith(found["metadata"]["name"])


def test_the_check_notices_a_misspelt_field() -> None:
    found = manifest("gateway")
    found["spec"]["template"]["spec"]["containerConcurency"] = 1
    with pytest.raises(ValidationError, match="containerConcurency"):
        check(found)


def test_the_gateway_is_a_service_and_the_pulling_ones_are_worker_pools() -> None:
    assert manifest("gateway")["kind"] == "Service"
    assert {manifest(service)["kind"] for service in POOLS} == {"WorkerPool"}


@pytest.mark.parametrize("service", SERVICES)
def test_each_runs_as_its_own_account_from_a_pinned_image(service: str) -> None:
    spec = manifest(service)["spec"]["template"]["spec"]
    account = account_id(Service(service.replace("_", "-")))
    assert spec["serviceAccountName"] == f"{account}@my-project.iam.gserviceaccount.com"
    assert [one["image"] for one in spec["containers"]] == [PLACE.image]


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting_and_secrets_come_from_secret_manager(service: str) -> None:
    (container,) = manifest(service)["spec"]["template"]["spec"]["containers"]
    known = {
        name.upper()
        for cls in (ServiceSettings, GatewaySettings, ExecutorSettings)
        for name in cls.model_fields
    }
    assert {one["name"] for one in container["env"]} <= known
    for one in container["env"]:
        secret = "KEY" in one["name"] or "SECRET" in one["name"]
        assert secret == ("valueFrom" in one)


@pytest.mark.parametrize("service", POOLS)
def test_who_uses_a_bucket_is_told_its_name(service: str) -> None:
    place = replace(PLACE, ledger_bucket="one", data_bucket="two")
    found = yaml.safe_load(render(service, place))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    said = {one["name"]: one.get("value") for one in container["env"]}
    assert said["LEDGER_BUCKET"] == "one"
    assert said.get("DATA_BUCKET") == ("two" if service == "executor" else None)


def test_the_command_prints_a_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--project", "my-project", "--image", "i", "--revision", "r", "--network", "n"]
    assert manifests.main(["executor", *wanted]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["spec"]["template"]["metadata"]["name"] == "convergence-executor-r"

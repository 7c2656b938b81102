"""What an operator does to all tenants at once, by the commands that do it."""

import os
import re
import subprocess
import sys

import pytest

from libs.provisioning.keys import CredentialsKey
from libs.settings import GatewaySettings
from tests.stack import ADMIN_KEY, ROOT, Stack, eventually
from tests.tenancy.secrets_of_tests import credentials

PROJECT = os.environ.get("GCP_PROJECT_ID", "convergence-local")


def command(stack: Stack, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    url = f"http://127.0.0.1:{stack.port}"
    return subprocess.run(
        [sys.executable, "-m", f"deploy.{name}", "--url", url, *arguments],
        cwd=ROOT,
        env={**os.environ, "ADMIN_API_KEY": ADMIN_KEY},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def owners(stack: Stack) -> list[str]:
    """Two tenants with two credentials each."""
    names = ["owner_one", "owner_two"]
    for name in names:
        stack.onboard(name)
        for provider in ("OPENAI", "GENERIC"):
            body = {"provider": provider, "credentials": credentials("good")[provider]}
            path = f"/api/v1/tenants/{name}/credentials"
            assert stack.call("POST", path, body, tenant=name).status == 200
    return names


def test_all_credentials_are_wrapped_by_the_newest_key(stack: Stack, owners: list[str]) -> None:
    key = GatewaySettings(gcp_project_id=PROJECT).kms_key_name
    CredentialsKey(key, f"127.0.0.1:{stack.ports()['kms']['grpc']}").rotate()
    done = command(stack, "rewrap")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in owners:
        assert f"{name}: 2 wrapped" in done.stdout
        tried = stack.call("POST", f"/api/v1/tenants/{name}/credentials/openai/test", tenant=name)
        assert tried.body["verdict"] == "works"
    assert re.search(r"wrapped in all, 0 tenants left$", done.stdout.strip())


def test_the_bootstrap_says_of_each_object_that_nothing_changed(stack: Stack) -> None:
    done = command(stack, "bootstrap")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unchanged tenants.tenant_api_keys" in done.stdout
    assert re.search(r"^schema version \d+: \d+ unchanged$", done.stdout, re.MULTILINE)


def test_recreating_without_a_confirmation_is_refused(stack: Stack) -> None:
    done = command(stack, "bootstrap", "--recreate", "tables")
    assert (done.returncode, "confirmation_required" in done.stderr) == (1, True)


def test_a_recreated_dataset_goes_on_recording(stack: Stack, owners: list[str]) -> None:
    done = command(stack, "bootstrap", "--recreate", "dataset", "--confirm", "tenants")
    assert done.returncode == 0, done.stdout + done.stderr
    copied = re.compile(r"^snapshot tenants_snapshot_\d{8}_\d{6}\.event_log$", re.MULTILINE)
    assert copied.search(done.stdout)
    for name in ("tenants", "tenants.event_log", "tenants.tenant_api_keys"):
        assert f"recreated {name}\n" in done.stdout
    tenant = owners[0]
    made = stack.call("POST", "/api/v1/tenants/api-keys", {"description": "new"}, tenant=tenant)
    assert made.status == 201

    def told() -> None:
        path = "/api/v1/audit/events?type=call.answered.v1"
        events = stack.call("GET", path, tenant=tenant).body["events"]
        routes = [event for event in events if "/api/v1/tenants/api-keys" in str(event)]
        assert len(routes) == 1

    eventually(told)

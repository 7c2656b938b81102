"""A tenant's life over HTTP, with two gateways: keys, credentials, plans, coming and going."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from libs.provisioning.keys import CredentialsKey
from libs.settings import GatewaySettings
from tests.pipelines import ONE_STEP
from tests.stack import Answer, Stack, eventually
from tests.tenancy.secrets_of_tests import credentials

KEYS, ADMIN = "/api/v1/tenants/api-keys", "/api/v1/admin"
SOON_SECONDS = 2.0
TRIES = 3
STORED = "credential.stored.v1"
PROJECT = os.environ.get("GCP_PROJECT_ID", "convergence-local")


@pytest.fixture(scope="module")
def acme(stack: Stack) -> str:
    stack.onboard("acme", plan="STARTER")
    return "acme"


def good(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer.body
    return answer.body


def seconds_until(holds: Callable[[], bool]) -> float:
    """How long it takes until it holds; asks all the while."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < 30, "it never came to hold"
    return time.monotonic() - started


def usually(trying: Callable[[], float]) -> float:
    """The median of a few tries: others work on this machine too, and may do so at any one."""
    return median(trying() for _ in range(TRIES))


def me(gateway: Stack, key: str) -> int:
    return gateway.call("GET", "/api/v1/tenants/me", headers={"X-API-Key": key}).status


def test_a_revoked_key_is_turned_away_by_every_gateway_within_two_seconds(
    stack: Stack, second: Stack, acme: str
) -> None:
    def revoked() -> float:
        made = good(stack.call("POST", KEYS, {"description": "leaky"}, tenant=acme), 201)
        assert [me(gateway, made["api_key"]) for gateway in (stack, second)] == [200, 200]
        stack.call("DELETE", f"{KEYS}/{made['api_key_hash']}", tenant=acme)
        return seconds_until(lambda: {me(g, made["api_key"]) for g in (stack, second)} == {401})

    assert usually(revoked) < SOON_SECONDS


def test_a_suspension_is_felt_at_every_gateway_within_two_seconds(
    stack: Stack, second: Stack
) -> None:
    stack.onboard("sleepy")
    key, path = stack.keys["sleepy"], f"{ADMIN}/tenants/sleepy"

    def suspended_and_resumed() -> float:
        assert [me(gateway, key) for gateway in (stack, second)] == [200, 200]
        changed = good(second.call("PATCH", path, {"status": "SUSPENDED", "reason": "unpaid"}))
        assert changed["status"] == "SUSPENDED"
        shut = seconds_until(lambda: {me(g, key) for g in (stack, second)} == {403})
        good(stack.call("PATCH", path, {"status": "ACTIVE"}))
        return max(shut, seconds_until(lambda: {me(g, key) for g in (stack, second)} == {200}))

    assert usually(suspended_and_resumed) < SOON_SECONDS
    again = stack.call("PATCH", path, {"status": "ACTIVE"})
    assert (again.status, again.body["code"]) == (409, "wrong_status")


def test_a_list_of_keys_shows_no_secret(stack: Stack, acme: str) -> None:
    made = good(stack.call("POST", KEYS, {"scopes": ["runs:read"]}, tenant=acme), 201)
    listed = good(stack.call("GET", KEYS, tenant=acme))["keys"]
    row = next(row for row in listed if row["api_key_hash"] == made["api_key_hash"])
    assert (row["last_four"], row["scopes"]) == (made["api_key"][-4:], ["runs:read"])
    assert made["api_key"] not in str(listed)
    assert good(stack.call("GET", f"{ADMIN}/api-keys?tenant_id={acme}"))["keys"] == listed


def test_rotation_lets_both_keys_work_for_a_while(stack: Stack, second: Stack, acme: str) -> None:
    old = good(stack.call("POST", KEYS, {"description": "nightly"}, tenant=acme), 201)
    assert me(second, old["api_key"]) == 200
    path = f"{KEYS}/{old['api_key_hash']}/rotate"
    new = good(stack.call("POST", path, {"overlap_seconds": 3600}, tenant=acme), 201)
    assert [me(second, key["api_key"]) for key in (old, new)] == [200, 200]
    path = f"{ADMIN}/api-keys/{new['api_key_hash']}/rotate?tenant_id={acme}"
    newest = good(stack.call("POST", path, {"overlap_seconds": 0}), 201)
    assert me(second, newest["api_key"]) == 200
    seconds_until(lambda: me(second, new["api_key"]) == 401)


def test_a_narrowed_key_gives_away_no_more_than_it_has(stack: Stack, acme: str) -> None:
    whole = good(stack.call("GET", KEYS, tenant=acme))["keys"][0]["api_key_hash"]
    body = {"scopes": ["keys:write", "runs:read"]}
    narrow = good(stack.call("POST", KEYS, body, tenant=acme), 201)
    own = {"X-API-Key": narrow["api_key"]}
    for wanted in ([], ["credentials:write"]):
        answer = stack.call("POST", KEYS, {"scopes": wanted}, headers=own)
        assert (answer.status, answer.body["code"]) == (403, "scope_exceeded")
    stolen = stack.call("POST", f"{KEYS}/{whole}/rotate", {}, headers=own)
    assert (stolen.status, stolen.body["code"]) == (403, "scope_exceeded")
    good(stack.call("POST", KEYS, {"scopes": ["runs:read"]}, headers=own), 201)
    listed = stack.call("GET", KEYS, headers=own)
    assert (listed.status, listed.body["code"]) == (403, "scope_missing")


def test_an_unknown_scope_and_a_past_expiry_are_refused(stack: Stack, acme: str) -> None:
    answer = stack.call("POST", KEYS, {"scopes": ["runs:destroy"]}, tenant=acme)
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (400, "/scopes/0")
    answer = stack.call("POST", KEYS, {"expires_at": "2020-01-01T00:00:00Z"}, tenant=acme)
    assert (answer.status, answer.body["code"]) == (422, "key_expired")


def test_a_plan_and_its_overrides_reach_the_quota(stack: Stack, acme: str) -> None:
    path = f"{ADMIN}/tenants/{acme}"
    change = {"subscription_plan": "PROFESSIONAL", "limits": {"daily": 40}}
    changed = good(stack.call("PATCH", path, change))
    assert (changed["plan"], changed["limits"]["daily"], changed["limits"]["monthly"]) == (
        "PROFESSIONAL",
        40,
        750,
    )

    def quota_follows() -> None:
        limits = good(stack.call("GET", "/api/v1/tenants/quota", tenant=acme))["limits"]
        assert (limits["daily"], limits["monthly"], limits["concurrent"]) == (40, 750, 5)

    eventually(quota_follows)
    kept = good(stack.call("PATCH", path, {"subscription_plan": "SCALE"}))
    assert (kept["limits"]["daily"], kept["limits"]["monthly"]) == (40, 3000)
    both = stack.call("PATCH", path, {"status": "ACTIVE", "limits": {}})
    assert both.status == 400


@pytest.mark.parametrize("provider", sorted(credentials()))
def test_a_credential_goes_in_and_is_listed_without_its_secret(
    stack: Stack, acme: str, provider: str
) -> None:
    path = f"/api/v1/tenants/{acme}/credentials"
    body = {"provider": provider, "credentials": credentials()[provider]}
    first = good(stack.call("POST", path, body, tenant=acme))
    assert (first["action"], first["tenant_id"]) == ("CREATED", acme)
    assert first["dataset_status"] == ("NONE" if provider == "GENERIC" else "READY")
    assert good(stack.call("POST", path, body, tenant=acme))["action"] == "UPDATED"
    listed = good(stack.call("GET", path, tenant=acme))["credentials"]
    row = next(row for row in listed if row["provider"] == provider)
    assert set(row) == {"credential_id", "provider", "created_at", "updated_at"}
    one = f"{path}/{row['credential_id']}"
    assert stack.call("DELETE", one, tenant=acme).status == 204
    assert stack.call("DELETE", one, tenant=acme).body["code"] == "credential_not_found"


@pytest.mark.parametrize(
    ("provider", "changes", "pointer"),
    [
        ("GCP", {"private_key": "c4n4ry"}, "/credentials/private_key"),
        ("GCP", {"token_uri": "http://169.254.169.254/"}, "/credentials/token_uri"),
        ("AWS", {"access_key_id": "c4n4ry"}, "/credentials/access_key_id"),
        ("AZURE", {"client_id": "c4n4ry"}, "/credentials/client_id"),
        ("OPENAI", {"colour": "c4n4ry"}, "/credentials/colour"),
        ("GENERIC", {"Bad Name": "c4n4ry"}, "/credentials/Bad Name/[key]"),
    ],
)
def test_a_misshapen_credential_is_refused_by_field_and_never_repeated(
    stack: Stack, acme: str, provider: str, changes: dict[str, str], pointer: str
) -> None:
    body = {"provider": provider, "credentials": {**credentials()[provider], **changes}}
    answer = stack.call("POST", f"/api/v1/tenants/{acme}/credentials", body, tenant=acme)
    assert answer.status == 400
    assert [error["pointer"] for error in answer.body["errors"]] == [pointer]
    assert "c4n4ry" not in str(answer.body)


@pytest.mark.parametrize(
    ("provider", "mark", "verdict"),
    [
        ("AZURE", "good", "works"),
        ("OPENAI", "good", "works"),
        ("OPENAI", "bad", "refused"),
        ("GENERIC", "good", "untestable"),
    ],
)
def test_a_credential_is_tried_with_its_provider(
    stack: Stack, acme: str, provider: str, mark: str, verdict: str
) -> None:
    path = f"/api/v1/tenants/{acme}/credentials"
    body = {"provider": provider, "credentials": credentials(mark)[provider]}
    name = good(stack.call("POST", path, body, tenant=acme))["credential_id"]
    tried = good(stack.call("POST", f"{path}/{name}/test", tenant=acme))
    assert (tried["verdict"], tried["provider"]) == (verdict, provider)
    assert stack.call("POST", f"{path}/none/test", tenant=acme).status == 404


def test_a_rotated_kms_key_needs_no_credential_entered_again(stack: Stack, acme: str) -> None:
    path = f"/api/v1/tenants/{acme}/credentials"
    body = {"provider": "ANTHROPIC", "credentials": credentials("good")["ANTHROPIC"]}
    good(stack.call("POST", path, body, tenant=acme))
    before = good(stack.call("GET", path, tenant=acme))
    key = GatewaySettings(gcp_project_id=PROJECT).kms_key_name
    CredentialsKey(key, f"127.0.0.1:{stack.ports()['kms']['grpc']}").rotate()
    done = good(stack.call("POST", f"{ADMIN}/tenants/{acme}/credentials/rewrap"))
    assert done["done"] == [one["credential_id"] for one in before["credentials"]]
    assert (done["rewrapped"], done["failed"]) == (len(done["done"]), [])
    assert good(stack.call("GET", path, tenant=acme)) == before
    tried = good(stack.call("POST", f"{path}/anthropic/test", tenant=acme))
    assert tried["verdict"] == "works"
    nobodys = stack.call("POST", f"{ADMIN}/tenants/nobody/credentials/rewrap")
    assert (nobodys.status, nobodys.body["code"]) == (404, "tenant_not_found")


def test_a_further_dataset_can_be_used_by_pipelines(stack: Stack, acme: str) -> None:
    path, body = "/api/v1/tenants/datasets", {"dataset": "acme_silver_cost"}
    assert "acme_silver_cost" in good(stack.call("POST", path, body, tenant=acme))["datasets"]
    definition = ONE_STEP.replace("${tenant_id}.ones", "acme_silver_cost.ones")
    saved = stack.call("PUT", "/api/v1/pipelines/configs/silver", text=definition, tenant=acme)
    assert saved.status == 200

    def it_may() -> None:
        started = good(stack.call("POST", "/api/v1/pipelines/run/silver", {}, tenant=acme), 202)
        ended = stack.wait_for_run(acme, started["run_id"])
        assert ended["status"] == "COMPLETED", ended["error"]

    eventually(it_may)
    stolen = stack.call("POST", path, {"dataset": "tenants"}, tenant=acme)
    assert (stolen.status, stolen.body["code"]) == (422, "dataset_name")


def test_provisioning_again_changes_nothing(stack: Stack, acme: str) -> None:
    made = good(stack.call("POST", f"{ADMIN}/tenants/{acme}/provision", {}))
    assert {one["action"] for one in made["objects"]} == {"unchanged"}


def test_leaving_ends_everything(stack: Stack, second: Stack) -> None:
    stack.onboard("leaver")
    key = stack.keys["leaver"]
    body = {"provider": "OPENAI", "credentials": credentials()["OPENAI"]}
    good(stack.call("POST", "/api/v1/tenants/leaver/credentials", body, tenant="leaver"))
    path = f"{ADMIN}/tenants/leaver"
    unsure = stack.call("DELETE", f"{path}?drop_datasets=true")
    assert (unsure.status, unsure.body["code"]) == (422, "confirmation_required")
    left = good(stack.call("DELETE", f"{path}?drop_datasets=true&confirm=leaver"))
    assert left["dropped_datasets"] == ["leaver", "leaver_raw_openai"]
    seconds_until(lambda: {me(g, key) for g in (stack, second)} == {401})
    assert good(stack.call("GET", path))["status"] == "OFFBOARDED"
    assert good(stack.call("DELETE", path))["kept_datasets"] == []

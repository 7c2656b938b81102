"""A ciphertext that somebody moves in the bucket opens for nobody: not by test, rewrap or run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from libs.slotlog.bucket import Bucket, BucketSettings
from tests.stack import Stack
from tests.tenancy.places import PROJECT, SETTINGS
from tests.tenancy.secrets_of_tests import credentials

OWNER, OTHER = "mover", "mover_two"


def store(stack: Stack, tenant: str, name: str, provider: str) -> None:
    body = {
        "provider": provider,
        "credentials": credentials("good")[provider],
        "credential_id": name,
    }
    path = f"/api/v1/tenants/{tenant}/credentials"
    assert stack.call("POST", path, body, tenant=tenant).status == 200


def tried(stack: Stack, tenant: str, name: str) -> Any:
    path = f"/api/v1/tenants/{tenant}/credentials/{name}/test"
    body = stack.call("POST", path, tenant=tenant).body
    return body.get("verdict") or body["code"]


@pytest.fixture(scope="module")
def owners(stack: Stack) -> None:
    for tenant in (OWNER, OTHER):
        stack.onboard(tenant)
        for name in ("one", "two"):
            store(stack, tenant, name, "OPENAI")


def in_the_bucket(stack: Stack, work: Callable[[Bucket], Awaitable[Any]]) -> Any:
    address = f"http://127.0.0.1:{stack.ports()['storage']['http']}"

    async def opened() -> Any:
        bucket = Bucket(BucketSettings(PROJECT, SETTINGS.bucket, address))
        try:
            return await work(bucket)
        finally:
            await bucket.close()

    return asyncio.run(opened())


def ciphertext(stack: Stack, tenant: str, name: str) -> bytes:
    async def read(bucket: Bucket) -> bytes:
        (place,) = await bucket.names(f"ciphertexts/{tenant}/{name}/")
        return await bucket.fetch(place) or b""

    found: bytes = in_the_bucket(stack, read)
    return found


def put(stack: Stack, tenant: str, name: str, body: bytes) -> None:
    async def write(bucket: Bucket) -> None:
        (place,) = await bucket.names(f"ciphertexts/{tenant}/{name}/")
        await bucket.replace(place, body)

    in_the_bucket(stack, write)


@pytest.mark.usefixtures("owners")
@pytest.mark.parametrize(
    ("tenant", "name"),
    [(OTHER, "one"), (OWNER, "two"), (OWNER, "provider")],
    ids=["to another tenant", "to another id", "to another provider"],
)
def test_a_moved_ciphertext_does_not_open(stack: Stack, tenant: str, name: str) -> None:
    taken = ciphertext(stack, OWNER, "one")
    if name == "provider":
        # The same tenant and the same name, which has since become another provider's.
        store(stack, tenant, name, "OPENAI")
        taken = ciphertext(stack, tenant, name)
        store(stack, tenant, name, "ANTHROPIC")
    own = ciphertext(stack, tenant, name)
    assert tried(stack, tenant, name) == "works"
    put(stack, tenant, name, taken)
    try:
        assert tried(stack, tenant, name) == "credential_unreadable"
        path = f"/api/v1/admin/tenants/{tenant}/credentials/rewrap"
        done = stack.call("POST", path).body
        failed = [(one["credential_id"], one["code"]) for one in done["failed"]]
        assert failed == [(name, "credential_unreadable")]
        assert name not in done["done"]
        assert set(done["done"]) >= {"one", "two"} - {name}
        assert used_in_a_run(stack, tenant, name) == "credential_unreadable"
    finally:
        put(stack, tenant, name, own)
    assert tried(stack, tenant, name) == "works"


def used_in_a_run(stack: Stack, tenant: str, name: str) -> Any:
    definition = f"""
pipeline_id: using_{name}
steps:
  - id: ask
    ps_type: ingest.api
    config:
      base_url: http://127.0.0.1:9
      auth: {{kind: bearer, credential: {name}}}
      target_table: ${{tenant_id}}.asked
      slice: "2026-01"
"""
    path = f"/api/v1/pipelines/configs/using_{name}"
    assert stack.call("PUT", path, text=definition, tenant=tenant).status == 200
    path = f"/api/v1/pipelines/run/using_{name}"
    run = stack.call("POST", path, {}, tenant=tenant).body["run_id"]
    return stack.wait_for_run(tenant, run)["error"]["code"]

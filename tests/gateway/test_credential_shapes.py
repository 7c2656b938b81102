"""A credential that is not of its provider's shape is refused by the name of the field."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.gateway.edges import KEY, TENANT, edge_on, serving
from tests.tenancy.secrets_of_tests import CANARY, credentials

NEEDED = {
    "GCP": ["type", "project_id", "private_key_id", "private_key", "client_email"],
    "AWS": ["access_key_id", "secret_access_key"],
    "AZURE": ["tenant_id", "client_id", "client_secret"],
    "OPENAI": ["api_key"],
    "ANTHROPIC": ["api_key"],
}


def key_of(bits: int) -> str:
    """A private key in PEM: RSA of so many bits, or none of RSA."""
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


ASIA = "ASIAC4N4RYEXAMPLE123"
WRONG: list[tuple[str, Mapping[str, Any], str]] = [
    ("AWS", {"access_key_id": ASIA}, "session_token"),
    ("AWS", {"access_key_id": ASIA, "session_token": ""}, "session_token"),
    ("AWS", {"session_token": f"{CANARY}\nX-Other: 1"}, "session_token"),
    ("AWS", {"region": f"{CANARY}"}, "region"),
    ("AWS", {"role_arn": f"{CANARY}"}, "role_arn"),
    ("GCP", {"client_email": f"{CANARY}@example.com"}, "client_email"),
    ("GCP", {"universe_domain": f"{CANARY}"}, "universe_domain"),
    ("AZURE", {"subscription_id": f"{CANARY}"}, "subscription_id"),
    ("OPENAI", {"organization": f"{CANARY}"}, "organization"),
    ("OPENAI", {"project": f"{CANARY}\r\nX-Other: 1"}, "project"),
    ("GCP", {"private_key": key_of(1024)}, "private_key"),
    ("GCP", {"private_key": key_of(0)}, "private_key"),
    ("GCP", {"private_key_id": f"{CANARY}\nX-Other: 1"}, "private_key_id"),
    ("AWS", {"external_id": f"{CANARY}\n" * 2 + "x"}, "external_id"),
    ("AZURE", {"client_secret": f"{CANARY}\x00 and more"}, "client_secret"),
    ("GENERIC", {"password": ""}, "password"),
    ("GENERIC", {"password": 17}, "password"),
    *((provider, {f"{CANARY}_x": "y"}, f"{CANARY}_x") for provider in NEEDED),
    *((provider, {name: None}, name) for provider, names in NEEDED.items() for name in names),
    *((provider, {name: ""}, name) for provider, names in NEEDED.items() for name in names),
]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(edge_on()) as found:
        yield found


async def store(url: str, provider: str, fields: Mapping[str, Any]) -> tuple[int, Any, str]:
    body = {"provider": provider, "credentials": fields}
    path = f"{url}/api/v1/tenants/{TENANT}/credentials"
    async with (
        aiohttp.ClientSession(headers={"X-API-Key": KEY.text}) as session,
        session.post(path, json=body) as answer,
    ):
        return answer.status, await answer.json(), await answer.text()


@pytest.mark.parametrize("provider", sorted(credentials()))
async def test_a_good_one_comes_as_far_as_being_encrypted(url: str, provider: str) -> None:
    """Which this gateway cannot: its KMS is away, and nothing is kept."""
    status, problem, text = await store(url, provider, credentials()[provider])
    assert (status, problem["code"]) == (503, "encryption_unavailable")
    assert CANARY not in text


@pytest.mark.parametrize(("provider", "field"), [(p, f) for p, fs in NEEDED.items() for f in fs])
async def test_a_field_that_is_missing_is_named(url: str, provider: str, field: str) -> None:
    fields = {name: value for name, value in credentials()[provider].items() if name != field}
    status, problem, text = await store(url, provider, fields)
    assert (status, problem["code"]) == (400, "invalid_request")
    assert [fault["pointer"] for fault in problem["errors"]] == [f"/credentials/{field}"]
    assert CANARY not in text


@pytest.mark.parametrize(("provider", "changes", "field"), WRONG)
async def test_a_field_that_is_wrong_is_named_and_its_value_is_not(
    url: str, provider: str, changes: Mapping[str, Any], field: str
) -> None:
    status, problem, text = await store(url, provider, credentials()[provider] | dict(changes))
    assert status == 400
    assert [fault["pointer"] for fault in problem["errors"]] == [f"/credentials/{field}"]
    assert CANARY not in text.replace(f"/credentials/{CANARY}_x", "")


async def test_all_that_is_wrong_is_named_at_once(url: str) -> None:
    status, problem, _ = await store(url, "AZURE", {"client_id": "no", "colour": "red"})
    assert status == 400
    assert {fault["pointer"].rpartition("/")[2] for fault in problem["errors"]} == {
        "tenant_id",
        "client_id",
        "client_secret",
        "colour",
    }

"""Trying credentials: what each provider is asked, and what its answers mean."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.credentials import CredentialVerdict, Provider
from services.executor.providers import Places, Providers
from tests.gateway.test_credential_shapes import key_of
from tests.tenancy.secrets_of_tests import CANARY, credentials

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


class StandIn:
    """All providers at once; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, dict[str, str], str]] = []
        app = web.Application()
        app.router.add_route("*", "/{provider}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.match_info["provider"], headers, await request.text()))
        return web.Response(status=self.status, text="no secret is repeated: " + CANARY)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    found = StandIn()
    async with found.server:
        yield found


def providers(stand_in: StandIn) -> Providers:
    url = str(stand_in.server.make_url("")).rstrip("/")
    return Providers(Places.at(url), lambda: NOW)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, CredentialVerdict.WORKS),
        (401, CredentialVerdict.REFUSED),
        (403, CredentialVerdict.REFUSED),
        (400, CredentialVerdict.REFUSED),
        (302, CredentialVerdict.UNREACHABLE),
        (429, CredentialVerdict.UNREACHABLE),
        (500, CredentialVerdict.UNREACHABLE),
    ],
)
@pytest.mark.parametrize("provider", [p for p in Provider if p is not Provider.GENERIC])
async def test_an_answer_is_judged_and_never_repeated(
    stand_in: StandIn, provider: Provider, status: int, verdict: CredentialVerdict
) -> None:
    stand_in.status = status
    tried = await providers(stand_in).attempt(provider, credentials()[provider.value])
    assert tried.verdict is verdict
    assert CANARY not in tried.detail
    assert [name for name, _, _ in stand_in.asked] == [
        {"GCP": "google"}.get(provider.value, provider.value.lower())
    ]


BROKEN = "\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
KEPT_BEFORE = [
    # what an earlier release let in
    ("AWS", {"session_token": f"{CANARY}\r\nX-Other: 1"}, "session_token: "),
    ("OPENAI", {"project": f"{CANARY}\nX-Other: 1"}, "project: "),
    ("ANTHROPIC", {"api_key": f"{CANARY}\x00"}, "api_key: "),
    ("GCP", {"private_key": BROKEN}, "private_key: "),
    ("GCP", {"private_key": key_of(0)}, "private_key: "),
    ("OPENAI", {"api_key": None}, "api_key: "),
    ("AZURE", {"tenant_id": None}, "tenant_id: "),
]


@pytest.mark.parametrize(("provider", "changed", "named"), KEPT_BEFORE)
async def test_a_field_that_cannot_be_used_is_named_and_nobody_is_asked(
    stand_in: StandIn, provider: str, changed: dict[str, str | None], named: str
) -> None:
    given = {**credentials()[provider], **changed}
    fields = {name: value for name, value in given.items() if value is not None}
    tried = await providers(stand_in).attempt(Provider(provider), fields)
    assert (tried.verdict, stand_in.asked) == (CredentialVerdict.REFUSED, [])
    assert tried.detail.startswith(named)
    assert CANARY not in tried.detail


async def test_nobody_is_asked_about_a_generic_credential(stand_in: StandIn) -> None:
    fields = {"password": "x", "key": "of several\nlines"}
    tried = await providers(stand_in).attempt(Provider.GENERIC, fields)
    assert (tried.verdict, stand_in.asked) == (CredentialVerdict.UNTESTABLE, [])


async def test_a_provider_that_is_away_says_nothing_of_the_credential() -> None:
    away = Providers(Places.at("http://127.0.0.1:9"), lambda: NOW)
    tried = await away.attempt(Provider.OPENAI, credentials()["OPENAI"])
    assert tried.verdict is CredentialVerdict.UNREACHABLE


def opened(part: str) -> Any:
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_google_gets_an_assertion_that_the_account_has_signed(stand_in: StandIn) -> None:
    fields = credentials()["GCP"]
    await providers(stand_in).attempt(Provider.GCP, fields)
    ((_, _, body),) = stand_in.asked
    header, claims, signature = parse_qs(body)["assertion"][0].split(".")
    assert opened(header) == {"alg": "RS256", "typ": "JWT", "kid": fields["private_key_id"]}
    assert opened(claims)["iss"] == fields["client_email"]
    assert opened(claims)["exp"] - NOW.timestamp() == 600
    key = load_pem_private_key(fields["private_key"].encode(), None).public_key()
    assert isinstance(key, RSAPublicKey)
    raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    key.verify(raw, f"{header}.{claims}".encode(), PKCS1v15(), SHA256())


async def test_aws_gets_a_signature_and_no_secret(stand_in: StandIn) -> None:
    fields = {**credentials()["AWS"], "region": "eu-west-1", "session_token": "temporary"}
    await providers(stand_in).attempt(Provider.AWS, fields)
    ((_, headers, body),) = stand_in.asked
    said = headers["authorization"]
    day = headers["x-amz-date"].partition("T")[0]
    scope = f"{fields['access_key_id']}/{day}/eu-west-1/sts/aws4_request"
    assert said.startswith(f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=content-type;host;")
    assert headers["x-amz-security-token"] == "temporary"
    assert fields["secret_access_key"] not in str(headers) + body


async def test_azure_is_asked_in_the_tenant_that_the_credential_names() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_post("/{tenant}/oauth2/v2.0/token", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/") + "/{tenant_id}/oauth2/v2.0/token"
        fields = credentials()["AZURE"]
        await Providers(Places(azure=url), lambda: NOW).attempt(Provider.AZURE, fields)
    assert seen == [f"/{fields['tenant_id']}/oauth2/v2.0/token"]

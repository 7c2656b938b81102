"""Trying a credential with its provider: one call that changes nothing and costs nothing."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from urllib.parse import quote, urlencode

import aiohttp
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.credentials import CredentialVerdict, Provider, is_one_line
from libs.clock import Clock
from libs.cloud_auth.aws import signed
from libs.cloud_auth.errors import UnusableKeyError
from libs.outgoing.client import Call

SECONDS = 10.0
REFUSALS = frozenset({400, 401, 403})
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AWS_BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Places:
    """Where providers are asked; others only in tests."""

    google: str = "https://oauth2.googleapis.com/token"
    aws: str = "https://sts.{region}.amazonaws.com/"
    azure: str = "https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"
    openai: str = "https://api.openai.com/v1/models"
    anthropic: str = "https://api.anthropic.com/v1/models"

    @classmethod
    def at(cls, url: str) -> "Places":
        """One stand-in for all of them."""
        names = ("google", "aws", "azure", "openai", "anthropic")
        return cls(**{name: f"{url}/{name}" for name in names})


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it, in words that may be shown to the tenant."""

    verdict: CredentialVerdict
    detail: str


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Unusable(Exception):  # noqa: N818  it says so of the credential
    """A field of the credential cannot be used as it is; names the field."""


class Providers:
    """Asks each provider whether it would let a credential in."""

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places = places
        self._clock = clock

    async def attempt(self, provider: Provider, fields: Mapping[str, str]) -> Tried:
        """Never raises for what a provider or a credential is like."""
        try:
            request = self._request(provider, fields)
        except Unusable as error:
            return Tried(CredentialVerdict.REFUSED, str(error))
        except KeyError as error:
            return Tried(CredentialVerdict.REFUSED, f"{error.args[0]}: it is missing")
        if request is None:
            return Tried(CredentialVerdict.UNTESTABLE, f"{provider} has nobody to try it with")
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.body or None,
                    allow_redirects=False,
                ) as response,
            ):
                return _judged(provider, response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            detail = f"{provider} did not answer: {type(error).__name__}"
            return Tried(CredentialVerdict.UNREACHABLE, detail)

    def _request(self, provider: Provider, fields: Mapping[str, str]) -> _Request | None:
        if provider is not Provider.GENERIC:
            _check_lines(fields)
        match provider:
            case Provider.GCP:
                return google(self._places.google, fields, self._clock())
            case Provider.AWS:
                return aws(self._places.aws, fields)
            case Provider.AZURE:
                return azure(self._places.azure, fields)
            case Provider.OPENAI:
                return openai(self._places.openai, fields)
            case Provider.ANTHROPIC:
                headers = {"x-api-key": fields["api_key"], "anthropic-version": "2023-06-01"}
                return _Request("GET", self._places.anthropic, headers)
            case Provider.GENERIC:
                return None


def _judged(provider: Provider, status: int) -> Tried:
    if status < 300:  # noqa: PLR2004  the class of HTTP statuses that are good news
        return Tried(CredentialVerdict.WORKS, f"{provider} let it in")
    if status in REFUSALS:
        return Tried(CredentialVerdict.REFUSED, f"{provider} answered {status}: not let in")
    return Tried(CredentialVerdict.UNREACHABLE, f"{provider} answered {status}")


def _check_lines(fields: Mapping[str, str]) -> None:
    """What is sent in a header is one line; a private key is not sent."""
    for name, value in fields.items():
        if name != "private_key" and not is_one_line(value):
            _unusable(f"{name}: expected no line breaks and no other control characters")


def google(url: str, fields: Mapping[str, str], now: datetime) -> _Request:
    """A signed assertion for a token, as a service account makes it (RFC 7523)."""
    at = int(now.timestamp())
    claims = {
        "iss": fields["client_email"],
        "scope": GOOGLE_SCOPE,
        "aud": fields.get("token_uri", url),
        "iat": at,
        "exp": at + 600,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": fields["private_key_id"]}
    signed = f"{_base64(header)}.{_base64(claims)}"
    signature = _base64(_signed(signed.encode(), fields["private_key"]))
    body = urlencode({"grant_type": GRANT, "assertion": f"{signed}.{signature}"})
    return _Request("POST", url, {"Content-Type": FORM}, body.encode())


def _signed(text: bytes, pem: str) -> bytes:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            _unusable("private_key: expected an RSA key")
        return key.sign(text, PKCS1v15(), SHA256())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        _unusable("private_key: expected an RSA key that signs; this one is damaged or too short")


def _unusable(why: str) -> NoReturn:
    raise Unusable(why)


def _base64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def azure(url: str, fields: Mapping[str, str]) -> _Request:
    form = {
        "grant_type": "client_credentials",
        "client_id": fields["client_id"],
        "client_secret": fields["client_secret"],
        "scope": "https://management.azure.com/.default",
    }
    where = url.replace("{tenant_id}", quote(fields["tenant_id"], safe=""))
    return _Request("POST", where, {"Content-Type": FORM}, urlencode(form).encode())


def openai(url: str, fields: Mapping[str, str]) -> _Request:
    headers = {"Authorization": f"Bearer {fields['api_key']}"}
    named = {"OpenAI-Organization": "organization", "OpenAI-Project": "project"}
    headers |= {header: fields[name] for header, name in named.items() if fields.get(name)}
    return _Request("GET", url, headers)


def aws(url: str, fields: Mapping[str, str]) -> _Request:
    """Who am I, in the words of AWS."""
    region = fields.get("region") or "us-east-1"
    call = Call("POST", url.replace("{region}", region), {"Content-Type": FORM}, AWS_BODY)
    try:
        call = signed(call, fields, region, "sts")
    except UnusableKeyError as error:
        _unusable(str(error))
    return _Request(call.method, call.url, call.headers, AWS_BODY)

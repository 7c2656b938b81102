"""Makes calls that a source lets in, out of the fields of a stored credential.

Nothing of a credential is ever in an error or a log line.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import orjson

from contracts.credentials import is_one_line
from libs.cloud_auth.aws import signed
from libs.cloud_auth.azure import AzureTokens
from libs.cloud_auth.errors import AwayError, CloudAuthError
from libs.cloud_auth.google import GoogleTokens
from libs.outgoing.client import Call, Outgoing
from libs.outgoing.errors import OutgoingError, UnreachableError
from services.executor.concealing import conceal
from services.executor.ingest.api_source import (
    Auth,
    AwsAuth,
    AzureAuth,
    BasicAuth,
    BearerAuth,
    GoogleAuth,
    HeaderAuth,
    OAuth2Auth,
)
from services.executor.ingest.asking import PassingError, SourceRefusedError, passes
from services.executor.ingest.errors import IngestError

SECONDS = 30.0


class MissingFieldError(IngestError):
    code = "credential_incomplete"

    def __init__(self, field: str, known: str) -> None:
        super().__init__(f"the credential has no field {field!r}; it has {known}")


class BadCredentialError(IngestError):
    code = "credential_refused"


class Authorizer(Protocol):
    """For one step. Not safe to share."""

    async def authorized(self, call: Call) -> Call:
        """The call with what lets it in. Raises `IngestError`, `PassingError`."""

    def renew(self) -> bool:
        """The call was not let in: whether there is a token to be fetched anew."""


class Plain:
    """Headers that stay what they are; none for a source that lets everybody in."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    async def authorized(self, call: Call) -> Call:
        return replace(call, headers={**call.headers, **self._headers})

    def renew(self) -> bool:
        return False


class Signing:
    """AWS: every call has a signature of its own."""

    def __init__(self, fields: Mapping[str, str], region: str, service: str) -> None:
        self._fields, self._region, self._service = fields, region, service

    async def authorized(self, call: Call) -> Call:
        try:
            return signed(call, self._fields, self._region, self._service)
        except CloudAuthError as error:
            raise BadCredentialError(str(error)) from None

    def renew(self) -> bool:
        return False


class Tokens(Protocol):
    """What fetches bearer tokens."""

    async def token(self) -> str: ...

    def forget(self) -> None: ...


class Bearing:
    """A token of a provider, fetched anew once it is not taken any more."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._refused = False
        self._renewals = 0

    async def authorized(self, call: Call) -> Call:
        if not self._refused:
            self._renewals = 0
        self._refused = False
        try:
            token = await self._tokens.token()
        except AwayError as error:
            raise PassingError(str(error)) from None
        except CloudAuthError as error:
            raise BadCredentialError(str(error)) from None
        conceal({"token": token})
        headers = {**call.headers, "Authorization": f"Bearer {token}"}
        return replace(call, headers=headers)

    def renew(self) -> bool:
        self._refused = True
        self._renewals += 1
        self._tokens.forget()
        return self._renewals == 1


class ClientCredentials:
    """Tokens by OAuth2 client credentials (RFC 6749, 4.4)."""

    def __init__(self, form: Mapping[str, str], url: str, outgoing: Outgoing) -> None:
        self._form, self._url, self._outgoing = form, url, outgoing
        self._token = ""

    async def token(self) -> str:
        self._token = self._token or await self._new()
        return self._token

    def forget(self) -> None:
        self._token = ""

    async def _new(self) -> str:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"grant_type": "client_credentials", **self._form}).encode()
        host = urlsplit(self._url).hostname or ""
        try:
            answer = await self._outgoing.send(
                Call("POST", self._url, headers, body, total_seconds=SECONDS)
            )
        except UnreachableError as error:
            raise PassingError(str(error)) from None
        except OutgoingError as error:
            raise SourceRefusedError(host, 0, f"token_url: {error}") from None
        if passes(answer.status):
            raise PassingError(f"the token endpoint answered {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            raise SourceRefusedError(host, answer.status, "no token was given")
        try:
            return str(orjson.loads(answer.body)["access_token"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise PassingError("the token endpoint's answer has no access_token") from None


def authorizer(
    auth: Auth | None, fields: Mapping[str, str], outgoing: Outgoing, azure_login: str
) -> Authorizer:
    """Raises `IngestError` for a credential that lacks what is needed."""
    try:
        match auth:
            case OAuth2Auth():
                return Bearing(ClientCredentials(_form(auth, fields), auth.token_url, outgoing))
            case AwsAuth():
                region = auth.region or fields.get("region") or "us-east-1"
                return Signing(fields, region, auth.service)
            case GoogleAuth():
                return Bearing(GoogleTokens(fields, auth.scopes, outgoing))
            case AzureAuth():
                return Bearing(AzureTokens(fields, auth.scope, outgoing, azure_login))
            case _:
                return Plain(_headers(auth, fields))
    except CloudAuthError as error:
        raise BadCredentialError(str(error)) from None


def _headers(
    auth: BearerAuth | HeaderAuth | BasicAuth | None, fields: Mapping[str, str]
) -> Mapping[str, str]:
    match auth:
        case None:
            return {}
        case BearerAuth():
            return {"Authorization": f"Bearer {_line(fields, auth.field)}"}
        case HeaderAuth():
            return {auth.header: _line(fields, auth.field)}
        case BasicAuth():
            pair = f"{_field(fields, auth.user_field)}:{_field(fields, auth.password_field)}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _form(auth: OAuth2Auth, fields: Mapping[str, str]) -> Mapping[str, str]:
    form = {
        "client_id": _field(fields, auth.id_field),
        "client_secret": _field(fields, auth.secret_field),
    }
    return {**form, "scope": auth.scope} if auth.scope else form


def _line(fields: Mapping[str, str], name: str) -> str:
    """A field that is sent in a header."""
    value = _field(fields, name)
    if not is_one_line(value):
        detail = f"field {name!r} of the credential has line breaks or other control characters"
        raise BadCredentialError(f"{detail}, which no header may have; store it again")
    return value


def _field(fields: Mapping[str, str], name: str) -> str:
    if name not in fields:
        raise MissingFieldError(name, ", ".join(sorted(fields)) or "none")
    return fields[name]

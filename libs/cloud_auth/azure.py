"""Tokens of an Azure service principal, fetched by Microsoft's own library."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msal

from libs.cloud_auth.bridge import Bridge, as_body
from libs.cloud_auth.errors import AwayError, NotLetInError, UnusableKeyError, field_of
from libs.outgoing.client import Outgoing
from libs.outgoing.errors import OutgoingError

AZURE = "Azure"
LOGIN = "https://login.microsoftonline.com"
STORAGE = "https://storage.azure.com/.default"
FAILED = 400
_DIRECTORY = re.compile(r"[A-Za-z0-9.-]{1,100}")


class AzureTokens:
    """Of one service principal, for one scope. Not safe to share between tasks."""

    def __init__(
        self, fields: Mapping[str, str], scope: str, outgoing: Outgoing, login: str = LOGIN
    ) -> None:
        """`login` is where Microsoft's sign-in is found. Raises `UnusableKeyError`."""
        self._directory = field_of(AZURE, fields, "tenant_id")
        if not _DIRECTORY.fullmatch(self._directory):
            raise UnusableKeyError(AZURE, "tenant_id is not the id or domain of a directory")
        self._client_id = field_of(AZURE, fields, "client_id")
        self._secret = field_of(AZURE, fields, "client_secret")
        self._scope, self._outgoing, self._login = scope, outgoing, login
        self._application: Any = None

    async def token(self) -> str:
        """Fetched anew when the last one has expired. Raises `CloudAuthError`."""
        bridge = Bridge(self._outgoing)
        try:
            return await asyncio.to_thread(self._ask, bridge)
        except OutgoingError as error:
            raise AwayError(AZURE, str(error)) from None

    def forget(self) -> None:
        self._application = None

    def _ask(self, bridge: Bridge) -> str:
        try:
            if self._application is None:
                self._application = msal.ConfidentialClientApplication(
                    self._client_id,
                    client_credential=self._secret,
                    authority=f"{LOGIN}/{self._directory}",
                    http_client=_HttpClient(bridge, self._login),
                    instance_discovery=False,
                )
            answer = self._application.acquire_token_for_client(scopes=[self._scope])
        except ValueError:
            raise NotLetInError(AZURE, "there is no such directory") from None
        except _InTroubleError:
            raise AwayError(AZURE, "its sign-in is in trouble") from None
        if "access_token" not in answer:
            reason = str(answer.get("error", "it gave no token"))[:100]
            raise NotLetInError(AZURE, reason)
        return str(answer["access_token"])


class _InTroubleError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Response:
    status_code: int
    headers: Mapping[str, str]
    text: str

    def raise_for_status(self) -> None:
        if self.status_code >= FAILED:
            raise _InTroubleError


class _HttpClient:
    """What Microsoft's library calls an http_client."""

    def __init__(self, bridge: Bridge, login: str) -> None:
        self._bridge, self._login = bridge, login

    def get(self, url: str, *, headers: Any = None, params: Any = None, **_: Any) -> _Response:
        return self._send("GET", url, params, headers, None)

    def post(
        self, url: str, *, headers: Any = None, params: Any = None, data: Any = None, **_: Any
    ) -> _Response:
        return self._send("POST", url, params, headers, data)

    def close(self) -> None:
        """Nothing is kept."""

    def _send(self, method: str, url: str, params: Any, headers: Any, data: Any) -> _Response:
        where = url.replace(LOGIN, self._login, 1)
        if params:
            where += f"{'&' if '?' in where else '?'}{urlencode(params)}"
        said = {"Content-Type": "application/x-www-form-urlencoded"} if data else {}
        answer = self._bridge.send(method, where, {**said, **(headers or {})}, as_body(data))
        if answer.status >= 500:  # noqa: PLR2004  the class of a server's own trouble
            raise _InTroubleError
        return _Response(answer.status, answer.headers, answer.body.decode(errors="replace"))

"""Tokens of a Google service account, fetched by Google's own library."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.auth import exceptions, transport
from google.oauth2 import service_account

from libs.cloud_auth.bridge import Bridge, as_body
from libs.cloud_auth.errors import AwayError, NotLetInError, UnusableKeyError
from libs.outgoing.client import Outgoing
from libs.outgoing.errors import AddressRefusedError, OutgoingError

GOOGLE = "Google"
READ_STORAGE = "https://www.googleapis.com/auth/devstorage.read_only"


class GoogleTokens:
    """Of one service account, for some scopes. Not safe to share between tasks."""

    def __init__(
        self, fields: Mapping[str, str], scopes: tuple[str, ...], outgoing: Outgoing
    ) -> None:
        """Raises `UnusableKeyError`."""
        self._outgoing = outgoing
        try:
            self._credentials: Any = service_account.Credentials.from_service_account_info(
                dict(fields), scopes=list(scopes)
            )
        except (ValueError, exceptions.GoogleAuthError):
            problem = "it is not the JSON key of a service account"
            raise UnusableKeyError(GOOGLE, problem) from None

    async def token(self) -> str:
        """Fetched anew when the last one has expired. Raises `CloudAuthError`."""
        if not self._credentials.valid:
            request = _Request(Bridge(self._outgoing))
            try:
                await asyncio.to_thread(self._credentials.refresh, request)
            except AddressRefusedError as error:
                raise UnusableKeyError(GOOGLE, f"token_uri: {error}") from None
            except OutgoingError as error:
                raise AwayError(GOOGLE, str(error)) from None
            except exceptions.GoogleAuthError as error:
                if error.retryable:
                    raise AwayError(GOOGLE, "its token endpoint is in trouble") from None
                raise NotLetInError(GOOGLE, "its token endpoint refused the key") from None
        return str(self._credentials.token)

    def forget(self) -> None:
        self._credentials.token = None


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    data: bytes


class _Request(transport.Request):
    """What Google's library calls a transport."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002  the bridge has its own
        **_: Any,
    ) -> _Response:
        answer = self._bridge.send(method, url, headers or {}, as_body(body))
        return _Response(answer.status, answer.headers, answer.body)

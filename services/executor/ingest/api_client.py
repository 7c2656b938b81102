"""Asks one source page after page: authorised, paced, tried again for what may hold next time.

Nothing of a credential is ever in a URL, an error or a log line.
"""

import asyncio
import base64
import logging
import random
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import orjson

from libs.outgoing.client import Answered, Call, Outgoing
from libs.outgoing.errors import OutgoingError, UnreachableError
from services.executor.ingest.api_source import (
    ApiSource,
    BasicAuth,
    BearerAuth,
    HeaderAuth,
    OAuth2Auth,
)
from services.executor.ingest.errors import IngestError

LOG = logging.getLogger(__name__)
MOST_BYTES = 64 << 20
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
UNAUTHORIZED, TOO_MANY, SERVER_ERROR = 401, 429, 500
TIMED_OUT = 408
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next"?')
Parameters = Mapping[str, Any]


class SourceRefusedError(IngestError):
    """The source says no, and would again."""

    code = "source_refused"

    def __init__(self, host: str, status: int, said: str) -> None:
        hint = {
            0: "check base_url",
            401: "check the credential",
            403: "the credential may not read this",
            404: "check base_url and path",
        }.get(status, "check the query")
        answered = f"answered {status}" if status else "was not asked"
        super().__init__(f"{host} {answered} ({hint}): {said[:300]}")


class SourceUnavailableError(IngestError):
    """The source gave way every time it was asked; trying later may help."""

    code = "source_unavailable"

    def __init__(self, host: str, tries: int, last: str) -> None:
        super().__init__(f"{host} did not answer in {tries} tries; last: {last}")


class _PassingError(Exception):
    """May hold next time, after this many seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(reason)


class ApiClient:
    """For one step. Not safe to share."""

    def __init__(self, source: ApiSource, outgoing: Outgoing, secrets: Mapping[str, str]) -> None:
        self._source, self._outgoing, self._secrets = source, outgoing, secrets
        self.first_url = source.base_url.rstrip("/") + source.path
        self._host = urlsplit(self.first_url).hostname or ""
        self._token = ""
        self._next_at = 0.0

    async def get(self, url: str, query: Parameters) -> tuple[Any, str]:
        """The answer's JSON, and the URL of the next page if its `Link` header has one.

        Raises `SourceRefusedError` and `SourceUnavailableError`.
        """
        last = ""
        for number in range(1, self._source.attempts + 1):
            await self._pace()
            try:
                return await self._once(url, query)
            except _PassingError as error:
                last = str(error)
                LOG.warning("%s, try %d: %s", self._host, number, last)
                if number < self._source.attempts:
                    await asyncio.sleep(_pause(number, error.after))
        raise SourceUnavailableError(self._host, self._source.attempts, last)

    async def _once(self, url: str, query: Parameters) -> tuple[Any, str]:
        headers = {**self._source.headers, **await self._authorization()}
        whole = f"{url}{'&' if '?' in url else '?'}{urlencode(query, doseq=True)}" if query else url
        answer = await self._send(Call("GET", whole, headers))
        return self._meaning(answer), _next_link(answer, whole)

    async def _send(self, call: Call) -> Answered:
        limited = replace(call, total_seconds=self._source.timeout_seconds, max_bytes=MOST_BYTES)
        try:
            return await self._outgoing.send(limited)
        except UnreachableError as error:
            raise _PassingError(str(error)) from None
        except OutgoingError as error:
            raise SourceRefusedError(self._host, 0, str(error)) from None

    def _meaning(self, answer: Answered) -> Any:
        status = answer.status
        if status == UNAUTHORIZED and isinstance(self._source.auth, OAuth2Auth) and self._token:
            self._token = ""
            raise _PassingError("the token is not taken any more", 0.0)
        if status in {TIMED_OUT, TOO_MANY} or status >= SERVER_ERROR:
            raise _PassingError(f"it answered {status}", _retry_after(answer.headers))
        if status >= 300:  # noqa: PLR2004  redirects have been followed
            raise SourceRefusedError(self._host, status, answer.body.decode(errors="replace"))
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            size = len(answer.body)
            raise _PassingError(f"its answer of {size} bytes is not whole JSON") from None

    async def _pace(self) -> None:
        now = time.monotonic()
        if self._next_at > now:
            await asyncio.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / self._source.requests_per_second

    async def _authorization(self) -> dict[str, str]:
        match self._source.auth:
            case None:
                return {}
            case BearerAuth() as auth:
                return {"Authorization": f"Bearer {self._secret(auth.field)}"}
            case HeaderAuth() as auth:
                return {auth.header: self._secret(auth.field)}
            case BasicAuth() as auth:
                pair = f"{self._secret(auth.user_field)}:{self._secret(auth.password_field)}"
                return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            case OAuth2Auth() as auth:
                return {"Authorization": f"Bearer {self._token or await self._new_token(auth)}"}

    def _secret(self, field: str) -> str:
        try:
            return self._secrets[field]
        except KeyError:
            known = ", ".join(sorted(self._secrets)) or "none"
            raise MissingFieldError(field, known) from None

    async def _new_token(self, auth: OAuth2Auth) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._secret(auth.id_field),
            "client_secret": self._secret(auth.secret_field),
            **({"scope": auth.scope} if auth.scope else {}),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        answer = await self._send(Call("POST", auth.token_url, headers, body))
        if answer.status >= SERVER_ERROR or answer.status == TOO_MANY:
            raise _PassingError(f"the token endpoint answered {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            raise SourceRefusedError(self._host, answer.status, "no token was given")
        try:
            self._token = str(orjson.loads(answer.body)["access_token"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise _PassingError("the token endpoint's answer has no access_token") from None
        return self._token


class MissingFieldError(IngestError):
    code = "credential_incomplete"

    def __init__(self, field: str, known: str) -> None:
        super().__init__(f"the credential has no field {field!r}; it has {known}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(float(headers[name]) / unit, 0.0)
        except (KeyError, ValueError):
            continue
    return None


def _pause(number: int, after: float | None) -> float:
    if after is not None:
        return min(after, LONGEST_PAUSE)
    longest = min(FIRST_PAUSE * 2 ** (number - 1), LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311  spread, not secrecy


def _next_link(answer: Answered, url: str) -> str:
    found = _NEXT.search(answer.headers.get("link", ""))
    return urljoin(url, found.group(1)) if found else ""

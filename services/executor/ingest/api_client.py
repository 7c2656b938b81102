"""Asks one source page after page: authorised, paced, tried again for what may hold next time.

Nothing of a credential is ever in a URL, an error or a log line.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from libs.outgoing.client import Answered, Call, Outgoing
from libs.outgoing.errors import OutgoingError, UnreachableError
from services.executor.ingest.api_source import ApiSource
from services.executor.ingest.asking import (
    PassingError,
    Patience,
    SourceRefusedError,
    passes,
    patiently,
    retry_after,
)
from services.executor.ingest.authorize import Authorizer
from services.executor.ingest.json_rows import Decoder, NoJsonError
from services.executor.ingest.links import next_of

MOST_BYTES = 64 << 20
UNAUTHORIZED = 401
JSON = "application/json"
Parameters = Mapping[str, Any]


class ApiClient:
    """For one step. Not safe to share."""

    def __init__(
        self, source: ApiSource, outgoing: Outgoing, authorizer: Authorizer, seconds: float
    ) -> None:
        """Gives up after so many seconds."""
        self._source, self._outgoing, self._authorizer = source, outgoing, authorizer
        self.first_url = source.base_url.rstrip("/") + source.path
        self._host = urlsplit(self.first_url).hostname or ""
        self._next_at = 0.0
        self._patience = Patience.of(source.attempts, seconds)

    async def ask(
        self, url: str, query: Parameters, body: Parameters | None = None
    ) -> tuple[Any, str]:
        """The answer's JSON, and the next page's address as its `Link` headers write it, if any.

        Raises `SourceRefusedError` and `SourceUnavailableError`.
        """

        async def once() -> tuple[Any, str]:
            await self._pace()
            return await self._once(url, query, body)

        return await patiently(self._host, self._patience, once)

    async def _once(self, url: str, query: Parameters, body: Parameters | None) -> tuple[Any, str]:
        whole = f"{url}{'&' if '?' in url else '?'}{_encoded(query)}" if query else url
        headers, posted = dict(self._source.headers), None
        if body is not None:
            headers, posted = {"Content-Type": JSON, **headers}, orjson.dumps(body)
        call = Call(self._source.method, whole, headers, posted)
        answer = await self._send(await self._authorizer.authorized(call))
        return await self._meaning(answer), next_of(answer.headers.getall("link", ()))

    async def _send(self, call: Call) -> Answered:
        limited = replace(call, total_seconds=self._source.timeout_seconds, max_bytes=MOST_BYTES)
        try:
            return await self._outgoing.send(limited)
        except UnreachableError as error:
            raise PassingError(str(error)) from None
        except OutgoingError as error:
            raise SourceRefusedError(self._host, 0, str(error)) from None

    async def _meaning(self, answer: Answered) -> Any:
        status = answer.status
        if status == UNAUTHORIZED and self._authorizer.renew():
            raise PassingError("the token is not taken any more", 0.0)
        if passes(status):
            raise PassingError(f"it answered {status}", retry_after(answer.headers))
        if status >= 300:  # noqa: PLR2004  redirects have been followed
            raise SourceRefusedError(self._host, status, answer.body.decode(errors="replace"))
        try:
            return await asyncio.to_thread(Decoder().loads, answer.body)
        except NoJsonError:
            size = len(answer.body)
            raise PassingError(f"its answer of {size} bytes is not whole JSON") from None

    async def _pace(self) -> None:
        now = time.monotonic()
        if self._next_at > now:
            await asyncio.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / self._source.requests_per_second


def _encoded(query: Parameters) -> str:
    """As signatures want it: no plus for a blank."""
    return urlencode(query, doseq=True, quote_via=quote, safe="-_.~")

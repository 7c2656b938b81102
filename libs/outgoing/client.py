"""The one way by which anything calls a URL that a user gave."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from libs.outgoing.addresses import Look, PublicResolver, check_literal, checked_url, look_up
from libs.outgoing.errors import (
    AddressRefusedError,
    OutgoingError,
    TooLargeError,
    UnreachableError,
)

CHUNK = 64 << 10
MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOR_ANYBODY = frozenset({"accept", "accept-encoding", "content-type", "range", "user-agent"})
"""Headers that follow a redirect to another host: no other may hold a key."""


@dataclass(frozen=True, slots=True)
class OutgoingRules:
    """What is allowed; the defaults are those of production."""

    https_only: bool = True
    allow_private: bool = False
    """Loopback and private networks: for development and tests only."""
    total_seconds: float = 30.0
    connect_seconds: float = 5.0
    max_bytes: int = 1 << 20
    connections: int = 100
    look: Look = field(default=look_up)

    @classmethod
    def of(cls, *, development: bool) -> Self:
        return cls(https_only=not development, allow_private=development)


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    total_seconds: float | None = None
    max_bytes: int | None = None
    exact: bool = False
    """The URL is sent as it is written, because it has been signed."""
    raw: bool = False
    """The body is wanted as it comes; unless headers say otherwise, it is to come unpacked."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)


class Streamed:
    """An answer whose body is read piece by piece, up to the limit."""

    def __init__(self, response: aiohttp.ClientResponse, host: str, limit: int) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._host = host
        self._limit = limit

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises `TooLargeError`, `UnreachableError`."""
        got = 0
        try:
            async for chunk in self._response.content.iter_chunked(CHUNK):
                got += len(chunk)
                if got > self._limit:
                    raise TooLargeError(self._host, self._limit)
                yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnreachableError(self._host, f"the answer broke off: {_kind(error)}") from None

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


class Outgoing:
    """Safe to share between tasks of one event loop."""

    def __init__(self, rules: OutgoingRules) -> None:
        self._rules = rules
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call) -> Answered:
        """Any status is an answer. Raises `OutgoingError`."""
        async with self.stream(call) as answer:
            return Answered(answer.status, answer.headers, await answer.read())

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Streamed]:
        """Redirects are followed for GET and HEAD only, each judged like the first URL."""
        rules = self._rules
        try:
            async with asyncio.timeout(call.total_seconds or rules.total_seconds):
                response = await self._answer(call)
                try:
                    yield Streamed(response, call.host, call.max_bytes or rules.max_bytes)
                finally:
                    response.close()
        except TimeoutError:
            raise UnreachableError(call.host, "no answer in time") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _answer(self, call: Call) -> aiohttp.ClientResponse:
        url, headers = call.url, dict(call.headers)
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._request(call, url, headers)
            target = response.headers.get("Location")
            if (
                response.status not in _REDIRECTS
                or not target
                or call.method not in {"GET", "HEAD"}
            ):
                return response
            response.close()
            before, url = url, urljoin(url, target)
            if urlsplit(before).netloc != urlsplit(url).netloc:
                headers = {k: v for k, v in headers.items() if k.lower() in _FOR_ANYBODY}
        raise UnreachableError(call.host, f"it redirects more than {MOST_REDIRECTS} times")

    async def _request(
        self, call: Call, url: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        host = checked_url(url, https_only=self._rules.https_only).hostname or ""
        target = _called(url, host, exact=call.exact)
        if call.raw:
            headers = {"Accept-Encoding": "identity", **headers}
        check_literal(target.raw_host or "", allow_private=self._rules.allow_private)
        try:
            return await self._open().request(
                call.method,
                target,
                headers=headers,
                data=call.body,
                allow_redirects=False,
                auto_decompress=not call.raw,
            )
        except OutgoingError:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            refused = _refusal_in(error)
            if refused is not None:
                raise refused from None
            raise UnreachableError(host, _kind(error)) from None
        except ValueError:
            raise _uncallable(host) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            rules = self._rules
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=PublicResolver(rules.look, allow_private=rules.allow_private),
                    limit=rules.connections,
                    use_dns_cache=False,
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=rules.connect_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _called(url: str, host: str, *, exact: bool) -> URL:
    """As it will be called: digits and dots of other scripts have become plain ones."""
    try:
        return URL(url, encoded=exact)
    except ValueError:
        raise _uncallable(host) from None


def _uncallable(host: str) -> AddressRefusedError:
    return AddressRefusedError(host, "it is not a URL that can be called")


def _refusal_in(error: BaseException) -> AddressRefusedError | None:
    """Aiohttp may wrap what the resolver raised."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, AddressRefusedError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _kind(error: BaseException) -> str:
    """What happened, without the text of errors that may quote the URL."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return type(error).__name__

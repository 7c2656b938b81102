"""Sending what `ask` makes, and waiting for runs; for threads and for asyncio."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel

from convergence import ask
from convergence.ask import Ask
from convergence.errors import ApiError, ConnectionFailedError
from convergence.models import Run

T = TypeVar("T")
WAIT_SECONDS = 20
TIMEOUT = httpx.Timeout(40.0, connect=5.0)
TRIES = 3
BUSY = frozenset({503, 504})


def _headers(key: str, admin_key: str) -> dict[str, str]:
    keys = {"X-API-Key": key, "X-Admin-Key": admin_key}
    return {name: value for name, value in keys.items() if value}


def _options(asked: Ask[Any]) -> dict[str, Any]:
    headers = dict(asked.headers)
    if asked.method == "POST":
        headers.setdefault("Idempotency-Key", str(uuid4()))
    if asked.text is not None:
        headers["Content-Type"] = "application/yaml"
        return {"params": asked.given, "content": asked.text.encode(), "headers": headers}
    return {"params": asked.given, "json": asked.body, "headers": headers}


def _read(asked: Ask[T], response: httpx.Response) -> T:
    if response.is_error:
        raise ApiError(response.status_code, _problem(response))
    if response.status_code == httpx.codes.NO_CONTENT:
        return asked.answer()
    answer = asked.answer
    assert issubclass(answer, BaseModel)  # noqa: S101  every answer but none is a model
    return answer.model_validate_json(response.content)


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _again(asked: Ask[Any], response: httpx.Response, tried: int) -> bool:
    """Whether the platform was only late, and asking again changes nothing."""
    return asked.method == "GET" and tried < TRIES and response.status_code in BUSY


class Client:
    """Not for several threads at once."""

    def __init__(self, url: str, key: str = "", *, admin_key: str = "") -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url, headers=_headers(key, admin_key), timeout=TIMEOUT
        )

    def __call__(self, asked: Ask[T]) -> T:
        """Send it. Raises `ApiError` or `ConnectionFailedError`."""
        options, tried = _options(asked), 0
        while True:
            tried += 1
            try:
                response = self._http.request(asked.method, asked.path, **options)
            except httpx.TransportError as error:
                raise ConnectionFailedError(self.url, type(error).__name__) from error
            if not _again(asked, response, tried):
                return _read(asked, response)
            time.sleep(tried)

    def watch(self, run_id: str) -> Iterator[Run]:
        """Every state of a run that is news, to its end."""
        since: int | None = None
        while True:
            found = self(ask.run(run_id, WAIT_SECONDS if since is not None else 0, since))
            yield found
            if found.has_ended:
                return
            if found.version == 0:
                time.sleep(1)  # told from what is recorded, which does not wait
            since = found.version

    def wait(self, run_id: str) -> Run:
        """The run once it has ended."""
        *_, last = self.watch(run_id)
        return last

    def export(self, path: str) -> Iterator[str]:
        """The lines of a list as NDJSON, all of them."""
        headers = {"Accept": "application/x-ndjson"}
        with self._http.stream("GET", path, headers=headers) as response:
            if response.is_error:
                response.read()
                raise ApiError(response.status_code, _problem(response))
            yield from response.iter_lines()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """For one event loop."""

    def __init__(self, url: str, key: str = "", *, admin_key: str = "") -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=_headers(key, admin_key), timeout=TIMEOUT
        )

    async def __call__(self, asked: Ask[T]) -> T:
        """Send it. Raises `ApiError` or `ConnectionFailedError`."""
        options, tried = _options(asked), 0
        while True:
            tried += 1
            try:
                response = await self._http.request(asked.method, asked.path, **options)
            except httpx.TransportError as error:
                raise ConnectionFailedError(self.url, type(error).__name__) from error
            if not _again(asked, response, tried):
                return _read(asked, response)
            await asyncio.sleep(tried)

    async def watch(self, run_id: str) -> AsyncIterator[Run]:
        """Every state of a run that is news, to its end."""
        since: int | None = None
        while True:
            found = await self(ask.run(run_id, WAIT_SECONDS if since is not None else 0, since))
            yield found
            if found.has_ended:
                return
            if found.version == 0:
                await asyncio.sleep(1)  # told from what is recorded, which does not wait
            since = found.version

    async def wait(self, run_id: str) -> Run:
        """The run once it has ended."""
        return [state async for state in self.watch(run_id)][-1]

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

"""Small objects in one Cloud Storage bucket, by its JSON API on the event loop.

Google's client blocks a thread a call; see docs/decisions/0021-objects-without-threads.md.
Nothing is tried again here: a create that is repeated would find its own object
and call it somebody else's, so a lost reply is reported and the caller looks.
"""

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import google.auth
import google_crc32c
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from yarl import URL

from libs.outages import OutageError
from libs.slotlog.log import SlotLogError

LOG = logging.getLogger(__name__)

GOOGLE = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
TIMEOUT = aiohttp.ClientTimeout(total=15.0, sock_connect=3.0, sock_read=10.0)
PAGE = 1000


class StorageUnavailableError(SlotLogError, OutageError):
    """Cloud Storage did not do it, or its reply was lost: only looking tells which."""

    def __init__(self, bucket: str, reason: str) -> None:
        super().__init__(f"Cloud Storage bucket {bucket} cannot be used: {reason}")


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Which bucket, and where when it is not Google's."""

    project_id: str
    bucket: str
    endpoint: str = ""
    at_once: int = 32
    """Calls that may be under way."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    hashes: str

    def json(self) -> Any:
        return json.loads(self.body)


class Bucket:
    """Create-once objects in one bucket. Safe to share between the tasks of one loop.

    Every call raises `StorageUnavailableError` when nobody can tell yet.
    """

    def __init__(self, settings: BucketSettings, credentials: Credentials | None = None) -> None:
        """Without credentials they are this process's own; an emulator needs none."""
        self._settings = settings
        self._base = settings.endpoint or GOOGLE
        self._objects = f"/storage/v1/b/{quote(settings.bucket)}/o"
        needs_token = credentials is not None or not settings.endpoint
        self._tokens = Tokens(credentials) if needs_token else None
        self._session: aiohttp.ClientSession | None = None

    async def create(self, name: str, body: bytes) -> bool:
        """Create an object; False when it exists."""
        answer = await self._upload(name, body, "&ifGenerationMatch=0")
        return answer.status != HTTPStatus.PRECONDITION_FAILED

    async def put(self, name: str, body: bytes) -> None:
        """Create an object; one that is there already is left as it is."""
        await self.create(name, body)

    async def replace(self, name: str, body: bytes) -> None:
        await self._upload(name, body, "")

    async def fetch(self, name: str) -> bytes | None:
        answer = await self._call("GET", f"{self._one(name)}?alt=media", missing_is_fine=True)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if f"crc32c={_crc32c(answer.body)}" not in answer.hashes:
            raise StorageUnavailableError(self._settings.bucket, f"{name} came damaged")
        return answer.body

    async def delete(self, name: str) -> None:
        await self._call("DELETE", self._one(name), missing_is_fine=True)

    async def names(self, prefix: str, start: str = "", limit: int = PAGE) -> list[str]:
        """Return object names below a prefix from `start` on, in order."""
        names: list[str] = []
        query = {"prefix": prefix, "startOffset": start, "fields": "items(name),nextPageToken"}
        while True:
            page = await self._list({**query, "maxResults": str(min(limit - len(names), PAGE))})
            names += [item["name"] for item in page.get("items", ())]
            query["pageToken"] = page.get("nextPageToken", "")
            if not query["pageToken"] or len(names) >= limit:
                return names

    async def folders(self, prefix: str, start: str, limit: int) -> list[str]:
        """Return the names of the folders directly below a prefix, in order."""
        query = {"prefix": prefix, "startOffset": start, "delimiter": "/"}
        page = await self._list({**query, "maxResults": str(limit)})
        return sorted(page.get("prefixes", ()))

    async def ensure(self) -> None:
        """Create the bucket unless it exists; for development and deployment."""
        body = json.dumps({"name": self._settings.bucket}).encode()
        path = f"/storage/v1/b?project={quote(self._settings.project_id)}"
        await self._call("POST", path, body, "application/json", {HTTPStatus.CONFLICT})

    async def check(self) -> None:
        await self._list({"maxResults": "1", "fields": "items(name)"})

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _upload(self, name: str, body: bytes, condition: str) -> _Answer:
        boundary = secrets.token_hex(16)
        path = f"/upload{self._objects}?uploadType=multipart{condition}"
        kind = f"multipart/related; boundary={boundary}"
        passes = {HTTPStatus.PRECONDITION_FAILED} if condition else ()
        return await self._call("POST", path, _parts(boundary, name, body), kind, passes)

    async def _list(self, query: Mapping[str, str]) -> Any:
        said = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items() if value)
        return (await self._call("GET", f"{self._objects}?{said}")).json()

    def _one(self, name: str) -> str:
        return f"{self._objects}/{quote(name, safe='')}"

    async def _call(  # noqa: PLR0913  what a request is made of
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "",
        passes: Collection[int] = (),
        *,
        missing_is_fine: bool = False,
    ) -> _Answer:
        try:
            answer = await self._answer(method, path, body, kind)
        except (aiohttp.ClientError, TimeoutError, OSError, GoogleAuthError) as error:
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise StorageUnavailableError(self._settings.bucket, reason) from error
        if answer.status < HTTPStatus.BAD_REQUEST or answer.status in passes:
            return answer
        if missing_is_fine and answer.status == HTTPStatus.NOT_FOUND:
            return answer
        reason = f"it answered {answer.status}: {answer.body[:200].decode(errors='replace')}"
        raise StorageUnavailableError(self._settings.bucket, reason)

    async def _answer(self, method: str, path: str, body: bytes | None, kind: str) -> _Answer:
        headers = {"Accept-Encoding": "identity"}
        if kind:
            headers["Content-Type"] = kind
        if self._tokens is not None:
            headers["Authorization"] = f"Bearer {await self._tokens.current()}"
        url = URL(self._base + path, encoded=True)
        async with self._opened().request(method, url, data=body, headers=headers) as answer:
            hashes = ",".join(answer.headers.getall("X-Goog-Hash", ()))
            return _Answer(answer.status, await answer.read(), hashes)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._settings.at_once)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=TIMEOUT, trust_env=not self._settings.endpoint
            )
        return self._session


class Tokens:
    """Access tokens of an account, renewed in a thread shortly before they end."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._renewing = asyncio.Lock()

    async def current(self) -> str:
        """Raises `GoogleAuthError` when there is none."""
        if (token := self._fresh()) is None:
            async with self._renewing:
                if (token := self._fresh()) is None:
                    token = await asyncio.to_thread(self._renew)
        return token

    def _fresh(self) -> str | None:
        known = self._credentials
        if known is None or known.token_state is not TokenState.FRESH:
            return None
        return str(known.token)

    def _renew(self) -> str:
        if self._credentials is None:
            self._credentials = google.auth.default(scopes=[SCOPE])[0]
        try:
            self._credentials.refresh(Request())
        except GoogleAuthError:
            if self._credentials.token_state is TokenState.INVALID:
                raise
            LOG.warning("a token could not be renewed yet; the old one still serves")
        return str(self._credentials.token)


def _parts(boundary: str, name: str, body: bytes) -> bytes:
    """Metadata with the body's checksum, and the body."""
    said = json.dumps({"name": name, "crc32c": _crc32c(body)}).encode()
    line = f"--{boundary}".encode()
    kind = b"\r\nContent-Type: application/json\r\n\r\n"
    return b"".join((line, kind, said, b"\r\n", line, kind, body, b"\r\n", line, b"--\r\n"))


def _crc32c(body: bytes) -> str:
    return base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()

"""Files in Cloud Storage, whole: listed, fetched to disk, uploaded. Memory stays small."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import requests
from google.api_core import exceptions as google_errors
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import TransportError
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption
from requests.adapters import HTTPAdapter

from libs.slotlog.bucket import BucketSettings

T = TypeVar("T")
CHUNK = 8 << 20
TIMEOUT = (3.0, 120.0)
FAILURES = (
    google_errors.GoogleAPICallError,
    google_errors.RetryError,
    DataCorruption,
    requests.RequestException,
    TransportError,
    TimeoutError,
)


class ObjectsError(Exception):
    """Cloud Storage did not do it; trying again is safe."""

    def __init__(self, bucket: str, what: str, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {_said(error)[:200]}"
        super().__init__(f"Cloud Storage bucket {bucket} cannot be used for {what}: {reason}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is known of an object without reading it."""

    name: str
    size: int
    checksum: str
    """Changes whenever the content does."""
    updated: datetime | None = None
    """When its content was last written."""
    generation: int = 0
    """Another one whenever something is put under its name."""


class Objects:
    """The objects of one bucket. Safe to share between tasks."""

    def __init__(self, settings: BucketSettings) -> None:
        self.bucket = settings.bucket
        self._client = _client(settings)
        self._bucket = self._client.bucket(settings.bucket)
        self._pool = ThreadPoolExecutor(settings.at_once, thread_name_prefix="objects")

    def uri(self, name: str) -> str:
        return f"gs://{self.bucket}/{name}"

    async def list(self, prefix: str, limit: int) -> list[StoredObject]:
        """At most `limit` objects below a prefix, by name."""

        def call() -> list[StoredObject]:
            blobs = self._client.list_blobs(
                self._bucket, prefix=prefix, max_results=limit, timeout=TIMEOUT
            )
            return [
                StoredObject(
                    blob.name,
                    blob.size or 0,
                    blob.crc32c or str(blob.generation),
                    blob.updated,
                    blob.generation or 0,
                )
                for blob in blobs
            ]

        return await self._run(f"listing {prefix}", call)

    async def download(self, name: str, path: Path, generation: int = 0) -> None:
        """As it lies, packed or not.

        Raises `FileNotFoundError` when it has gone, or is not of the generation asked for.
        """

        def call() -> None:
            blob = self._bucket.blob(name, chunk_size=CHUNK)
            try:
                blob.download_to_filename(
                    str(path),
                    raw_download=True,
                    if_generation_match=generation or None,
                    timeout=TIMEOUT,
                )
            except (google_errors.NotFound, google_errors.PreconditionFailed):
                raise FileNotFoundError(name) from None

        await self._run(f"fetching {name}", call)

    async def upload(self, name: str, path: Path) -> None:
        """Put a file's content under a name, over whatever was there."""

        def call() -> None:
            blob = self._bucket.blob(name, chunk_size=CHUNK)
            blob.upload_from_filename(str(path), timeout=TIMEOUT)

        await self._run(f"uploading {name}", call)

    async def read(self, name: str) -> bytes | None:
        """A small object; None when there is none."""

        def call() -> bytes | None:
            try:
                return bytes(self._bucket.blob(name).download_as_bytes(timeout=TIMEOUT))
            except google_errors.NotFound:
                return None

        return await self._run(f"reading {name}", call)

    async def tail(self, name: str, length: int) -> bytes:
        """The last bytes of an object, or all that it has; raises `FileNotFoundError`."""

        def call() -> bytes:
            try:
                blob = self._bucket.blob(name)
                found = blob.download_as_bytes(start=-length, raw_download=True, timeout=TIMEOUT)
                return bytes(found)
            except google_errors.NotFound:
                raise FileNotFoundError(name) from None
            except google_errors.RequestRangeNotSatisfiable:
                return b""  # it is empty

        return await self._run(f"reading {name}", call)

    async def write(self, name: str, body: bytes) -> None:
        def call() -> None:
            self._bucket.blob(name).upload_from_string(body, timeout=TIMEOUT)

        await self._run(f"writing {name}", call)

    async def delete(self, *names: str) -> None:
        """Those that are gone already are fine."""

        def call() -> None:
            self._bucket.delete_blobs(list(names), on_error=lambda _: None, timeout=TIMEOUT)

        if names:
            await self._run(f"deleting {names[0]}", call)

    async def ensure(self) -> None:
        """Create the bucket unless it exists; for development and deployment."""

        def call() -> None:
            try:
                self._client.create_bucket(self._bucket, timeout=TIMEOUT)
            except google_errors.Conflict:
                return  # it exists

        await self._run("creating it", call)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def _run(self, what: str, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except FAILURES as error:
            raise ObjectsError(self.bucket, what, error) from None


def _said(error: BaseException) -> str:
    """What Cloud Storage says is wrong; where it does not say so, it quotes what was asked for."""
    if isinstance(error, google_errors.GoogleAPICallError) and not _is_refusal(error.code):
        return f"{error.code} was not expected"
    return str(error)


def _is_refusal(status: int | None) -> bool:
    return status is not None and status >= HTTPStatus.BAD_REQUEST


def _client(settings: BucketSettings) -> Client:
    if not settings.endpoint:
        client = Client(project=settings.project_id)
    else:
        client = Client(
            project=settings.project_id,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": settings.endpoint},
        )
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=settings.at_once)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)  # noqa: SLF001  the client offers no pool size
    return client

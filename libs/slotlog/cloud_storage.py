"""The slot log and the claims in Cloud Storage: create-once objects by precondition.

Google's client is blocking, so its calls run in a bounded pool of threads. Its
own retries are off: a retried create would find its own object and call it
somebody else's, so a lost reply is reported and the caller reads the slot.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import requests
from google.api_core import exceptions as google_errors
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import TransportError
from google.cloud.storage import Client
from requests.adapters import HTTPAdapter

from libs.slotlog.log import Record, SlotLogError, Taken, UnknownOutcomeError, Written

LOG = logging.getLogger(__name__)
T = TypeVar("T")

NAME_DIGITS = 12
TIMEOUT = (3.0, 10.0)
KEPT_SNAPSHOTS = 2
UNREACHABLE = (
    google_errors.ServerError,
    google_errors.TooManyRequests,
    google_errors.RetryError,
    requests.RequestException,
    TransportError,
    TimeoutError,
)


class StorageUnavailableError(SlotLogError):
    """Cloud Storage did not answer; nothing was changed, so trying again is safe."""

    def __init__(self, bucket: str, reason: str) -> None:
        super().__init__(f"Cloud Storage bucket {bucket} cannot be used: {reason}")


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Which bucket, and where when it is not Google's."""

    project_id: str
    bucket: str
    endpoint: str = ""
    threads: int = 32


class Bucket:
    """Create-once objects in one bucket. Safe to share between tasks."""

    def __init__(self, settings: BucketSettings) -> None:
        self._name = settings.bucket
        self._client = storage_client(settings)
        self._bucket = self._client.bucket(settings.bucket)
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="storage")

    async def create(self, name: str, body: bytes) -> bool:
        """Create an object; False when it exists. Raises what `UNREACHABLE` lists."""
        return await self._run(lambda: self._create(name, body))

    async def put(self, name: str, body: bytes) -> None:
        """Create an object; one that is there already is left as it is."""
        await self._guarded(lambda: self._create(name, body))

    async def fetch(self, name: str) -> bytes | None:
        return await self._guarded(lambda: self._fetch(name))

    async def replace(self, name: str, body: bytes) -> None:
        def upload() -> None:
            self._bucket.blob(name).upload_from_string(body, retry=None, timeout=TIMEOUT)

        await self._guarded(upload)

    async def delete(self, name: str) -> None:
        def remove() -> None:
            self._bucket.delete_blobs([name], on_error=lambda _: None, retry=None)

        await self._guarded(remove)

    async def names(self, prefix: str, start: str = "", limit: int = 1000) -> list[str]:
        """Return object names below a prefix from `start` on, in order."""

        def page() -> list[str]:
            blobs = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                start_offset=start or None,
                max_results=limit,
                fields="items(name),nextPageToken",
                retry=None,
                timeout=TIMEOUT,
            )
            return [blob.name for blob in blobs]

        return await self._guarded(page)

    async def folders(self, prefix: str, start: str, limit: int) -> list[str]:
        """Return the names of the folders directly below a prefix, in order."""

        def page() -> list[str]:
            blobs = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                start_offset=start or None,
                delimiter="/",
                page_size=limit,
                retry=None,
                timeout=TIMEOUT,
            )
            next(iter(blobs.pages), None)
            return sorted(blobs.prefixes)

        return await self._guarded(page)

    async def ensure(self) -> None:
        """Create the bucket unless it exists; for development and deployment."""

        def create() -> None:
            try:
                self._client.create_bucket(self._bucket, retry=None, timeout=TIMEOUT)
            except google_errors.Conflict:
                LOG.debug("bucket %s exists", self._name)

        await self._guarded(create)

    async def check(self) -> None:
        await self._guarded(self._check)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _create(self, name: str, body: bytes) -> bool:
        try:
            self._bucket.blob(name).upload_from_string(
                body,
                content_type="application/json",
                if_generation_match=0,
                retry=None,
                timeout=TIMEOUT,
            )
        except google_errors.PreconditionFailed:
            return False
        return True

    def _fetch(self, name: str) -> bytes | None:
        try:
            found = self._bucket.blob(name).download_as_bytes(retry=None, timeout=TIMEOUT)
        except google_errors.NotFound:
            return None
        return bytes(found)

    def _check(self) -> None:
        list(
            self._client.list_blobs(
                self._bucket, max_results=1, fields="items(name)", timeout=TIMEOUT, retry=None
            )
        )

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return await self._run(call)
        except (*UNREACHABLE, google_errors.NotFound) as error:
            raise StorageUnavailableError(self._name, _reason(error)) from error


class CloudStorageSlotLog:
    """`ledger/<stream>/<slot>.json`, one object a slot."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        try:
            created = await self._bucket.create(_slot_name(stream, slot), record.encode())
        except (*UNREACHABLE, google_errors.NotFound) as error:
            raise UnknownOutcomeError(stream, slot, _reason(error)) from error
        if created:
            return Written()
        existing = await self._bucket.fetch(_slot_name(stream, slot))
        if existing is None:
            raise UnknownOutcomeError(stream, slot, "it is taken and cannot be read")
        return Taken(Record.decode(existing))

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        # Almost always nothing or one slot follows: ask for it before listing.
        first = await self._bucket.fetch(_slot_name(stream, after + 1))
        if first is None:
            return ()
        found = [(after + 1, Record.decode(first))]
        if limit > 1:
            found += await self._read_listed(stream, after + 1, limit - 1)
        return found

    async def _read_listed(self, stream: str, after: int, limit: int) -> list[tuple[int, Record]]:
        names = await self._bucket.names(f"ledger/{stream}/", _slot_name(stream, after + 1), limit)
        expected = [_slot_name(stream, after + 1 + i) for i in range(len(names))]
        contiguous = [n for n, e in zip(names, expected, strict=True) if n == e]
        bodies = await asyncio.gather(*(self._bucket.fetch(name) for name in contiguous))
        return [
            (after + 1 + index, Record.decode(body))
            for index, body in enumerate(bodies)
            if body is not None
        ]

    async def save_snapshot(self, stream: str, slot: int, state: bytes) -> None:
        await self._bucket.replace(_snapshot_name(stream, slot), state)
        names = await self._bucket.names(f"snapshots/{stream}/")
        for name in names[:-KEPT_SNAPSHOTS]:
            await self._bucket.delete(name)

    async def latest_snapshot(self, stream: str) -> tuple[int, bytes] | None:
        names = await self._bucket.names(f"snapshots/{stream}/")
        for name in reversed(names):
            if (body := await self._bucket.fetch(name)) is not None:
                return int(name.rpartition("/")[2].removesuffix(".json")), body
        return None

    async def streams(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        start = f"ledger/{after}0" if after else ""
        folders = await self._bucket.folders(f"ledger/{prefix}/", start, limit)
        return [folder.removeprefix("ledger/").rstrip("/") for folder in folders]

    async def check(self) -> None:
        await self._bucket.check()


class Claims:
    """Create-once claims: whoever claims a name first has it, for ever."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def claim(self, name: str, owner: str) -> bool:
        """Whether `owner` has the name now; asking again gives the same answer.

        Raises `StorageUnavailableError` when nobody can tell yet.
        """
        path = f"claims/{name}"
        try:
            if await self._bucket.create(path, owner.encode()):
                return True
        except (*UNREACHABLE, google_errors.NotFound) as error:
            LOG.warning("claiming %s: %s; reading who has it", name, _reason(error))
        holder = await self._bucket.fetch(path)
        if holder is None:
            raise StorageUnavailableError(path, "the claim may or may not have been made")
        return holder == owner.encode()


def storage_client(settings: BucketSettings) -> Client:
    if not settings.endpoint:
        client = Client(project=settings.project_id)
    else:
        client = Client(
            project=settings.project_id,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": settings.endpoint},
        )
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=settings.threads)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)  # noqa: SLF001  the client offers no pool size
    return client


def _slot_name(stream: str, slot: int) -> str:
    return f"ledger/{stream}/{slot:0{NAME_DIGITS}d}.json"


def _snapshot_name(stream: str, slot: int) -> str:
    return f"snapshots/{stream}/{slot:0{NAME_DIGITS}d}.json"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"

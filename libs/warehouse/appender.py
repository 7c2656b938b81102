"""Appends through the Storage Write API: one open stream per table, confirmed in order.

The default stream adds at least once; readers keep one row per id. A broken
connection is opened again and what was not confirmed is sent again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
    BigQueryWriteGrpcAsyncIOTransport,
)
from tenacity import (
    AsyncRetrying,
    before_sleep_log,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from libs.warehouse.arrow import arrow_schema, batches
from libs.warehouse.errors import RowRejectedError, UnavailableError, WarehouseError
from libs.warehouse.schema import Table

LOG = logging.getLogger(__name__)
GIVE_UP_SECONDS = 60.0
CONFIRM_SECONDS = 20.0
PERMANENT = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})
NOT_FOUND = 5
OUTDATED = ("SCHEMA_MISMATCH_EXTRA_FIELDS", "Input schema has more fields")
MAX_MESSAGE = 20 << 20


class Appender:
    """Keeps one connection per table. Safe to share between tasks."""

    def __init__(self, project: str, endpoint: str) -> None:
        self._project = project
        self._endpoint = endpoint
        self._transport: BigQueryWriteGrpcAsyncIOTransport | None = None
        self._tables: dict[Table, _TableStream] = {}
        """By declaration: a table that has grown gets a connection of its own."""

    async def append(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        stream = self._tables.get(table)
        if stream is None:
            stream = self._tables[table] = _TableStream(self._open(), self._project, table)
        await stream.append(rows)

    async def close(self) -> None:
        for stream in self._tables.values():
            await stream.close()
        if self._transport is not None:
            await self._transport.close()

    def _open(self) -> BigQueryWriteGrpcAsyncIOTransport:
        if self._transport is None:
            self._transport = _transport(self._endpoint)
        return self._transport


class _TableStream:
    """One table's connection; appends are confirmed in the order they were sent."""

    def __init__(
        self, transport: BigQueryWriteGrpcAsyncIOTransport, project: str, table: Table
    ) -> None:
        self._transport = transport
        self._table = table
        self._schema = arrow_schema(table)
        self._name = (
            f"projects/{project}/datasets/{table.dataset}/tables/{table.name}/streams/_default"
        )
        self._call: Any = None
        self._lock = asyncio.Lock()

    async def append(self, rows: Sequence[Mapping[str, object]]) -> None:
        for batch in batches(self._table, self._schema, rows):
            async with self._lock:
                await self._send_until_confirmed(batch)

    async def _send_until_confirmed(self, batch: pa.RecordBatch) -> None:
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_BrokenStreamError),
                wait=wait_random_exponential(0.05, max=2),
                stop=stop_after_delay(GIVE_UP_SECONDS),
                before_sleep=before_sleep_log(LOG, logging.WARNING),
                reraise=True,
            ):
                with attempt:
                    await self._send(batch)
        except _BrokenStreamError as error:
            raise UnavailableError(f"appending to {self._table.path}", str(error)) from error

    async def _send(self, batch: pa.RecordBatch) -> None:
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                fresh = self._call is None
                if fresh:
                    append: Any = self._transport.append_rows
                    self._call = append()
                await self._call.write(self._request(batch, with_schema=fresh))
                response = await self._call.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            self._call = None
            raise self._meaning(error) from error
        except BaseException:
            # What was sent may yet be answered: that answer must not be taken for another's.
            await self.close()
            raise
        if response is grpc.aio.EOF:
            self._call = None
            raise _BrokenStreamError("the stream was closed")
        self._check(response)

    def _meaning(self, error: BaseException) -> Exception:
        if isinstance(error, grpc.aio.AioRpcError) and error.code() in PERMANENT:
            return self._refusal(error.code().value[0], error.details() or error.code().name)
        return _BrokenStreamError(f"{type(error).__name__}: {str(error)[:200]}")

    def _check(self, response: Any) -> None:
        if response.row_errors:
            first = response.row_errors[0]
            raise RowRejectedError(self._table.path, first.message, first.index)
        if response.error.code in {3, NOT_FOUND, 11}:  # INVALID_ARGUMENT, OUT_OF_RANGE
            raise self._refusal(response.error.code, response.error.message)
        if response.error.code:
            raise _BrokenStreamError(response.error.message)

    def _refusal(self, code: int, message: str) -> WarehouseError:
        """A table that is missing or older than its declaration refuses every row."""
        if code == NOT_FOUND or any(text in message for text in OUTDATED):
            return UnavailableError(
                f"appending to {self._table.path}",
                f"{message}: bring the tables up to date (POST /api/v1/admin/bootstrap)",
            )
        return RowRejectedError(self._table.path, message)

    def _request(self, batch: pa.RecordBatch, *, with_schema: bool) -> types.AppendRowsRequest:
        data = types.AppendRowsRequest.ArrowData(
            rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
        )
        if with_schema:
            data.writer_schema = types.ArrowSchema(
                serialized_schema=self._schema.serialize().to_pybytes()
            )
        return types.AppendRowsRequest(write_stream=self._name, arrow_rows=data)

    async def close(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()


class _BrokenStreamError(Exception):
    """The connection failed; what it carried may not have been written."""


def _transport(endpoint: str) -> BigQueryWriteGrpcAsyncIOTransport:
    options = [("grpc.max_receive_message_length", MAX_MESSAGE)]
    if not endpoint:
        return BigQueryWriteGrpcAsyncIOTransport()
    channel = grpc.aio.insecure_channel(endpoint, options=options)
    return BigQueryWriteGrpcAsyncIOTransport(channel=channel)

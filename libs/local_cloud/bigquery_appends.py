"""Replaces AppendRows of the Storage Write API.

bqemulator keeps a thread for every open connection and stops answering when a
handful is open; it forgets the stream that a connection is for, loses the
fields of records, passes over columns that the table does not have, and ends
the connection where BigQuery reports a row.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import duckdb
import grpc
import pyarrow as pa
from bqemulator.grpc_api import write_servicer
from bqemulator.storage.arrow_bridge import _coerce_to_arrow_value
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.streaming.arrow_deserializer import deserialize_arrow_rows
from bqemulator.streaming.proto_deserializer import ProtoRowDecoder
from google.cloud.bigquery_storage_v1 import types
from google.protobuf.message import DecodeError

from libs.local_cloud.bigquery_columns import arrow_schema, fields_of
from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_writes import append
from libs.local_cloud.faults import Faults

WRITERS = 8
Request = types.AppendRowsRequest.pb()
Response = types.AppendRowsResponse.pb()
INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNFIT = (pa.ArrowException, duckdb.Error, ValueError, TypeError, OverflowError, DecodeError)
"""How decoding and DuckDB say that rows do not fit."""


class RejectedError(Exception):
    """An append that the table cannot take; none of its rows is written."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.message, self.row = message, row


@dataclass(slots=True)
class _Connection:
    """What one connection has said so far: the stream, and the shape of its rows."""

    stream: Any
    decoder: ProtoRowDecoder | None = None
    arrow: bytes = b""
    checked: set[str] = field(default_factory=set)


def mend(faults: Faults) -> None:
    writers = ThreadPoolExecutor(WRITERS, "bigquery-append")

    class Handler(write_servicer.BigQueryWriteHandler):
        async def _handle_append_rows(  # type: ignore[override]  # the same, for grpc.aio
            self, requests: AsyncIterator[bytes], context: Any
        ) -> AsyncIterator[bytes]:
            connection: _Connection | None = None
            loop = asyncio.get_running_loop()
            async for data in requests:
                await faults.delay()
                request = Request.FromString(data)
                if connection is None or request.write_stream not in {"", connection.stream.name}:
                    stream = self._resolve_append_stream(request.write_stream, context)
                    if stream is None:
                        await context.abort(context.code(), context.details())
                    connection = _Connection(stream)
                answer = await loop.run_in_executor(
                    writers, _answer, self, connection, request, len(data)
                )
                yield answer.SerializeToString()

        def _flush_to_target(self, stream: Any, rows: pa.Table) -> None:
            _insert(self._ctx, stream, rows)

    replace(write_servicer, "BigQueryWriteHandler", Handler)


def _answer(handler: Any, connection: _Connection, request: Any, size: int) -> Any:
    stream, largest = connection.stream, handler._ctx.settings.write_api_max_request_bytes  # noqa: SLF001
    try:
        _check_size(size, largest)
        rows = _rows(handler._ctx, connection, request)  # noqa: SLF001
        offset = request.offset.value if request.HasField("offset") else None
        most = handler._ctx.settings.write_api_max_stream_rows  # noqa: SLF001
        found = handler._perform_append(stream, rows, offset, most)  # noqa: SLF001
        return Response.FromString(found)
    except RejectedError as error:
        return _rejected(stream.name, error)
    except UNFIT as error:
        return _rejected(stream.name, RejectedError(str(error)))


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        raise RejectedError(f"An append of {size} bytes is over the limit of {largest}")


def _rejected(stream: str, error: RejectedError) -> Any:
    answer = Response(write_stream=stream)
    answer.error.code, answer.error.message = INVALID.value[0], error.message
    if error.row is not None:
        answer.row_errors.add(index=error.row, code=1, message=error.message)
    return answer


def _rows(ctx: Any, connection: _Connection, request: Any) -> pa.Table:
    stream = connection.stream
    known = ctx.catalog.get_table(stream.project_id, stream.dataset_id, stream.table_id)
    if known is None:
        raise RejectedError(f"Requested entity was not found. Entity: {stream.name}")
    schema = arrow_schema(fields_of(known))
    if request.HasField("arrow_rows"):
        return _fitted(_arrow_rows(connection, request.arrow_rows), schema)
    if request.HasField("proto_rows"):
        return _checked(_proto_rows(connection, request.proto_rows, schema))
    return schema.empty_table()


def _arrow_rows(connection: _Connection, data: Any) -> pa.Table:
    if data.HasField("writer_schema"):
        connection.arrow = data.writer_schema.serialized_schema
    if not connection.arrow:
        raise RejectedError("The first request of a connection must carry a writer schema")
    return deserialize_arrow_rows(connection.arrow, data.rows.serialized_record_batch)


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows in the table's columns; a column that is missing is null."""
    _refuse_unknown(rows.schema.names, schema)
    have = {name.lower(): name for name in rows.schema.names}
    columns = []
    for column in schema:
        if column.name.lower() not in have:
            columns.append(pa.nulls(rows.num_rows, column.type))
            continue
        found = rows.column(have[column.name.lower()])
        if _family(found.type) != _family(column.type):
            raise RejectedError(
                f"Field {column.name} has type {found.type}; the table has {column.type}"
            )
        columns.append(found.cast(column.type))
    return _checked(pa.table(columns, schema=schema))


def _family(type_: pa.DataType) -> str:
    """Arrow casts between these freely, and BigQuery takes one for another."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list of {_family(type_.value_type)}"
    tests = {
        "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        "text": (pa.types.is_string, pa.types.is_large_string),
        "bytes": (pa.types.is_binary, pa.types.is_large_binary),
        "moment": (pa.types.is_timestamp,),
        "record": (pa.types.is_struct,),
    }
    found = (name for name, checks in tests.items() if any(check(type_) for check in checks))
    return next(found, str(type_))


def _proto_rows(connection: _Connection, data: Any, schema: pa.Schema) -> pa.Table:
    if data.HasField("writer_schema"):
        connection.decoder = ProtoRowDecoder(data.writer_schema.proto_descriptor)
    decoder = connection.decoder
    if decoder is None:
        raise RejectedError("The first request of a connection must carry a writer schema")
    _refuse_unknown(decoder.field_names, schema)
    own = {name.lower(): name for name in decoder.field_names}
    decoded = [decoder.decode(row) for row in data.rows.serialized_rows]
    return pa.table(
        [_proto_column(decoded, own.get(c.name.lower()), c) for c in schema], schema=schema
    )


def _proto_column(rows: list[dict[str, Any]], name: str | None, column: pa.Field) -> pa.Array:
    if name is None:
        return pa.nulls(len(rows), column.type)
    values = [_coerce_to_arrow_value(row[name], column.type, field=column) for row in rows]
    try:
        return pa.array(values, column.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise RejectedError(f"Field {column.name}: {error}") from error


def _refuse_unknown(names: Sequence[str], schema: pa.Schema) -> None:
    known = {name.lower() for name in schema.names}
    extra = [name for name in names if name.lower() not in known]
    if extra:
        raise RejectedError(
            f"Input schema has more fields than BigQuery schema, extra fields: '{','.join(extra)}'"
        )


def _checked(rows: pa.Table) -> pa.Table:
    for column in rows.schema:
        if not column.nullable and rows.column(column.name).null_count:
            index = rows.column(column.name).is_null().index(pa.scalar(value=True)).as_py()
            raise RejectedError(f"Missing required field: {column.name}", index)
    return rows


def _insert(ctx: Any, stream: Any, rows: pa.Table) -> None:
    """Committed when this returns, so what is acknowledged survives the process."""
    path = quoted_table_ref(stream.project_id, stream.dataset_id, stream.table_id)
    append(ctx.engine, path, rows)

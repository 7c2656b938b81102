"""Rows of a declared table as Arrow, the cheapest form that Storage Write takes."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from libs.warehouse.errors import RowRejectedError
from libs.warehouse.schema import Column, Table

MAX_BYTES = 8 << 20  # an append may carry 10 MB; leave room for its envelope

UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)
_TYPES: dict[str, pa.DataType] = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATE": pa.date32(),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
    "JSON": pa.string(),
    "BYTES": pa.binary(),
}


def arrow_schema(table: Table) -> pa.Schema:
    return pa.schema([_field(column) for column in table.columns])


def _field(column: Column) -> pa.Field:
    type_ = _TYPES[column.type]
    if column.mode == "REPEATED":
        return pa.field(column.name, pa.list_(type_))
    return pa.field(column.name, type_, nullable=column.mode != "REQUIRED")


def batches(
    table: Table, schema: pa.Schema, rows: Sequence[Mapping[str, object]]
) -> Iterator[pa.RecordBatch]:
    """Encode rows in batches that fit an append; raises `RowRejectedError`."""
    for index, row in enumerate(rows):
        _check(table, index, row)
    try:
        whole = pa.RecordBatch.from_pylist(list(rows), schema=schema)
    except UNFIT:
        raise _unfit(table, schema, rows) from None
    yield from _split(whole)


def _unfit(
    table: Table, schema: pa.Schema, rows: Sequence[Mapping[str, object]]
) -> RowRejectedError:
    """Say which column of which row, and nothing of its value."""
    for index, row in enumerate(rows):
        for field in schema:
            try:
                pa.array([row.get(field.name)], field.type)
            except UNFIT as error:
                reason = f"{field.name} does not fit {field.type}: {type(error).__name__}"
                return RowRejectedError(table.path, reason, index)
    return RowRejectedError(table.path, "it does not fit its columns")


def _check(table: Table, index: int, row: Mapping[str, object]) -> None:
    known = {column.name for column in table.columns}
    for name in row:
        if name not in known:
            raise RowRejectedError(table.path, f"it has no column {name}", index)
    for column in table.columns:
        if column.mode == "REQUIRED" and row.get(column.name) is None:
            raise RowRejectedError(table.path, f"{column.name} is required", index)


def _split(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows == 0:
        return
    if batch.nbytes <= MAX_BYTES or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    # A slice shares its parent's buffers and would be sized and sent as the whole.
    yield from _split(_copy(batch.slice(0, half)))
    yield from _split(_copy(batch.slice(half)))


def _copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array(range(batch.num_rows)))

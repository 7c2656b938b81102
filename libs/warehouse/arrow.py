"""Rows of a declared table as Arrow, the cheapest form that Storage Write takes."""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc

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
    values = zip(*_in_order(table, schema.names, rows), strict=True)
    try:
        columns = [pa.array(v, f.type) for v, f in zip(values, schema, strict=bool(rows))]
    except UNFIT:
        raise _unfit(table, schema, rows) from None
    for field, column in zip(schema, columns, strict=bool(rows)):
        if column.null_count and not field.nullable:
            index = pc.index(column.is_null(), value=True).as_py()
            raise RowRejectedError(table.path, f"{field.name} is required", index)
    if rows:
        yield from _split(pa.RecordBatch.from_arrays(columns, schema=schema))


def _in_order(
    table: Table, names: Sequence[str], rows: Sequence[Mapping[str, object]]
) -> Iterator[tuple[object, ...]]:
    """Each row's values by column; what a row leaves out is None."""
    empty: dict[str, object] = dict.fromkeys(names)
    take = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
    for index, row in enumerate(rows):
        whole = {**empty, **row}
        if len(whole) != len(empty):
            unknown = next(name for name in row if name not in empty)
            raise RowRejectedError(table.path, f"it has no column {unknown}", index)
        yield take(whole)


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

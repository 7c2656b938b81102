"""Lines of JSON that say nothing new: Arrow reads them at once, as what those before were.

It does so where that cannot differ from reading them row by row: numbers that floats and INT64
hold, and fields and kinds of values that are known. Of all else the rows are looked at.
"""

import re
from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa
from polars.datatypes import DataTypeClass
from pyarrow import json

from services.executor.ingest.errors import MOST_COLUMNS
from services.executor.ingest.json_columns import CELLS, fields_of
from services.executor.ingest.json_rows import is_exact

_AT_ONCE = 4 << 20
"""Bytes that a thread of Arrow takes."""
_SURROGATES = (b"\\ud", b"\\uD")
_NAMED = (b"NaN", b"Inf")
_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Inf)")
"""Which Arrow takes for numbers."""
_SCALARS: dict[pl.DataType | DataTypeClass, pa.DataType] = {
    pl.Null(): pa.null(),
    pl.Boolean(): pa.bool_(),
    pl.Int64(): pa.int64(),
    pl.Float64(): pa.float64(),
    pl.String(): pa.string(),
}


class Known:
    """What rows have been by now."""

    def __init__(self) -> None:
        self._type: pa.DataType | None = pa.struct([])

    def learn(self, frame: pl.DataFrame) -> None:
        """Of rows that were looked at."""
        if self._type is not None:
            self._type = _both(self._type, _type_of(pl.Struct(frame.schema)))

    def read(self, lines: Sequence[bytes]) -> pl.DataFrame | None:
        """A row of each; none if they may say what is not known."""
        if self._type is None or not self._type.num_fields:
            return None
        fields = fields_of(self._type)
        if fields > MOST_COLUMNS or fields * len(lines) > CELLS:
            return None
        text = b"".join(lines)
        if not (_are_objects(lines) and _is_json(text) and is_exact(text)):
            return None
        try:
            found = json.read_json(
                pa.BufferReader(text),
                json.ReadOptions(block_size=_AT_ONCE + max(map(len, lines))),
                json.ParseOptions(pa.schema(self._type), unexpected_field_behavior="error"),
            )
            found.validate()  # it miscounts the values of lists that have nothing but nulls
        except pa.ArrowException:
            return None
        if found.num_rows != len(lines):
            return None
        frame = pl.from_arrow(found)
        return frame if isinstance(frame, pl.DataFrame) else None


def _are_objects(lines: Sequence[bytes]) -> bool:
    """So that none goes on in the next."""
    return all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)


def _is_json(text: bytes) -> bool:
    """As far as Arrow does not see to it."""
    if any(each in text for each in _SURROGATES):
        return False
    if any(each in text for each in _NAMED) and _NO_NUMBER.search(text):
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _type_of(dtype: pl.DataType | DataTypeClass) -> pa.DataType | None:
    """None for what Arrow does not find in JSON as it is."""
    if isinstance(dtype, pl.Struct):
        return _struct({field.name: _type_of(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.List):
        return _list(_type_of(dtype.inner))
    return _SCALARS.get(dtype)


def _struct(types: Mapping[str, pa.DataType | None]) -> pa.DataType | None:
    return None if None in types.values() else pa.struct(list(types.items()))


def _list(of: pa.DataType | None) -> pa.DataType | None:
    return None if of is None else pa.list_(of)


def _both(one: pa.DataType, other: pa.DataType | None) -> pa.DataType | None:
    """What holds values of both as they are; none if nothing does."""
    if other is None or one == other or pa.types.is_null(other):
        return None if other is None else one
    if pa.types.is_null(one) or {one, other} == {pa.int64(), pa.float64()}:
        return other if pa.types.is_null(one) else pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(other):
        return _list(_both(one.value_type, other.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        types = {field.name: field.type for field in one}
        for field in other:
            types[field.name] = _both(types.get(field.name, pa.null()), field.type)
        return _struct(types)
    return None

"""Lines of JSON that say nothing new: Arrow reads them at once, as what those before were.

It does so where that cannot differ from reading them row by row: numbers that floats and INT64
hold, and fields and kinds of values that are known. Of all else the rows are looked at.
"""

import re
from collections.abc import Sequence
from typing import cast

import polars as pl
import pyarrow as pa
from polars.datatypes import DataTypeClass
from pyarrow import json

from services.executor.ingest.json_columns import TooManyFieldsError, check_number, fields_of
from services.executor.ingest.json_rows import has_surrogates, is_exact

_AT_ONCE = 4 << 20
"""Bytes that a thread of Arrow takes."""
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
        self._schema: pa.Schema | None = pa.schema([])
        """None once nothing holds all of them as they are."""

    def learn(self, frame: pl.DataFrame) -> None:
        """Of rows that were looked at."""
        if self._schema is None:
            return
        try:
            found = pa.schema([(name, _type_of(type_)) for name, type_ in frame.schema.items()])
            self._schema = pa.unify_schemas([self._schema, found], promote_options="permissive")
        except (KeyError, pa.ArrowTypeError):
            self._schema = None

    def read(self, lines: Sequence[bytes]) -> pl.DataFrame | None:
        """A row of each; none if they may say what is not known."""
        if not self._schema:
            return None
        try:
            check_number(sum(map(fields_of, self._schema.types)), len(lines))
            text = b"".join(lines)
            if not (_are_objects(lines) and _is_json(text) and is_exact(text)):
                return None
            found = json.read_json(
                pa.BufferReader(text),
                json.ReadOptions(block_size=_AT_ONCE + max(map(len, lines))),
                json.ParseOptions(self._schema, unexpected_field_behavior="error"),
            )
            found.validate()  # it miscounts the values of lists that have nothing but nulls
        except (TooManyFieldsError, pa.ArrowException):
            return None
        return cast("pl.DataFrame", pl.from_arrow(found)) if found.num_rows == len(lines) else None


def _are_objects(lines: Sequence[bytes]) -> bool:
    """So that none goes on in the next."""
    return all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)


def _is_json(text: bytes) -> bool:
    """As far as Arrow does not see to it."""
    if has_surrogates(text) or (any(each in text for each in _NAMED) and _NO_NUMBER.search(text)):
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _type_of(dtype: pl.DataType | DataTypeClass) -> pa.DataType:
    """Raises `KeyError` for what Arrow does not find in JSON as it is."""
    if isinstance(dtype, pl.Struct):
        return pa.struct([(field.name, _type_of(field.dtype)) for field in dtype.fields])
    if isinstance(dtype, pl.List):
        return pa.list_(_type_of(dtype.inner))
    return _SCALARS[dtype]

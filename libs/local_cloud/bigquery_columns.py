"""Columns of a BigQuery schema as DuckDB and as Arrow know them.

bqemulator's own mapping makes BIGNUMERIC wider than DuckDB can be, leaves the
fields of records unquoted, and does not enforce REQUIRED.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from bqemulator.api.routes.tabledata import _bq_type_to_arrow
from bqemulator.api.routes.tables import _field_to_rest
from bqemulator.storage.type_map import bq_to_duckdb

Field = Mapping[str, Any]
"""A field as the REST interface writes it."""
RECORDS = frozenset({"RECORD", "STRUCT"})
BIGNUMERIC = "DECIMAL(38, 18)"
"""Half of what BigQuery holds: 20 digits before the point and 18 behind it."""


def fields_of(meta: Any) -> list[dict[str, Any]]:
    return [_field_to_rest(field) for field in meta.schema_.fields]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def definitions(fields: Iterable[Field]) -> str:
    """What stands between the parentheses of CREATE TABLE."""
    return ", ".join(definition(field) for field in fields)


def definition(field: Field) -> str:
    required = " NOT NULL" if field.get("mode") == "REQUIRED" else ""
    return f"{quoted(field['name'])} {column_type(field)}{required}"


def column_type(field: Field) -> str:
    kind = str(field["type"]).upper()
    if kind in RECORDS:
        inner = ", ".join(f"{quoted(f['name'])} {column_type(f)}" for f in field["fields"])
        found = f"STRUCT({inner})"
    elif kind == "RANGE":
        found = bq_to_duckdb(f"RANGE<{field['rangeElementType']['type']}>")
    else:
        found = BIGNUMERIC if kind == "BIGNUMERIC" else bq_to_duckdb(kind)
    return f"{found}[]" if field.get("mode") == "REPEATED" else found


def arrow_schema(fields: Iterable[Field]) -> pa.Schema:
    return pa.schema([_arrow_field(field) for field in fields])


def _arrow_field(field: Field) -> pa.Field:
    kind = str(field["type"]).upper()
    if kind in RECORDS:
        type_ = pa.struct([_arrow_field(f) for f in field["fields"]])
    else:
        type_ = pa.decimal128(38, 18) if kind == "BIGNUMERIC" else _bq_type_to_arrow(kind)
    if field.get("mode") == "REPEATED":
        type_ = pa.list_(type_)
    return pa.field(field["name"], type_, nullable=field.get("mode") != "REQUIRED")

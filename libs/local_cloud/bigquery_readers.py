"""How DuckDB reads the files of a load: CSV, JSON lines, Parquet."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bqemulator.domain.errors import InvalidQueryError

from libs.local_cloud.bigquery_columns import column_type, quoted

LARGEST_LINE = 100 << 20  # BigQuery's own limit for a JSON row


@dataclass(frozen=True, slots=True)
class Reader:
    """A function of DuckDB over some files."""

    function: str
    options: str
    paths: list[str]
    fields: list[dict[str, Any]]
    """The columns that are asked for; empty: as the files say."""
    is_explicit: bool  # the load itself said the columns
    refuses_unknown: bool = False

    @property
    def describes_itself(self) -> bool:
        return self.function == "read_parquet"

    @property
    def is_text(self) -> bool:
        return not self.describes_itself

    @property
    def parameters(self) -> list[Any]:
        return [self.paths]

    def sql(self, listed: str) -> str:
        return f"SELECT {listed} FROM {self.function}(?{self.options})"  # noqa: S608  quoted

    def check(self, engine: Any, fields: list[dict[str, Any]]) -> None:
        """Raise for a JSON key that no column has; DuckDB would pass over it."""
        if not self.refuses_unknown:
            return
        keys = engine.execute(
            "SELECT DISTINCT lower(unnest(json_keys(json))) "
            "FROM read_ndjson_objects(?, maximum_object_size = ?)",
            [self.paths, LARGEST_LINE],
        ).fetchall()
        known = {field["name"].lower() for field in fields}
        unknown = sorted(key for (key,) in keys if key not in known)
        if unknown:
            raise InvalidQueryError(
                f"Error while reading data, error message: No such field: {unknown[0]}."
            )


def check_decimals(paths: Iterable[str]) -> None:
    """Raise for what DuckDB would make other numbers of."""
    for path in paths:
        for field in pq.read_schema(path):
            if pa.types.is_decimal256(field.type):
                raise InvalidQueryError(
                    f"Error while reading data, error message: {field.name} is {field.type}, and"
                    " the local BigQuery has room for 38 digits, of which 20 before the point"
                )


def reader_of(config: dict[str, Any], paths: list[str], known: list[dict[str, Any]]) -> Reader:
    explicit = (config.get("schema") or {}).get("fields") or []
    guess = bool(config.get("autodetect")) and not known
    fields = explicit or ([] if guess else known)
    format_ = str(config.get("sourceFormat") or "CSV").upper()
    if format_ == "CSV":
        return Reader("read_csv", _csv(config, fields), paths, fields, bool(explicit))
    if format_ in {"NEWLINE_DELIMITED_JSON", "JSON"}:
        strict = bool(fields) and not config.get("ignoreUnknownValues")
        return Reader("read_json", _json(config, fields), paths, fields, bool(explicit), strict)
    if format_ == "PARQUET":
        return Reader("read_parquet", ", union_by_name = true", paths, explicit, bool(explicit))
    raise InvalidQueryError(f"Unknown source format: {format_}")


def _csv(config: dict[str, Any], fields: list[dict[str, Any]]) -> str:
    options = {
        "delim": _text(config.get("fieldDelimiter") or ","),
        "quote": _text(config.get("quote", '"')),
        "nullstr": _text(config.get("nullMarker") or ""),
        "null_padding": _flag(config.get("allowJaggedRows")),
        "ignore_errors": _flag(config.get("maxBadRecords")),
    }
    if fields:
        skipped = int(config.get("skipLeadingRows") or 0)
        options |= {"auto_detect": "false", "header": "false", "skip": str(skipped)}
        options["columns"] = _columns(fields)
        # Columns of arrays and records have no form in CSV; BigQuery refuses them as well.
    return _options(options)


def _json(config: dict[str, Any], fields: list[dict[str, Any]]) -> str:
    options = {
        "format": "'newline_delimited'",
        "maximum_object_size": str(LARGEST_LINE),
        "ignore_errors": _flag(config.get("maxBadRecords")),
    }
    if fields:
        options["columns"] = _columns(fields)
    return _options(options)


def _columns(fields: list[dict[str, Any]]) -> str:
    types = ((f["name"], "VARCHAR" if f["type"] == "BYTES" else column_type(f)) for f in fields)
    return "{" + ", ".join(f"{quoted(name)}: {_text(type_)}" for name, type_ in types) + "}"


def _options(options: dict[str, str]) -> str:
    return "".join(f", {name} = {value}" for name, value in options.items())


def _flag(value: Any) -> str:
    return "true" if value else "false"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

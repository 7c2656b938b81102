"""Replaces load jobs.

bqemulator takes Parquet columns by position, ignores how CSV is written, reads no
`gs://`, and leaves half a load behind when the other half fails.
"""

from pathlib import Path
from typing import Any

import duckdb
from bqemulator.api.routes import upload
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import DomainError, InvalidQueryError, ValidationError
from bqemulator.jobs.executor import build_response_schema

from libs.local_cloud.bigquery_columns import Field, column_type, fields_of, quoted
from libs.local_cloud.bigquery_destinations import Destination, destination_of, prepare
from libs.local_cloud.bigquery_history import describe, error_result, record
from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_readers import Reader, check_decimals, reader_of
from libs.local_cloud.bigquery_runs import Run
from libs.local_cloud.bigquery_sessions import forget_stop
from libs.local_cloud.bigquery_sources import local_files
from libs.local_cloud.bigquery_tables import unchanged_on_error
from libs.local_cloud.bigquery_writes import exclusive


def mend() -> None:
    replace(upload, "_is_permitted_media_type", lambda _: True)  # Google's client sends */*


def run_load(run: Run, ctx: Any) -> JobMeta:
    """Load in this worker thread, all or nothing; the job is recorded when this returns."""
    try:
        with local_files(run.configuration["load"].get("sourceUris") or []) as paths:
            return _load(run, ctx, paths)
    except (DomainError, duckdb.Error) as error:
        forget_stop()
        return record(ctx, describe(run, {}, _load_error(run, error)))


def _load_error(run: Run, error: BaseException) -> dict[str, Any]:
    if run.stop_reason:
        return {"reason": "stopped", "message": run.stop_reason}
    if isinstance(error, DomainError):
        return error_result(error)
    return {"reason": "invalid", "message": f"Error while reading data, error message: {error}"}


def _load(run: Run, ctx: Any, paths: list[str]) -> JobMeta:
    config = run.configuration["load"]
    wanted = destination_of(config, run.key[0], "WRITE_APPEND")
    if not paths:
        raise InvalidQueryError("A load needs a source: sourceUris is empty")
    known = ctx.catalog.get_table(*wanted.table)
    reader = reader_of(config, paths, fields_of(known) if known else [])
    if reader.describes_itself:
        check_decimals(paths)
    with unchanged_on_error(ctx, wanted.table), exclusive(ctx.engine.connection):
        fields = _fields(ctx, reader, known, wanted)
        prepare(ctx, wanted, fields)
        rows = _insert(ctx, wanted, reader, fields)
        return record(ctx, describe(run, _statistics(paths, rows)))


def _fields(ctx: Any, reader: Reader, known: Any, wanted: Destination) -> list[dict[str, Any]]:
    """The columns of the load: as it says, or as the table has them, or as the files do."""
    if reader.fields and (reader.is_explicit or not reader.describes_itself):
        return reader.fields
    empty = ctx.engine.fetch_arrow(f"{reader.sql('*')} LIMIT 0", reader.parameters)
    found = [_field(field, reader) for field in build_response_schema(empty.schema)]
    have = {f["name"].lower(): f for f in fields_of(known)} if known else {}
    if known and {f["name"].lower() for f in found} <= set(have):
        present = [have[f["name"].lower()] for f in found]
        is_emptied = wanted.disposition == "WRITE_TRUNCATE" and not wanted.partition
        return fields_of(known) if is_emptied else present
    return [have.get(f["name"].lower(), f) for f in found]


def _field(field: dict[str, Any], reader: Reader) -> dict[str, Any]:
    """In text, a time that names no zone is in UTC."""
    is_utc = reader.is_text and field["type"] == "DATETIME"
    return {**field, "type": "TIMESTAMP"} if is_utc else field


def _insert(ctx: Any, wanted: Destination, reader: Reader, fields: list[dict[str, Any]]) -> int:
    reader.check(ctx.engine, fields)
    listed = ", ".join(_value(field, reader) for field in fields)
    found = ctx.engine.execute(
        f"INSERT INTO {wanted.path} BY NAME {reader.sql(listed)}",
        reader.parameters,
    ).fetchone()
    return int(found[0])


def _value(field: Field, reader: Reader) -> str:
    name = quoted(field["name"])
    if field["type"] == "BYTES" and reader.is_text:
        return f"from_base64({name}) AS {name}"
    return f"CAST({name} AS {column_type(field)}) AS {name}" if reader.describes_itself else name


def _statistics(paths: list[str], rows: int) -> dict[str, Any]:
    size = sum(Path(path).stat().st_size for path in paths)
    load = {"inputFiles": len(paths), "inputFileBytes": size, "outputRows": rows, "badRecords": 0}
    return {"load": {**{key: str(value) for key, value in load.items()}, "outputBytes": str(size)}}


def uploaded(configuration: dict[str, Any], path: str) -> dict[str, Any]:
    """The job of a file that was sent along with its configuration."""
    if "load" not in configuration:
        raise ValidationError("An upload belongs to a load job")
    return {**configuration, "load": {**configuration["load"], "sourceUris": [f"file://{path}"]}}

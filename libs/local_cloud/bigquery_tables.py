"""What the catalogue knows of tables, kept beside what DuckDB knows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bqemulator.api.routes import tables
from bqemulator.domain.errors import InvalidQueryError, ValidationError
from bqemulator.storage.sql_identifiers import quoted_table_ref

from libs.local_cloud.bigquery_columns import column_type, definition, fields_of, quoted

TableName = tuple[str, str, str]
"""(project, dataset, table)."""
Fields = Sequence[dict[str, Any]]


def keep_table(ctx: Any, table: TableName, fields: Fields, given: dict[str, Any]) -> Any:
    """Tell the catalogue of a table that now exists in DuckDB, new or in a new shape."""
    project, dataset, name = table
    known = ctx.catalog.get_table(*table)
    body = {"tableReference": {"tableId": name}, "schema": {"fields": list(fields)}, **given}
    meta = table_of(project, dataset, body, ctx.clock, known)
    return (ctx.catalog.create_table if known is None else ctx.catalog.update_table)(meta)


def table_of(project: str, dataset: str, body: dict[str, Any], clock: Any, known: Any) -> Any:
    """Bqemulator overlooks a partition filter that is required of the table as a whole."""
    layout = body.get("timePartitioning") or (
        tables._time_partitioning_to_rest(known.time_partitioning)  # noqa: SLF001
        if known is not None and known.time_partitioning
        else None
    )
    if layout is not None and body.get("requirePartitionFilter") is not None:
        required = bool(body["requirePartitionFilter"])
        body = {**body, "timePartitioning": {**layout, "requirePartitionFilter": required}}
    return tables._rest_to_table_meta(project, dataset, body, clock, known)  # noqa: SLF001


@contextmanager
def unchanged_on_error(ctx: Any, table: TableName) -> Iterator[None]:
    """Its DuckDB transaction is rolled back by others; this puts the cached entry back."""
    before = ctx.catalog.get_table(*table)
    try:
        yield
    except BaseException:
        cached = getattr(ctx.catalog, "_cache", ctx.catalog)._tables  # noqa: SLF001
        cached.pop(table, None)
        if before is not None:
            cached[table] = before
        raise


def add_columns(ctx: Any, table: TableName, fields: Fields) -> None:
    known = ctx.catalog.get_table(*table)
    _add_in_engine(ctx, table, fields)
    keep_table(ctx, table, [*fields_of(known), *fields], {})


def _add_in_engine(ctx: Any, table: TableName, fields: Fields) -> None:
    for field in fields:
        if field.get("mode") == "REQUIRED":
            raise ValidationError(f"Cannot add required column {field['name']} to an old table")
        ctx.engine.execute(f"ALTER TABLE {quoted_table_ref(*table)} ADD COLUMN {definition(field)}")


def change_columns(ctx: Any, table: TableName, wanted: Fields) -> None:
    """Do what BigQuery allows in place: add columns, and no longer require one."""
    have = {f["name"].lower(): f for f in fields_of(ctx.catalog.get_table(*table))}
    names = {field["name"].lower() for field in wanted}
    for name, old in have.items():
        if name not in names:
            raise InvalidQueryError(
                f"Provided Schema does not match Table {'.'.join(table)}. "
                f"Field {old['name']} is missing in new schema"
            )
    for field in wanted:
        if field["name"].lower() in have:
            _relax(ctx, table, have[field["name"].lower()], field)
    _add_in_engine(ctx, table, [f for f in wanted if f["name"].lower() not in have])


def _relax(ctx: Any, table: TableName, old: dict[str, Any], new: dict[str, Any]) -> None:
    path, name = quoted_table_ref(*table), old["name"]
    required = (old.get("mode") == "REQUIRED", new.get("mode") == "REQUIRED")
    if required == (False, True) or column_type(old) != column_type(new):
        raise InvalidQueryError(
            f"Provided Schema does not match Table {'.'.join(table)}. "
            f"Field {name} has changed from {definition(old)} to {definition(new)}"
        )
    if required == (True, False):
        ctx.engine.execute(f"ALTER TABLE {path} ALTER COLUMN {quoted(name)} DROP NOT NULL")


def partition_predicate(meta: Any, suffix: str) -> str:
    """The rows of `table$suffix`: a year, month, day or hour, by its number of digits."""
    if not suffix.isdecimal():
        raise ValidationError(f"Invalid partition decorator: {suffix}")
    by = meta.time_partitioning.field if meta and meta.time_partitioning else None
    if by is None:
        raise ValidationError(f"Table {meta.table_id} is not partitioned by a column")
    return f"strftime(CAST({quoted(by)} AS TIMESTAMP), '%Y%m%d%H') LIKE '{suffix}%'"

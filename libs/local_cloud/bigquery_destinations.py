"""Adds destination tables, which bqemulator accepts and never writes."""

from dataclasses import dataclass
from typing import Any

from bqemulator.domain.errors import (
    AlreadyExistsError,
    InvalidQueryError,
    NotFoundError,
    ValidationError,
)
from bqemulator.storage.sql_identifiers import quoted_table_ref

from libs.local_cloud.bigquery_bytes import count
from libs.local_cloud.bigquery_columns import definition, definitions, fields_of
from libs.local_cloud.bigquery_sessions import SPOOLED
from libs.local_cloud.bigquery_tables import (
    Fields,
    TableName,
    add_columns,
    keep_table,
    partition_predicate,
)

LAYOUT = ("timePartitioning", "rangePartitioning", "clustering")
NUMBERS = frozenset({"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"})
NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the rows of a query or load go, and how."""

    table: TableName
    partition: str  # the part behind `$`, or nothing
    disposition: str
    may_create: bool
    may_add_columns: bool
    layout: dict[str, Any]

    @property
    def path(self) -> str:
        return quoted_table_ref(*self.table)

    @property
    def label(self) -> str:
        project, dataset, table = self.table
        return f"{project}:{dataset}.{table}"


def destination_of(config: dict[str, Any], project: str, disposition: str) -> Destination:
    target = config["destinationTable"]
    table, _, partition = target["tableId"].partition("$")
    return Destination(
        table=(target.get("projectId") or project, target["datasetId"], table),
        partition=partition,
        disposition=config.get("writeDisposition") or disposition,
        may_create=config.get("createDisposition") != "CREATE_NEVER",
        may_add_columns="ALLOW_FIELD_ADDITION" in (config.get("schemaUpdateOptions") or ()),
        layout={key: config[key] for key in LAYOUT if key in config},
    )


def prepare(ctx: Any, wanted: Destination, fields: Fields) -> None:
    """Make the table ready to take rows of these columns.

    To be called inside a transaction, which then inserts the rows.
    """
    project, dataset, _ = wanted.table
    if ctx.catalog.get_dataset(project, dataset) is None:
        raise NotFoundError(f"Not found: Dataset {project}:{dataset} was not found in location US")
    known = ctx.catalog.get_table(*wanted.table)
    if known is None:
        _create(ctx, wanted, fields)
    elif known.view_query:
        raise ValidationError(f"{wanted.label} is a view; it takes no rows")
    elif wanted.disposition == "WRITE_TRUNCATE" and not wanted.partition:
        _replace(ctx, wanted, fields)
    else:
        _extend(ctx, wanted, known, fields)


def _create(ctx: Any, wanted: Destination, fields: Fields) -> None:
    if not wanted.may_create:
        raise NotFoundError(f"Not found: Table {wanted.label}")
    ctx.engine.execute(f"CREATE TABLE {wanted.path} ({definitions(fields)})")
    keep_table(ctx, wanted.table, fields, wanted.layout)


def _replace(ctx: Any, wanted: Destination, fields: Fields) -> None:
    """Truncating replaces the columns too; labels, description and layout stay."""
    ctx.engine.execute(f"CREATE OR REPLACE TABLE {wanted.path} ({definitions(fields)})")
    keep_table(ctx, wanted.table, fields, wanted.layout)


def _extend(ctx: Any, wanted: Destination, known: Any, fields: Fields) -> None:
    where = partition_predicate(known, wanted.partition) if wanted.partition else ""
    if wanted.disposition == "WRITE_EMPTY" and count(ctx, wanted.path, where):
        raise AlreadyExistsError(f"Already Exists: Table {wanted.label}")
    have = {field["name"].lower(): field for field in fields_of(known)}
    added = [field for field in fields if field["name"].lower() not in have]
    if added and not wanted.may_add_columns:
        name = added[0]["name"]
        raise InvalidQueryError(f"Invalid schema update. Cannot add fields (field: {name})")
    for field in fields:
        _check_type(have.get(field["name"].lower()), field)
    if added:
        add_columns(ctx, wanted.table, [{**f, "mode": _optional(f)} for f in added])
    if wanted.disposition == "WRITE_TRUNCATE":
        ctx.engine.execute(f"DELETE FROM {wanted.path} WHERE {where}")  # noqa: S608  quoted


def _optional(field: dict[str, Any]) -> str:
    return "REPEATED" if field.get("mode") == "REPEATED" else "NULLABLE"


def _check_type(known: dict[str, Any] | None, found: dict[str, Any]) -> None:
    if known is None or {_kind(known), _kind(found)} <= NUMBERS:
        return
    if _kind(known) != _kind(found) or _optional(known) != _optional(found):
        raise InvalidQueryError(
            f"Invalid schema update. Field {found['name']} has changed type from "
            f"{definition(known)} to {definition(found)}"
        )


def _kind(field: dict[str, Any]) -> str:
    kind = str(field["type"]).upper()
    return NAMES.get(kind, kind)


def insert_spooled(ctx: Any, wanted: Destination) -> None:
    ctx.engine.execute(
        f"INSERT INTO {wanted.path} BY NAME SELECT * FROM {SPOOLED}"  # noqa: S608  quoted
    )

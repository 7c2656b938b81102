"""Making a warehouse match what is declared: create, add, widen, never take away."""

from collections.abc import Iterable

from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from contracts.platform import ObjectAction
from libs.warehouse.errors import (
    ForeignDatasetError,
    MissingObjectError,
    SchemaConflictError,
)
from libs.warehouse.schema import WIDENED, Column, Dataset, Found, Object, Table, View

# Names under which the REST interface gives the same types back.
SAME = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
DEADLINE = 30.0
# Google's own would go on for ten minutes: what is away is for the caller to wait for.
RETRY = DEFAULT_RETRY.with_timeout(5.0)
TRIES = 20
"""Of those that extend a table at the same time, one succeeds with each."""


def ensure(client: bigquery.Client, wanted: Object, location: str) -> ObjectAction:
    """Create or extend one object. Repeatable, and safe beside others doing the same."""
    match wanted:
        case Dataset():
            return _ensure_dataset(client, wanted, location)
        case Table():
            return _ensure_table(client, wanted)
        case View():
            try:
                return _ensure_view(client, wanted)
            except (NotFound, BadRequest) as error:
                raise MissingObjectError(wanted.path, error.message) from error


def _ensure_dataset(client: bigquery.Client, wanted: Dataset, location: str) -> ObjectAction:
    dataset = bigquery.Dataset(f"{client.project}.{wanted.name}")
    dataset.location = location
    dataset.description = wanted.description or None
    dataset.labels = dict(wanted.labels)
    try:
        client.create_dataset(dataset, retry=RETRY, timeout=DEADLINE)
    except Conflict:
        _check_ours(client, wanted)
        return ObjectAction.UNCHANGED
    return ObjectAction.CREATED


def drop_dataset(client: bigquery.Client, unwanted: Dataset, *, only_if_empty: bool) -> None:
    try:
        _check_ours(client, unwanted)
        client.delete_dataset(
            f"{client.project}.{unwanted.name}",
            delete_contents=not only_if_empty,
            retry=RETRY,
            timeout=DEADLINE,
        )
    except NotFound:
        return
    except BadRequest:
        if not only_if_empty:
            raise  # otherwise it says that there is something in it


def _check_ours(client: bigquery.Client, wanted: Dataset) -> None:
    if not wanted.owned:
        return
    name = f"{client.project}.{wanted.name}"
    found = client.get_dataset(name, retry=RETRY, timeout=DEADLINE)
    if not wanted.labels.items() <= found.labels.items():
        raise ForeignDatasetError(wanted.name)


# Who finds the table changed since it was looked at looks again.
@retry(
    retry=retry_if_exception_type(PreconditionFailed), stop=stop_after_attempt(TRIES), reraise=True
)
def _ensure_table(client: bigquery.Client, wanted: Table) -> ObjectAction:
    name = f"{client.project}.{wanted.path}"
    try:
        found = client.get_table(name, retry=RETRY, timeout=DEADLINE)
    except NotFound:
        try:
            client.create_table(_new_table(name, wanted), retry=RETRY, timeout=DEADLINE)
        except Conflict:
            found = client.get_table(name, retry=RETRY, timeout=DEADLINE)
        else:
            return ObjectAction.CREATED
    return _extend(client, found, wanted)


def _new_table(name: str, wanted: Table) -> bigquery.Table:
    table = bigquery.Table(name, schema=[field_of(column) for column in wanted.columns])
    table.description = wanted.description or None
    if wanted.partition_by:
        table.time_partitioning = bigquery.TimePartitioning(field=wanted.partition_by)
    if wanted.cluster_by:
        table.clustering_fields = list(wanted.cluster_by)
    return table


def _extend(client: bigquery.Client, found: bigquery.Table, wanted: Table) -> ObjectAction:
    known = {field.name: field for field in found.schema}
    narrow = [c for c in wanted.columns if c.name in known and _is_narrow(c, known[c.name])]
    for column in wanted.columns:
        if column.name in known and column not in narrow:
            _check_same(wanted, column, known[column.name])
    missing = [column for column in wanted.columns if column.name not in known]
    if narrow:
        _widen(client, wanted, narrow)
        found = client.get_table(found.reference, retry=RETRY, timeout=DEADLINE)
    if not missing:
        return ObjectAction.MIGRATED if narrow else ObjectAction.UNCHANGED
    for column in missing:
        if column.mode == "REQUIRED":
            raise SchemaConflictError(wanted.path, column.name, "REQUIRED", "absent")
    found.schema = [*found.schema, *(field_of(column) for column in missing)]
    client.update_table(found, ["schema"], retry=RETRY, timeout=DEADLINE)
    return ObjectAction.MIGRATED


def _is_narrow(column: Column, found: bigquery.SchemaField) -> bool:
    there = found_of(found)
    return column.type == WIDENED.get(there.type) and there.mode == column.mode


def _widen(client: bigquery.Client, wanted: Table, columns: Iterable[Column]) -> None:
    """BigQuery has no other way to do it than SQL."""
    changes = ", ".join(f"ALTER COLUMN `{c.name}` SET DATA TYPE {c.type}" for c in columns)
    sql = f"ALTER TABLE `{client.project}.{wanted.path}` {changes}"
    client.query_and_wait(sql, retry=RETRY, api_timeout=DEADLINE)


def _check_same(wanted: Table, column: Column, found: bigquery.SchemaField) -> None:
    there = found_of(found)
    modes = {there.mode, column.mode}
    if there.type != column.type or (len(modes) > 1 and "REPEATED" in modes):
        raise SchemaConflictError(
            wanted.path, column.name, f"{column.mode} {column.type}", f"{there.mode} {there.type}"
        )


def _ensure_view(client: bigquery.Client, wanted: View) -> ObjectAction:
    name = f"{client.project}.{wanted.path}"
    view = bigquery.Table(name)
    view.view_query = wanted.query.replace("{project}", client.project)
    view.description = wanted.description or None
    try:
        found = client.get_table(name, retry=RETRY, timeout=DEADLINE)
    except NotFound:
        try:
            client.create_table(view, retry=RETRY, timeout=DEADLINE)
        except Conflict:
            return ObjectAction.UNCHANGED
        return ObjectAction.CREATED
    if found.view_query == view.view_query:
        return ObjectAction.UNCHANGED
    client.update_table(view, ["view_query", "description"], retry=RETRY, timeout=DEADLINE)
    return ObjectAction.MIGRATED


def made_like(client: bigquery.Client, source: str, target: str) -> bool:
    """Whether the source is older than the target, which is made if it is not there."""
    found = client.get_table(f"{client.project}.{source}", retry=RETRY, timeout=DEADLINE)
    wanted = bigquery.Table(f"{client.project}.{target}", schema=found.schema)
    wanted.time_partitioning = found.time_partitioning
    wanted.clustering_fields = found.clustering_fields
    made = client.create_table(wanted, exists_ok=True, retry=RETRY, timeout=DEADLINE)
    return bool(found.created and made.created and found.created <= made.created)


def found_of(field: bigquery.SchemaField) -> Found:
    type_ = SAME.get(field.field_type, field.field_type)
    return Found(field.name, type_, field.mode or "NULLABLE")


def field_of(column: Column) -> bigquery.SchemaField:
    return bigquery.SchemaField(
        column.name, column.type, mode=column.mode, description=column.description
    )

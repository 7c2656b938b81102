"""Mends the REST resources of datasets and tables.

bqemulator creates tables in datasets that do not exist, changes a schema in its
catalogue only, gives views no columns, counts rows it was told of and not those
that are there, ignores If-Match, and reports a dataset in use as not found.
"""

from typing import Any

from bqemulator.api.routes import datasets, tables
from bqemulator.domain.errors import (
    DomainError,
    ResourceInUseError,
    ResourceRef,
    resource_already_exists,
    resource_not_found,
)
from bqemulator.storage.sql_identifiers import quoted_table_ref
from fastapi import Request, Response

from libs.local_cloud.bigquery_bytes import count, stored_bytes
from libs.local_cloud.bigquery_columns import definitions
from libs.local_cloud.bigquery_dry_runs import columns_of
from libs.local_cloud.bigquery_mending import replace, replace_route
from libs.local_cloud.bigquery_tables import TableName, change_columns, keep_table, table_of


class PreconditionFailedError(DomainError):
    http_status = 412
    bq_reason = "conditionNotMet"
    grpc_status_name = "FAILED_PRECONDITION"


def mend() -> None:
    replace_route(tables.router, "insert_table", _insert_table)
    replace_route(tables.router, "get_table", _get_table)
    replace_route(tables.router, "patch_table", _change_table)
    replace_route(tables.router, "update_table", _change_table)
    replace_route(tables.router, "delete_table", _delete_table)
    for name in ("patch_dataset", "update_dataset"):
        replace_route(datasets.router, name, _checking_etag(getattr(datasets, name)))
    replace_route(datasets.router, "delete_dataset", _delete_dataset)
    replace(tables, "_table_to_rest", _resource(tables._table_to_rest))  # noqa: SLF001


_get_anonymous = tables.get_table
_delete_original = datasets.delete_dataset


def _resource(show: Any) -> Any:
    def shown(meta: Any) -> dict[str, Any]:
        body: dict[str, Any] = show(meta)
        if meta.view_query:
            body["view"] = {"query": meta.view_query, "useLegacySql": False}
        if meta.time_partitioning and meta.time_partitioning.require_partition_filter:
            body["requirePartitionFilter"] = True
        if meta.expiration_time is not None:
            body["expirationTime"] = str(int(meta.expiration_time.timestamp() * 1000))
        return body

    return shown


async def _insert_table(
    project_id: str, dataset_id: str, request: Request, ctx: tables._Ctx
) -> dict[str, Any]:
    body = await request.json()
    table = (project_id, dataset_id, body["tableReference"]["tableId"])
    if ctx.catalog.get_dataset(project_id, dataset_id) is None:
        raise resource_not_found(ResourceRef("dataset", project_id, dataset_id))
    if ctx.catalog.get_table(*table) is not None:
        raise resource_already_exists(ResourceRef("table", *table))
    if body.get("view"):
        body["schema"] = {"fields": await columns_of(ctx, project_id, body["view"]["query"])}
    fields = (body.get("schema") or {}).get("fields") or []
    _create_in_engine(ctx, table, fields, is_view=bool(body.get("view")))
    return _shown(ctx, keep_table(ctx, table, fields, body))


def _create_in_engine(
    ctx: Any, table: TableName, fields: list[dict[str, Any]], *, is_view: bool
) -> None:
    """Bqemulator reads a view by its query; in DuckDB it only holds the name."""
    path = quoted_table_ref(*table)
    if is_view:
        ctx.engine.execute(f"CREATE VIEW {path} AS SELECT 1 AS placeholder")
    else:
        columns = definitions(fields) or "placeholder INTEGER"
        ctx.engine.execute(f"CREATE TABLE {path} ({columns})")


def _get_table(project_id: str, dataset_id: str, table_id: str, ctx: tables._Ctx) -> dict[str, Any]:
    known = ctx.catalog.get_table(project_id, dataset_id, table_id.partition("$")[0])
    if known is None:
        result: dict[str, Any] = _get_anonymous(project_id, dataset_id, table_id, ctx)
        return result
    return _shown(ctx, known)


def _shown(ctx: Any, meta: Any) -> dict[str, Any]:
    """Rows and bytes are counted when asked for: appends do not tell the catalogue."""
    body: dict[str, Any] = tables._table_to_rest(meta)  # noqa: SLF001
    if meta.table_type == "TABLE" and meta.schema_.fields:
        table = (meta.project_id, meta.dataset_id, meta.table_id)
        body["numRows"] = str(count(ctx, quoted_table_ref(*table)))
        size = str(stored_bytes(ctx, table))
        body.update(
            dict.fromkeys(("numBytes", "numActiveLogicalBytes", "numTotalLogicalBytes"), size)
        )
    return body


async def _change_table(
    project_id: str, dataset_id: str, table_id: str, request: Request, ctx: tables._Ctx
) -> dict[str, Any]:
    table = (project_id, dataset_id, table_id)
    known = ctx.catalog.get_table(*table)
    if known is None:
        raise resource_not_found(ResourceRef("table", *table))
    _check_etag(request, known)
    body = await request.json()
    if known.view_query:
        query = (body.get("view") or {}).get("query") or known.view_query
        body["schema"] = {"fields": await columns_of(ctx, project_id, query)}
    elif (body.get("schema") or {}).get("fields"):
        change_columns(ctx, table, body["schema"]["fields"])
    body["tableReference"] = {"tableId": table_id}
    changed = table_of(project_id, dataset_id, body, ctx.clock, known)
    return _shown(ctx, ctx.catalog.update_table(changed))


async def _delete_table(
    project_id: str, dataset_id: str, table_id: str, ctx: tables._Ctx
) -> Response:
    table = (project_id, dataset_id, table_id)
    known = ctx.catalog.get_table(*table)
    if known is None:
        raise resource_not_found(ResourceRef("table", *table))
    kind = "VIEW" if known.table_type == "VIEW" else "TABLE"
    ctx.engine.execute(f"DROP {kind} IF EXISTS {quoted_table_ref(*table)}")
    ctx.catalog.delete_table(*table)
    ctx.snapshots.drop_snapshots_for_table(*table, include_user=False)
    ctx.catalog.delete_materialized_view(*table, not_found_ok=True)
    return Response(status_code=204)


def _checking_etag(change: Any) -> Any:
    async def checked(
        project_id: str, dataset_id: str, request: Request, ctx: datasets._Ctx
    ) -> dict[str, Any]:
        known = ctx.catalog.get_dataset(project_id, dataset_id)
        if known is not None:
            _check_etag(request, known)
        result: dict[str, Any] = await change(project_id, dataset_id, request, ctx)
        return result

    return checked


def _check_etag(request: Request, known: Any) -> None:
    expected = request.headers.get("if-match")
    if expected and expected not in {"*", known.etag}:
        raise PreconditionFailedError("Precondition check failed: the etag has changed")


async def _delete_dataset(
    project_id: str,
    dataset_id: str,
    ctx: datasets._Ctx,
    deleteContents: bool = False,  # noqa: N803, FBT001, FBT002  the API's own parameter
) -> Response:
    held = ctx.catalog.list_tables(project_id, dataset_id)
    if held and not deleteContents:
        raise ResourceInUseError(f"Dataset {project_id}:{dataset_id} is still in use")
    response: Response = await _delete_original(project_id, dataset_id, ctx, deleteContents)
    return response

"""Mends table resources: missing datasets, added columns, views, partitions."""

from typing import Any

from bqemulator.api.routes import datasets, tables
from bqemulator.domain.errors import ResourceRef, ValidationError, resource_not_found
from bqemulator.jobs.executor import build_response_schema
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns
from fastapi import Request

from libs.local_cloud.bigquery_mending import replace, replace_route


def mend() -> None:
    replace_route(tables.router, "insert_table", _insert_table)
    replace_route(tables.router, "patch_table", _patch_table)
    replace_route(datasets.router, "delete_dataset", _delete_dataset)
    show = tables._table_to_rest  # noqa: SLF001

    def show_with_view(meta: Any, *args: Any, **kwargs: Any) -> Any:
        shown = show(meta, *args, **kwargs)
        if meta.view_query:
            shown.setdefault("view", {"query": meta.view_query, "useLegacySql": False})
        return shown

    replace(tables, "_table_to_rest", show_with_view)


_insert_original = tables.insert_table
_patch_original = tables.patch_table
_delete_original = datasets.delete_dataset


async def _insert_table(
    project_id: str,
    dataset_id: str,
    request: Request,
    ctx: tables._Ctx,
) -> Any:
    if ctx.catalog.get_dataset(project_id, dataset_id) is None:
        raise resource_not_found(ResourceRef("dataset", project_id, dataset_id))
    return await _insert_original(project_id, dataset_id, request, ctx)


async def _patch_table(
    project_id: str,
    dataset_id: str,
    table_id: str,
    request: Request,
    ctx: tables._Ctx,
) -> Any:
    """Columns that a new schema adds would be known to the catalogue and not to DuckDB."""
    known = ctx.catalog.get_table(project_id, dataset_id, table_id)
    wanted = ((await request.json()).get("schema") or {}).get("fields") or []
    if known is not None and wanted and not known.view_query:
        have = {field.name.lower() for field in known.schema_.fields}
        added = [field for field in wanted if field["name"].lower() not in have]
        path = quoted_table_ref(project_id, dataset_id, table_id)
        for name, type_ in bq_schema_to_duckdb_columns(added):
            ctx.engine.execute(f'ALTER TABLE {path} ADD COLUMN "{name}" {type_}')
    return await _patch_original(project_id, dataset_id, table_id, request, ctx)


async def _delete_dataset(
    project_id: str,
    dataset_id: str,
    ctx: datasets._Ctx,
    deleteContents: bool = False,  # noqa: N803, FBT001, FBT002  the API's own parameter
) -> Any:
    held = ctx.catalog.list_tables(project_id, dataset_id)
    if held and not deleteContents:
        message = f"Dataset {project_id}:{dataset_id} is still in use"
        raise ValidationError(message)
    return await _delete_original(project_id, dataset_id, ctx, deleteContents)


def register_table(
    ctx: Any, project: str, dataset: str, table: str, layout: dict[str, Any]
) -> None:
    """Tell the catalogue of a table that exists in DuckDB."""
    path = quoted_table_ref(project, dataset, table)
    empty = ctx.engine.fetch_arrow(f"SELECT * FROM {path} LIMIT 0")  # noqa: S608  quoted above
    body = {
        "tableReference": {"tableId": table},
        "schema": {"fields": build_response_schema(empty.schema)},
        **layout,
    }
    meta = tables._rest_to_table_meta(project, dataset, body, ctx.clock)  # noqa: SLF001
    ctx.catalog.create_table(meta)


def partition_predicate(meta: Any, suffix: str) -> str:
    """The rows of `table$suffix`: a day, or with ten digits an hour."""
    if not suffix.isdecimal():
        message = f"Invalid partition decorator: {suffix}"
        raise ValidationError(message)
    by = meta.time_partitioning.field if meta and meta.time_partitioning else None
    column = by or "_PARTITIONTIME"
    return f"strftime(CAST(\"{column}\" AS TIMESTAMP), '%Y%m%d%H') LIKE '{suffix}%'"

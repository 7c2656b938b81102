"""Mends load jobs: columns by name, truncation, and rows counted per job."""

import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from bqemulator.api.routes import jobs, upload
from bqemulator.domain.errors import ErrorDetail, NotFoundError
from bqemulator.jobs import executor
from bqemulator.storage.sql_identifiers import quoted_table_ref

from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_tables import partition_predicate, register_table

_DOWNLOADS = tempfile.TemporaryDirectory(prefix="bigquery-loads-")


def mend() -> None:
    """Parquet columns would be taken by position, silently swapped."""
    handlers = dict(executor._LOAD_FORMAT_HANDLERS)  # noqa: SLF001
    handlers["PARQUET"] = _load_parquet
    replace(executor, "_LOAD_FORMAT_HANDLERS", handlers)
    load = executor.execute_load_job

    async def run(project: str, job_id: str, config: dict[str, Any], ctx: Any) -> Any:
        return await _run_load(load, project, job_id, config, ctx)

    for module in (executor, jobs, upload):
        replace(module, "execute_load_job", run)
    resolve = executor._resolve_uri  # noqa: SLF001
    replace(executor, "_resolve_uri", lambda uri, ctx: _downloaded(uri) or resolve(uri, ctx))


def _downloaded(uri: str) -> str | None:
    """A file of the local Cloud Storage, fetched beside the others of this process."""
    endpoint = os.environ.get("STORAGE_EMULATOR_HOST")
    if not uri.startswith("gs://") or not endpoint:
        return None
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    source = f"{endpoint}/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
    target = Path(_DOWNLOADS.name) / f"{uuid4().hex}{Path(name).suffix}"
    try:
        with urllib.request.urlopen(source, timeout=60) as body, target.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(body, file)
    except urllib.error.HTTPError as error:
        message = f"Not found: URI {uri}"
        raise NotFoundError(
            message, details=[ErrorDetail(reason="notFound", message=message)]
        ) from error
    return str(target)


def _expanded(uris: list[str]) -> list[str]:
    """Every object that a `gs://bucket/prefix*` names."""
    endpoint = os.environ.get("STORAGE_EMULATOR_HOST")
    found: list[str] = []
    for uri in uris:
        prefix, star, _ = uri.partition("*")
        if not star or not endpoint:
            found.append(uri)
            continue
        bucket, _, start = prefix.removeprefix("gs://").partition("/")
        listing = f"{endpoint}/storage/v1/b/{bucket}/o?prefix={quote(start, safe='')}"
        with urllib.request.urlopen(listing, timeout=60) as body:  # noqa: S310  our own loopback
            items = json.load(body)["items"]
        found += [f"gs://{bucket}/{item['name']}" for item in items]
    return found


def _load_parquet(path: str, target: str, ctx: Any) -> None:
    ctx.engine.execute(
        f"INSERT INTO {target} BY NAME SELECT * FROM read_parquet(?)",  # noqa: S608  quoted
        [path],
    )


async def _run_load(load: Any, project: str, job_id: str, config: dict[str, Any], ctx: Any) -> Any:
    wanted = config["load"]
    target = wanted["destinationTable"]
    owner, dataset = target.get("projectId", project), target["datasetId"]
    table, _, part = target["tableId"].partition("$")
    target["tableId"] = table
    wanted["sourceUris"] = _expanded(wanted.get("sourceUris", []))
    if ctx.catalog.get_dataset(owner, dataset) is None:
        message = f"Not found: Dataset {owner}:{dataset}"
        raise NotFoundError(message, details=[ErrorDetail(reason="notFound", message=message)])
    path = quoted_table_ref(owner, dataset, table)
    known = ctx.catalog.get_table(owner, dataset, table)
    if known is None and not (wanted.get("schema") or {}).get("fields"):
        _create_from_source(wanted, path, (owner, dataset, table), ctx)
    elif known is not None and wanted.get("writeDisposition") == "WRITE_TRUNCATE":
        where = f" WHERE {partition_predicate(known, part)}" if part else ""
        ctx.engine.execute(f"DELETE FROM {path}{where}")  # noqa: S608  quoted above
        wanted["writeDisposition"] = "WRITE_APPEND"
    before = _count(ctx, path) if known is not None else 0
    meta = await load(project, job_id, config, ctx)
    after = int(meta.statistics["load"]["outputRows"])
    meta.statistics["load"]["outputRows"] = str(after - before)
    return meta


def _create_from_source(
    wanted: dict[str, Any], path: str, table: tuple[str, str, str], ctx: Any
) -> None:
    wanted["autodetect"] = True
    if wanted.get("sourceFormat") != "PARQUET":
        return
    source = executor._resolve_uri(wanted["sourceUris"][0], ctx)  # noqa: SLF001
    ctx.engine.execute(
        f"CREATE TABLE {path} AS SELECT * FROM read_parquet(?) LIMIT 0",  # noqa: S608  quoted
        [source],
    )
    register_table(ctx, *table, {})


def _count(ctx: Any, path: str) -> int:
    return int(ctx.engine.execute(f"SELECT count(*) FROM {path}").fetchone()[0])  # noqa: S608

"""Mends how bqemulator starts, shares its one DuckDB connection, and reports errors."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import duckdb
import fastapi.dependencies.utils
import fastapi.routing
from bqemulator.api import app as app_module
from bqemulator.api.routes import jobs, upload
from bqemulator.grpc_api import write_servicer
from bqemulator.jobs import executor
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.versioning.snapshots import SnapshotManager
from fastapi.responses import JSONResponse

from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.faults import Faults

KEPT_RESULTS = 500
MEMORY_LIMIT = "2GB"
THREADS = 2


def mend() -> None:
    _start_offline()
    _keep_to_one_thread()
    _copy_nothing_after_writes()
    _bound_results()
    _answer_engine_errors()
    _give_writes_a_cursor()


def _start_offline() -> None:
    """Its spatial and Avro extensions would be downloaded; DuckDB may take all memory."""
    replace(DuckDBEngine, "_load_spatial", lambda _: None)
    replace(DuckDBEngine, "_load_format_extensions", lambda _: None)
    pragmas = DuckDBEngine._apply_session_pragmas  # noqa: SLF001

    def apply(self: Any) -> None:
        pragmas(self)
        self._connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        self._connection.execute(f"SET threads = {THREADS}")

    replace(DuckDBEngine, "_apply_session_pragmas", apply)


def _keep_to_one_thread() -> None:
    """Plain endpoints would run in threads, on the connection that the loop is using."""

    async def run_here(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    replace(fastapi.routing, "run_in_threadpool", run_here)
    replace(fastapi.dependencies.utils, "run_in_threadpool", run_here)


def _copy_nothing_after_writes() -> None:
    """For time travel, every write would copy its whole table."""
    replace(SnapshotManager, "capture", lambda *_, **__: None)


def _bound_results() -> None:
    """Results of all jobs would be kept for ever."""
    results, schemas = _Newest(), _Newest()
    for module in (executor, jobs):
        replace(module, "JOB_RESULTS", results)
        replace(module, "JOB_SCHEMAS", schemas)
    replace(upload, "_is_permitted_media_type", lambda _: True)


class _Newest(OrderedDict[str, Any]):
    """Keeps the last results only."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > KEPT_RESULTS:
            self.popitem(last=False)


def _answer_engine_errors() -> None:
    """What DuckDB refuses would be a 500, which Google's client repeats for ten minutes."""
    install: Any = vars(app_module)["install_exception_handlers"]

    def install_with_ours(app: Any) -> None:
        install(app)
        for error in (duckdb.Error, ValueError, TypeError):
            app.add_exception_handler(error, _bad_request)

    replace(app_module, "install_exception_handlers", install_with_ours)


async def _bad_request(_: Any, error: Exception) -> JSONResponse:
    message = str(error)
    details = [{"message": message, "domain": "global", "reason": "invalid"}]
    body = {"error": {"code": 400, "message": message, "errors": details}}
    return JSONResponse(body, status_code=400)


def _give_writes_a_cursor() -> None:
    """Storage writes beside REST dead-lock, and appends without a name lose their stream."""
    handler = write_servicer.BigQueryWriteHandler
    bind = handler._ensure_stream_bound  # noqa: SLF001

    def ensure_bound(self: Any, name: str, bound: Any, context: Any) -> Any:
        return bound if not name and bound is not None else bind(self, name, bound, context)

    def flush(self: Any, stream: Any, rows: Any) -> None:
        target = quoted_table_ref(stream.project_id, stream.dataset_id, stream.table_id)
        with self._write_lock:
            cursor = self._ctx.engine.connection.cursor()
            try:
                cursor.register("appended", rows)
                cursor.execute(f"INSERT INTO {target} BY NAME SELECT * FROM appended")  # noqa: S608
            finally:
                cursor.close()

    replace(handler, "_ensure_stream_bound", ensure_bound)
    replace(handler, "_flush_to_target", flush)


def add_faults(config: Any, faults: Faults) -> None:
    """Wrap the running REST application so that a test may ask for errors and delays."""
    inner = config.loaded_app

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await faults.delay()
        if scope["type"] == "http" and faults.hits(faults.plan.error_rate):
            response = JSONResponse({"error": {"code": 503, "message": "a fault"}}, 503)
            await response(scope, receive, send)
            return
        await inner(scope, receive, send)

    config.loaded_app = app

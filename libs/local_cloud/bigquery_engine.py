"""Mends how bqemulator starts, what it keeps, and how it reports errors."""

import logging
import sys
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import bqemulator
import duckdb
from bqemulator.api import app as app_module
from bqemulator.api.routes import jobs, upload
from bqemulator.jobs import executor
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning.snapshots import SnapshotManager
from fastapi.responses import JSONResponse

from libs.local_cloud.bigquery_mending import MovedError, replace

MENDED_VERSION = "1.4.0"
KEPT_RESULTS = 500
KEPT_RESULT_BYTES = 256 << 20
MEMORY_LIMIT = "2GB"
SPILL_LIMIT = "20GB"
THREADS = 2


def mend(state_dir: Path | None) -> None:
    if bqemulator.__version__ != MENDED_VERSION:
        raise MovedError(bqemulator, f"version {MENDED_VERSION}")
    _start_offline(state_dir or Path(tempfile.gettempdir()))
    _copy_nothing_after_writes()
    _bound_results()
    _answer_engine_errors()
    _keep_requests_short()


def _start_offline(directory: Path) -> None:
    """Its spatial and Avro extensions would be downloaded; DuckDB may take all memory."""
    replace(DuckDBEngine, "_load_spatial", lambda _: None)
    replace(DuckDBEngine, "_load_format_extensions", lambda _: None)

    def apply(self: Any) -> None:
        for setting, value in (
            ("TimeZone", "UTC"),
            ("memory_limit", MEMORY_LIMIT),
            ("threads", THREADS),
            ("temp_directory", directory / "bigquery-spill"),
            ("max_temp_directory_size", SPILL_LIMIT),
            ("autoinstall_known_extensions", "false"),
        ):
            # GLOBAL: a cursor does not inherit what its connection has set.
            self._connection.execute(f"SET GLOBAL {setting} = '{value}'")

    replace(DuckDBEngine, "_apply_session_pragmas", apply)


def _copy_nothing_after_writes() -> None:
    """For time travel, every write would copy its whole table."""
    replace(SnapshotManager, "capture", lambda *_, **__: None)


def _bound_results() -> None:
    """Results of all jobs would be kept for ever."""
    results, schemas = Newest(), Newest()
    for module in (executor, jobs):
        replace(module, "JOB_RESULTS", results)
        replace(module, "JOB_SCHEMAS", schemas)
    replace(upload, "_is_permitted_media_type", lambda _: True)


class Newest:
    """The last values only, within a number of entries and of bytes. Safe between threads.

    It has what bqemulator uses of a dictionary.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0

    def __setitem__(self, key: str, value: Any) -> None:
        with self._lock:
            self._take(key)
            self._values[key] = value
            self._bytes += _size(value)
            while len(self._values) > KEPT_RESULTS or (
                self._bytes > KEPT_RESULT_BYTES and len(self._values) > 1
            ):
                self._take(next(iter(self._values)))

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def pop(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._take(key, default)

    def _take(self, key: str, default: Any = None) -> Any:
        value = self._values.pop(key, default)
        self._bytes -= _size(value)
        return value


def _size(value: Any) -> int:
    return int(getattr(value, "nbytes", 0))


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


def _keep_requests_short() -> None:
    """Every request would pass three layers of metrics and logs that nobody reads."""
    for name in ("MetricsMiddleware", "AccessLogMiddleware", "CorrelationIdMiddleware"):
        replace(app_module, name, _Transparent)


class _Transparent:
    """A middleware that does nothing."""

    def __init__(self, app: Any, **_: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def own_root_logging() -> None:
    """Take root logging back: bqemulator installs handlers and a format of its own."""
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format="%(levelname)s %(name)s %(message)s",
        force=True,
    )
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it then parses well

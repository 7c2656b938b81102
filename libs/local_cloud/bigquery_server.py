"""bqemulator as a process of ours, with its faults mended.

bqemulator 1.4.0 does the work; the `bigquery_*` modules beside this one mend
what it gets wrong, one family of faults each. They patch its insides, so the
version is pinned, and each fails at start when the place it mends has moved.
"""

import socket
from contextlib import suppress
from typing import Any

from bqemulator import server as emulator
from bqemulator.config import LogFormat, LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer

from libs.local_cloud import (
    bigquery_appends,
    bigquery_ddl,
    bigquery_engine,
    bigquery_loads,
    bigquery_queries,
    bigquery_resources,
    bigquery_rows,
    bigquery_scripts,
    bigquery_sessions,
    bigquery_statements,
    bigquery_translation,
    bigquery_uploads,
)
from libs.local_cloud.bigquery_edge import wrap
from libs.local_cloud.bigquery_history import end_interrupted
from libs.local_cloud.bigquery_jobs import JobRoutes
from libs.local_cloud.bigquery_mending import MovedError, replace
from libs.local_cloud.bigquery_runs import Runs
from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running

UPLOAD_BYTES = 1 << 30
KEEP_ALIVE_SECONDS = 300
"""Clients that are idle for a while must not find their connection just closed."""
STORAGE_PORT_FILE = "storage.port"


async def start(options: Options, faults: Faults) -> Running:
    _check_free(options.port)
    runs = Runs()
    _mend(options, faults, JobRoutes(runs))
    server = EmulatorServer(_settings(options))
    await server.start()
    bigquery_engine.own_root_logging()
    end_interrupted(server._context)  # noqa: SLF001  bqemulator offers no way to it
    if options.state_dir:
        (options.state_dir / STORAGE_PORT_FILE).write_text(str(server.grpc_port))
    _wrap_rest(server, faults)

    async def stop() -> None:
        runs.close()
        await server.stop()

    return Running({"rest": server.rest_port, "grpc": server.grpc_port}, stop)


def _mend(options: Options, faults: Faults, routes: JobRoutes) -> None:
    bigquery_engine.mend(options.state_dir)
    bigquery_sessions.mend()
    bigquery_translation.mend()
    bigquery_statements.mend()
    bigquery_scripts.mend()
    bigquery_ddl.mend()
    bigquery_queries.mend()
    bigquery_loads.mend()
    bigquery_resources.mend()
    bigquery_rows.mend()
    bigquery_appends.mend(faults)
    routes.mend()
    bigquery_uploads.mend(routes)
    _let_the_storage_port_be_another()


def _settings(options: Options) -> Settings:
    kept = options.state_dir is not None
    return Settings(
        rest_host=HOST,
        rest_port=options.port,
        grpc_host=HOST,
        grpc_port=_storage_port(options),
        persistence_mode=PersistenceMode.PERSISTENT if kept else PersistenceMode.EPHEMERAL,
        data_dir=options.state_dir,
        enable_format_extensions=False,
        upload_max_bytes=UPLOAD_BYTES,
        log_level=LogLevel.WARNING,
        log_format=LogFormat.JSON,
        metrics_enabled=False,
    )


def _let_the_storage_port_be_another() -> None:
    """It is taken when all else is up: by then it may be somebody else's."""

    def build(context: Any) -> Any:
        with suppress(OSError, RuntimeError):
            _check_free(context.settings.grpc_port)
            return build_as_it_was(context)
        context.settings.grpc_port = 0
        return build_as_it_was(context)

    build_as_it_was = replace(emulator, "build_grpc_server", build)


def _storage_port(options: Options) -> int:
    """The port of last time, so that clients go on where they were, or the one after REST's."""
    return _last_storage_port(options) or (options.port + 1 if options.port else 0)


def _last_storage_port(options: Options) -> int:
    if options.state_dir is None or not (options.state_dir / STORAGE_PORT_FILE).exists():
        return 0
    return int((options.state_dir / STORAGE_PORT_FILE).read_text() or 0)


def _check_free(port: int) -> None:
    """Its server ends the process on a busy port; say it as the other emulators do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def _wrap_rest(server: EmulatorServer, faults: Faults) -> None:
    rest: Any = server._fastapi_server  # noqa: SLF001  bqemulator offers no way to it
    if rest is None:
        raise MovedError(server, "_fastapi_server")
    rest.config.timeout_keep_alive = KEEP_ALIVE_SECONDS
    rest.config.loaded_app = wrap(rest.config.loaded_app, faults)

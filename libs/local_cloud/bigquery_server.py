"""bqemulator as a process of ours, with its faults mended.

bqemulator 1.4.0 does the work; the `bigquery_*` modules beside this one mend
what it gets wrong, one family of faults each. They patch its insides, so the
version is pinned, and each fails at start when the place it mends has moved.
"""

import socket
from typing import Any

from aiohttp import web
from bqemulator.config import LogFormat, LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer

from libs.local_cloud import bigquery_engine, bigquery_jobs, bigquery_loads, bigquery_tables
from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running

UPLOAD_BYTES = 2 << 30
STORAGE_PORT_FILE = "storage.port"


async def start(options: Options, faults: Faults) -> Running:
    _check_free(options.port)
    bigquery_engine.mend()
    bigquery_jobs.mend()
    bigquery_loads.mend()
    bigquery_tables.mend()
    server = EmulatorServer(_settings(options))
    await server.start()
    if options.state_dir:
        (options.state_dir / STORAGE_PORT_FILE).write_text(str(server.grpc_port))
    bigquery_engine.add_faults(_asgi_app(server), faults)

    async def stop() -> None:
        await server.stop()

    return Running({"rest": server.rest_port, "grpc": server.grpc_port}, stop)


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


def _storage_port(options: Options) -> int:
    """The port of last time, if it is free: clients go on where they were."""
    if options.state_dir is None or not (options.state_dir / STORAGE_PORT_FILE).exists():
        return 0
    port = int((options.state_dir / STORAGE_PORT_FILE).read_text() or 0)
    try:
        _check_free(port)
    except OSError:
        return 0
    return port


def _check_free(port: int) -> None:
    """Its server ends the process on a busy port; say it as the other emulators do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def _asgi_app(server: EmulatorServer) -> Any:
    fastapi = server._fastapi_server  # noqa: SLF001  bqemulator offers no way to its application
    if fastapi is None:
        raise web.HTTPServiceUnavailable
    return fastapi.config

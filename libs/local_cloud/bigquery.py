"""BigQuery on two loopback ports (REST and Storage), for Google's own clients.

python -m libs.local_cloud.bigquery --port 9050 --state-dir .local/bigquery
"""

from importlib import import_module
from typing import Any

from bqemulator.config import LogFormat, LogLevel
from bqemulator.observability.logging_ import configure_logging

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import Options, Running, run


async def start(options: Options, faults: Faults) -> Running:
    # bqemulator logs to standard output while it is imported, unless told before.
    configure_logging(level=LogLevel.WARNING, fmt=LogFormat.JSON)
    server: Any = import_module("libs.local_cloud.bigquery_server")
    running: Running = await server.start(options, faults)
    return running


if __name__ == "__main__":
    run("bigquery", start)

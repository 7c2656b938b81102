"""Mends that bqemulator runs everything on one DuckDB connection.

A long query would block all others, Storage writes beside REST would dead-lock,
and two tasks would read each other's results. Here every job has a cursor of
its own, and so has every thread; writers take turns at the gate.
"""

import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import duckdb
import pyarrow as pa
from bqemulator.domain.errors import InternalError, InvalidQueryError, PermissionDeniedError
from bqemulator.storage import engine as engine_module
from bqemulator.storage.engine import DuckDBEngine

from libs.local_cloud.bigquery_gate import GATE
from libs.local_cloud.bigquery_mending import replace

SPOOLED = "spooled_result"
"""The temporary table, one per session, that a job's result is spooled to."""
MAX_RESULT_BYTES = 128 << 20
BATCH_ROWS = 10_000
COUNT_PROGRESS = "SET enable_progress_bar = true; SET enable_progress_bar_print = false"


class Fetch(Enum):
    """What becomes of the rows of a query."""

    ROWS = auto()  # given back, up to a limit
    SCHEMA = auto()  # not computed: only their columns are asked for
    SPOOLED = auto()  # kept in DuckDB, for a destination table


@dataclass(slots=True)
class Session:
    """One job's way to DuckDB."""

    cursor: Any
    fetch: Fetch = Fetch.ROWS
    stop_reason: str = ""
    run: Any = None  # the job, if this is one's session

    def stop(self, reason: str) -> None:
        """End the running statement, and refuse the next. Any thread may call it."""
        self.stop_reason = reason
        with contextlib.suppress(duckdb.ConnectionException):  # it ended by itself
            self.cursor.interrupt()

    def count_progress(self) -> None:
        """For statements that begin from now on."""
        self.cursor.execute(COUNT_PROGRESS)

    def share(self) -> float:
        """How much of the running statement is done, if that is counted. Any thread."""
        try:
            return float(max(0.0, min(self.cursor.query_progress() / 100, 1.0)))
        except duckdb.ConnectionException:  # it ended by itself
            return 0.0


class StoppedError(InvalidQueryError):
    bq_reason = "stopped"


class TooLargeError(PermissionDeniedError):
    bq_reason = "responseTooLarge"

    def __init__(self) -> None:
        super().__init__(
            f"Response too large to return: over {MAX_RESULT_BYTES >> 20} MiB. "
            "Consider specifying a destination table in your job configuration."
        )


CURRENT: ContextVar[Session | None] = ContextVar("session", default=None)
_OF_THREAD = threading.local()


def mend() -> None:
    replace(DuckDBEngine, "connection", property(_connection))
    replace(DuckDBEngine, "execute", _execute)
    replace(DuckDBEngine, "fetch_arrow", _fetch_arrow)
    replace(DuckDBEngine, "write_lock", _write_lock)


def open_session(engine: Any) -> Session:
    return Session(engine._connection.cursor())  # noqa: SLF001  the connection all come from


def forget_stop() -> str:
    """Why the current session was stopped, if it was; what follows may run again."""
    session = CURRENT.get()
    if session is None:
        return ""
    reason, session.stop_reason = session.stop_reason, ""
    return reason


def _connection(self: Any) -> Any:
    if self._connection is None:
        message = "DuckDBEngine not started"
        raise InternalError(message)
    session = CURRENT.get()
    if session is not None:
        return session.cursor
    if threading.current_thread() is threading.main_thread():
        return self._connection
    if not hasattr(_OF_THREAD, "cursor"):
        _OF_THREAD.cursor = self._connection.cursor()
    return _OF_THREAD.cursor


def _execute(self: Any, sql: str, parameters: list[Any] | None = None) -> Any:
    session = CURRENT.get()
    if session is not None and session.stop_reason:
        raise StoppedError(session.stop_reason)
    connection = self.connection
    return connection.execute(sql) if parameters is None else connection.execute(sql, parameters)


def _fetch_arrow(self: Any, sql: str, parameters: list[Any] | None = None) -> pa.Table:
    session = CURRENT.get()
    fetch = Fetch.ROWS if session is None else session.fetch
    body = sql.strip().rstrip(";")
    if fetch is Fetch.SPOOLED:
        _execute(self, f"CREATE OR REPLACE TEMP TABLE {SPOOLED} AS {body}", parameters)
        body, parameters = f"SELECT * FROM {SPOOLED} LIMIT 0", None  # noqa: S608  our own name
    elif fetch is Fetch.SCHEMA:
        body = f"SELECT * FROM ({body}\n) LIMIT 0"  # noqa: S608  a query of the caller, as asked
    result = _execute(self, body, parameters)
    described = result.description
    return engine_module._annotate_with_duckdb_types(_collect(result), described)  # noqa: SLF001


def _collect(result: Any) -> pa.Table:
    reader = result.to_arrow_reader(BATCH_ROWS)
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > MAX_RESULT_BYTES:
            raise TooLargeError
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


@asynccontextmanager
async def _write_lock(_: Any) -> AsyncIterator[None]:
    if threading.current_thread() is threading.main_thread():
        async with GATE.hold_in_loop():
            yield
    else:
        with GATE.hold():
            yield

"""Transactions, and appends that wait for nobody.

In DuckDB rows may be added beside any other change of rows; only a change of
the table itself, made meanwhile, refuses them. Then they are added once more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from libs.local_cloud.bigquery_gate import GATE

T = TypeVar("T")


@contextmanager
def transaction(cursor: Any) -> Iterator[None]:
    """All of it or nothing."""
    cursor.begin()
    try:
        yield
    except BaseException:
        cursor.rollback()
        raise
    cursor.commit()


@contextmanager
def exclusive(cursor: Any) -> Iterator[None]:
    """All of it or nothing, and no other change at the same time."""
    with GATE.hold(), transaction(cursor):
        yield


def append(engine: Any, path: str, rows: pa.Table) -> None:
    """Add rows to a table; they are committed when this returns."""
    cursor = engine.connection
    cursor.register("appended", rows)
    try:
        retried(lambda: cursor.execute(f"INSERT INTO {path} BY NAME SELECT * FROM appended"))  # noqa: S608
    finally:
        cursor.unregister("appended")


def retried(attempt: Callable[[], T]) -> T:
    """Do it again, alone, if it met a change of the same table."""
    try:
        return attempt()
    except duckdb.TransactionException:
        with GATE.hold():
            return attempt()

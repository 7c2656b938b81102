"""The Cloud Storage emulator's SQLite file, committed in groups."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

_VERSION = 2
_PRAGMAS = """
pragma locking_mode = exclusive;
pragma journal_mode = wal;
pragma synchronous = normal;
pragma wal_autocheckpoint = 8000;
"""
_SCHEMA = f"""
create table if not exists bucket
  (name text primary key, created real, updated real, metageneration integer, fields text);
create table if not exists object
  (bucket text, name text, generation integer, metageneration integer, created real,
   updated real, size integer, crc32c text, md5 text, fields text, content integer,
   primary key (bucket, name)) without rowid;
create table if not exists piece (id integer primary key, body blob);
create table if not exists sharing (content integer primary key, objects integer);
create table if not exists unheld (content integer primary key);
create table if not exists upload
  (id text primary key, bucket text, fields text, precondition text, content integer,
   received integer, started real, finished text);
pragma user_version = {_VERSION};
"""


class UnusableStateError(RuntimeError):
    """The state directory holds what this emulator cannot go on with."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class Database:
    """One connection. A change is seen at once and durable when `committed` returns.

    So nothing that saw a change may be answered before `committed` returned:
    neither who made it nor who was refused because of it.
    """

    def __init__(self, directory: Path | None) -> None:
        self._db = _open(directory)
        self._group: asyncio.Future[None] | None = None

    def read(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(sql, values)

    def write(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Change within the group that is open, or open one."""
        if self._group is None:
            loop = asyncio.get_running_loop()
            self._db.execute("begin immediate")
            self._group = loop.create_future()
            # Whatever else this turn of the loop writes joins the same commit.
            loop.call_soon(self._end_group)
        return self._db.execute(sql, values)

    async def committed(self) -> None:
        """Raise `sqlite3.Error` when the group could not be kept."""
        if self._group is not None:
            await asyncio.shield(self._group)

    def close(self) -> None:
        if self._group is not None:
            self._end_group()
        self._db.close()

    def _end_group(self) -> None:
        ended, self._group = self._group, None
        if ended is None:
            return
        try:
            self._db.execute("commit")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            ended.set_exception(error)
            ended.exception()  # whoever waits sees it; nobody waiting is no second error
        else:
            ended.set_result(None)


def _open(directory: Path | None) -> sqlite3.Connection:
    if directory is None:
        database = sqlite3.connect(":memory:", isolation_level=None)
        database.executescript(_SCHEMA)
        return database
    path = directory / "storage.db"
    database = sqlite3.connect(path, isolation_level=None, timeout=2)
    try:
        database.executescript(_PRAGMAS)
        _check_version(database, path)
        database.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        raise UnusableStateError(path, f"{error}; is another process using it?") from None
    return database


def _check_version(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("pragma user_version").fetchone()
    tables = database.execute("select count(*) from sqlite_master").fetchone()[0]
    if tables and version != _VERSION:
        raise UnusableStateError(
            path, "another version of this emulator made it; delete it or choose another state dir"
        )

"""What the Pub/Sub emulator keeps: resources, messages, and who has not had them.

SQLite in WAL mode: what `Publish` has answered survives a kill of this process.
A message goes when its last subscription has acknowledged it, unless its topic
asks for retention, which then keeps it until it is too old.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists resource (name text primary key, kind text, pb blob);
create table if not exists message (id integer primary key, topic text, at real, pb blob);
create table if not exists pending
  (sub text, id integer, attempts integer default 0, primary key (sub, id)) without rowid;
create index if not exists pending_by_message on pending (id);
create index if not exists message_by_topic on message (topic, at);
"""


class Store:
    """Synchronous and quick: every call is one transaction."""

    def __init__(self, directory: Path | None) -> None:
        path = str(directory / "pubsub.db") if directory else ":memory:"
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._next = self._scalar("select coalesce(max(id), 0) from message") + 1
        # Ids are never used twice, even when the newest messages are gone already.
        self._next = max(self._next, int(time.time() * 1000) * 1000)

    def take_id(self) -> int:
        self._next += 1
        return self._next

    def resources(self, kind: str) -> list[tuple[str, bytes]]:
        return self._db.execute(
            "select name, pb from resource where kind = ? order by name", (kind,)
        ).fetchall()

    def save(self, kind: str, message: Any) -> None:
        self._db.execute(
            "insert or replace into resource values (?, ?, ?)",
            (message.name, kind, message.SerializeToString()),
        )

    def forget(self, name: str) -> None:
        self._db.execute("delete from resource where name = ?", (name,))
        self._db.execute("delete from pending where sub = ?", (name,))

    def add(
        self,
        topic: str,
        messages: Sequence[tuple[int, bytes]],
        pending: Iterable[tuple[str, int]],
        *,
        keep: bool,
    ) -> None:
        """Store a publish in one transaction; without anyone waiting it need not be kept."""
        wanted = list(pending)
        if not wanted and not keep:
            return
        now = time.time()
        with _Transaction(self._db):
            self._db.executemany(
                "insert into message values (?, ?, ?, ?)",
                [(id_, topic, now, body) for id_, body in messages],
            )
            self._db.executemany("insert into pending (sub, id) values (?, ?)", wanted)

    def acknowledge(self, sub: str, ids: Sequence[int], *, keep: bool) -> None:
        with _Transaction(self._db):
            rows = [(sub, id_) for id_ in ids]
            self._db.executemany("delete from pending where sub = ? and id = ?", rows)
            if not keep:
                self._db.executemany(
                    "delete from message where id = ?1"
                    " and not exists (select 1 from pending where id = ?1)",
                    [(id_,) for id_ in ids],
                )

    def delivered(self, sub: str, ids: Sequence[int]) -> None:
        """Count a failed delivery, so that attempts survive a restart."""
        with _Transaction(self._db):
            self._db.executemany(
                "update pending set attempts = attempts + 1 where sub = ? and id = ?",
                [(sub, id_) for id_ in ids],
            )

    def body(self, id_: int) -> bytes | None:
        found = self._db.execute("select pb from message where id = ?", (id_,)).fetchone()
        return found[0] if found else None

    def pending(self, sub: str) -> list[tuple[int, int, bytes]]:
        return self._db.execute(
            "select m.id, p.attempts, m.pb from pending p join message m using (id)"
            " where p.sub = ? order by m.id",
            (sub,),
        ).fetchall()

    def since(self, topic: str, at: float) -> list[int]:
        rows = self._db.execute(
            "select id from message where topic = ? and at >= ? order by id", (topic, at)
        )
        return [id_ for (id_,) in rows]

    def replace_pending(self, sub: str, ids: Sequence[int]) -> None:
        with _Transaction(self._db):
            self._db.execute("delete from pending where sub = ?", (sub,))
            self._db.executemany(
                "insert or ignore into pending (sub, id) select ?, id from message where id = ?",
                [(sub, id_) for id_ in ids],
            )

    def prune(self, topic: str, older_than: float) -> None:
        self._db.execute(
            "delete from message where topic = ? and at < ?"
            " and not exists (select 1 from pending where pending.id = message.id)",
            (topic, older_than),
        )

    def close(self) -> None:
        self._db.close()

    def _scalar(self, sql: str) -> int:
        return int(self._db.execute(sql).fetchone()[0])


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("rollback" if kind else "commit")

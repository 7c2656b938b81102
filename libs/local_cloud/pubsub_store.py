"""What the Pub/Sub emulator keeps: resources, messages, and who has not had them.

SQLite in WAL mode: what `Publish` has answered survives a kill of this process.
A message goes when nobody waits for it any more, unless its topic retains, one of
the topic's subscriptions retains what it has acknowledged, or a snapshot exists:
then it stays until it is too old, so that a seek can bring it back.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)

_SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists resource (name text primary key, kind text, pb blob);
create table if not exists message (id integer primary key, topic text, at real, pb blob);
create table if not exists pending
  (sub text, id integer, attempts integer default 0, primary key (sub, id)) without rowid;
create table if not exists snapshot (name text primary key, at real);
create table if not exists held
  (snapshot text, id integer, primary key (snapshot, id)) without rowid;
create index if not exists pending_by_message on pending (id);
create index if not exists held_by_message on held (id);
create index if not exists message_by_topic on message (topic, at);
create temp table wanted (id integer primary key);
"""
_ORPHAN = """not exists (select 1 from pending where pending.id = message.id)
 and not exists (select 1 from held where held.id = message.id)"""
_WANTED = """insert or ignore into wanted
select m.id from pending p join message m on m.id = p.id where p.sub = :sub and m.at >= :at
union select id from message where topic = :topic and at >= :at and selected(pb)
union select m.id from held h join message m on m.id = h.id
  where h.snapshot = :snapshot and selected(m.pb)"""
SETTLE_AT = 500


class Store:
    """Synchronous and quick. Publishes are durable when the call returns.

    Acknowledgements are written in groups: a crash may bring a message back, which
    Pub/Sub allows, but it never loses one. Call `flush` before promising more.
    When the disk is full, what promises nothing waits in memory for room.
    """

    def __init__(self, directory: Path | None) -> None:
        path = str(directory / "pubsub.db") if directory else ":memory:"
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        # Ids are never used twice, even when the newest messages are gone already.
        newest = self._db.execute("select coalesce(max(id), 0) from message").fetchone()[0]
        self._last_id = max(int(newest), int(time.time() * 1000) * 1000)
        self._done: list[tuple[str, int]] = []
        self._gone: list[tuple[int]] = []

    def take_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def resources(self, kind: str) -> list[bytes]:
        rows = self._db.execute("select pb from resource where kind = ? order by name", (kind,))
        return [body for (body,) in rows]

    def save(self, kind: str, message: Any) -> None:
        self._db.execute(
            "insert or replace into resource values (?, ?, ?)",
            (message.name, kind, message.SerializeToString()),
        )

    def forget(self, name: str) -> None:
        """Drop a resource and what waits for it; its messages go with the next sweep."""
        self.flush()
        with _Transaction(self._db):
            self._db.execute("delete from resource where name = ?", (name,))
            self._db.execute("delete from pending where sub = ?", (name,))
            self._db.execute("delete from held where snapshot = ?", (name,))
            self._db.execute("delete from snapshot where name = ?", (name,))

    def add(
        self,
        topic: str,
        at: float,
        messages: Iterable[tuple[int, bytes]],
        pending: Iterable[tuple[str, int]],
    ) -> None:
        """Store a publish in one transaction, with the acknowledgements that wait."""
        with _Transaction(self._db):
            self._db.executemany(
                "insert into message values (?, ?, ?, ?)",
                [(id_, topic, at, body) for id_, body in messages],
            )
            self._db.executemany("insert into pending (sub, id) values (?, ?)", pending)
            self._write_settled()
        self._forget_settled()

    def settle(self, sub: str, ids: Sequence[int], *, keep: bool) -> bool:
        """Note acknowledgements; returns whether somebody should soon `flush` them."""
        idle = not self._done
        self._done += [(sub, id_) for id_ in ids]
        if not keep:
            self._gone += [(id_,) for id_ in ids]
        if len(self._done) >= SETTLE_AT:
            self.try_flush()
        return idle and bool(self._done)

    def flush(self) -> None:
        if self._done:
            with _Transaction(self._db):
                self._write_settled()
            self._forget_settled()

    def try_flush(self) -> bool:
        """Say whether it could be; what could not stays for the next time."""
        try:
            self.flush()
        except sqlite3.Error as error:
            LOG.warning("acknowledgements wait to be written: %s", error)
            return False
        return True

    def _write_settled(self) -> None:
        if not self._done:
            return
        self._db.executemany("delete from pending where sub = ? and id = ?", self._done)
        self._db.executemany(f"delete from message where id = ? and {_ORPHAN}", self._gone)  # noqa: S608  our own text

    def _forget_settled(self) -> None:
        self._done.clear()
        self._gone.clear()

    def failed(self, sub: str, ids: Sequence[int]) -> None:
        """Count failed deliveries, so that attempts survive a restart."""
        with _Transaction(self._db):
            self._db.executemany(
                "update pending set attempts = attempts + 1 where sub = ? and id = ?",
                [(sub, id_) for id_ in ids],
            )

    def body(self, id_: int) -> bytes:
        found: bytes = self._db.execute("select pb from message where id = ?", (id_,)).fetchone()[0]
        return found

    def page(self, sub: str, after: int, size: int) -> list[tuple[int, int, bytes]]:
        """What a subscription has not had, in order of publishing: id, attempts, body."""
        self.flush()
        return self._db.execute(
            "select p.id, p.attempts, m.pb from pending p join message m on m.id = p.id"
            " where p.sub = ? and p.id > ? order by p.id limit ?",
            (sub, after, size),
        ).fetchall()

    def hold(self, snapshot: str, sub: str, at: float) -> None:
        """Keep what a subscription has not had, for as long as the snapshot exists."""
        self.flush()
        with _Transaction(self._db):
            self._db.execute("insert into snapshot values (?, ?)", (snapshot, at))
            self._db.execute(
                "insert into held select ?, id from pending where sub = ?", (snapshot, sub)
            )

    def made_at(self, snapshot: str) -> float:
        found = self._db.execute("select at from snapshot where name = ?", (snapshot,)).fetchone()
        return float(found[0])

    def rewind(
        self, sub: str, at: float, topic: str, snapshot: str, selects: Callable[[bytes], bool]
    ) -> None:
        """Make due again: what waited since `at`, what `topic` retains, what a snapshot holds."""
        self.flush()
        self._db.create_function("selected", 1, selects)
        given = {"sub": sub, "at": at, "topic": topic, "snapshot": snapshot}
        with _Transaction(self._db):
            self._db.execute("delete from wanted")
            self._db.execute(_WANTED, given)
            self._db.execute(
                "delete from pending where sub = ? and id not in (select id from wanted)", (sub,)
            )
            self._db.execute(
                "insert or ignore into pending (sub, id) select ?, id from wanted", (sub,)
            )
            self._db.execute("delete from wanted")

    def topics(self) -> list[str]:
        """Topics that have messages here, existing or not."""
        found: list[str] = []
        topic = ""
        while row := self._db.execute(
            "select topic from message where topic > ? order by topic limit 1", (topic,)
        ).fetchone():
            topic = row[0]
            found.append(topic)
        return found

    def sweep(self, topic: str, older_than: float) -> None:
        """Drop a topic's messages of before a time that nobody waits for."""
        self.flush()
        self._db.execute(
            f"delete from message where topic = ? and at < ? and {_ORPHAN}",  # noqa: S608  our own text
            (topic, older_than),
        )

    def close(self) -> None:
        self.flush()
        self._db.close()


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._db.execute("rollback" if kind else "commit")
        except sqlite3.Error:
            if self._db.in_transaction:  # else SQLite has rolled it back by itself
                self._db.execute("rollback")
            if not kind:
                raise

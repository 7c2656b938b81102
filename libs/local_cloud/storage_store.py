"""What the Cloud Storage emulator keeps: buckets and objects, in SQLite."""

import base64
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from typing import Any

import google_crc32c

_SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists bucket (name text primary key, created real);
create table if not exists object
  (bucket text, name text, generation integer, metageneration integer, created real,
   updated real, content_type text, crc32c text, md5 text, size integer, metadata text,
   body blob, primary key (bucket, name)) without rowid;
"""
_COLUMNS = (
    "bucket, name, generation, metageneration, created, updated, content_type,"
    " crc32c, md5, size, metadata"
)


class ConflictError(Exception):
    """The bucket exists already, or is not empty."""


class PreconditionError(Exception):
    """A generation is not as the caller demanded."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold of an object for a call to go through; 0 means: must not exist."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None

    def check(self, found: "StoredObject | None") -> None:
        current = found.generation if found else 0
        if self.generation is not None and self.generation != current:
            raise PreconditionError
        if self.not_generation is not None and self.not_generation == current:
            raise PreconditionError
        if self.metageneration is not None and (
            found is None or self.metageneration != found.metageneration
        ):
            raise PreconditionError


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object without its body."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    created: float
    updated: float
    content_type: str
    crc32c: str
    md5: str
    size: int
    metadata: str

    @property
    def etag(self) -> str:
        text = f"{self.generation}/{self.metageneration}"
        return base64.b64encode(text.encode()).decode()


class Store:
    """Synchronous and quick; every change is one transaction, durable when it returns."""

    def __init__(self, directory: Path | None) -> None:
        path = str(directory / "storage.db") if directory else ":memory:"
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._last_generation = 0

    def create_bucket(self, name: str) -> None:
        try:
            self._db.execute("insert into bucket values (?, ?)", (name, time.time()))
        except sqlite3.IntegrityError:
            raise ConflictError(name) from None

    def bucket(self, name: str) -> float | None:
        row = self._db.execute("select created from bucket where name = ?", (name,)).fetchone()
        return float(row[0]) if row else None

    def buckets(self) -> list[tuple[str, float]]:
        return self._db.execute("select name, created from bucket order by name").fetchall()

    def delete_bucket(self, name: str) -> None:
        if self.names(name, "", "", 1):
            raise ConflictError(name)
        self._db.execute("delete from bucket where name = ?", (name,))

    def put(  # noqa: PLR0913  an object has this many parts
        self,
        bucket: str,
        name: str,
        body: bytes,
        *,
        content_type: str,
        metadata: str,
        precondition: Precondition,
    ) -> StoredObject:
        precondition.check(self.find(bucket, name))
        now = time.time()
        found = StoredObject(
            bucket,
            name,
            self._generation(),
            1,
            now,
            now,
            content_type,
            base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode(),
            base64.b64encode(md5(body, usedforsecurity=False).digest()).decode(),
            len(body),
            metadata,
        )
        self._write(found, body)
        return found

    def patch(
        self, found: StoredObject, changes: Mapping[str, str], precondition: Precondition
    ) -> StoredObject:
        precondition.check(found)
        self._db.execute(
            "update object set content_type = ?, metadata = ?, updated = ?,"
            " metageneration = metageneration + 1 where bucket = ? and name = ?",
            (
                changes.get("content_type", found.content_type),
                changes.get("metadata", found.metadata),
                time.time(),
                found.bucket,
                found.name,
            ),
        )
        return self.find(found.bucket, found.name) or found

    def find(self, bucket: str, name: str) -> StoredObject | None:
        row = self._db.execute(
            f"select {_COLUMNS} from object where bucket = ? and name = ?",  # noqa: S608  constant
            (bucket, name),
        ).fetchone()
        return StoredObject(*row) if row else None

    def body(self, bucket: str, name: str) -> bytes:
        row = self._db.execute(
            "select body from object where bucket = ? and name = ?", (bucket, name)
        ).fetchone()
        return bytes(row[0])

    def delete(self, found: StoredObject, precondition: Precondition) -> None:
        precondition.check(found)
        self._db.execute(
            "delete from object where bucket = ? and name = ?", (found.bucket, found.name)
        )

    def names(self, bucket: str, start: str, end: str, most: int) -> list[str]:
        """Names from `start` (inclusive) to `end` (exclusive, empty: no end), in order."""
        rows = self._db.execute(
            "select name from object where bucket = ?1 and name >= ?2"
            " and (?3 = '' or name < ?3) order by name limit ?4",
            (bucket, start, end, most),
        )
        return [name for (name,) in rows]

    def close(self) -> None:
        self._db.close()

    def _generation(self) -> int:
        """Microseconds since 1970, as the real service's look, and never twice the same."""
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        return self._last_generation

    def _write(self, found: StoredObject, body: bytes) -> None:
        self._db.execute(
            "insert or replace into object values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                found.bucket,
                found.name,
                found.generation,
                found.metageneration,
                found.created,
                found.updated,
                found.content_type,
                found.crc32c,
                found.md5,
                found.size,
                found.metadata,
                body,
            ),
        )


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_resource(found: StoredObject, metadata: Any) -> dict[str, object]:
    """An object as the JSON API shows it."""
    return {
        "kind": "storage#object",
        "id": f"{found.bucket}/{found.name}/{found.generation}",
        "name": found.name,
        "bucket": found.bucket,
        "generation": str(found.generation),
        "metageneration": str(found.metageneration),
        "contentType": found.content_type,
        "storageClass": "STANDARD",
        "size": str(found.size),
        "md5Hash": found.md5,
        "crc32c": found.crc32c,
        "etag": found.etag,
        "timeCreated": rfc3339(found.created),
        "updated": rfc3339(found.updated),
        **({"metadata": metadata} if metadata else {}),
    }

"""What the Cloud Storage emulator keeps: buckets and objects, in SQLite."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from libs.local_cloud.storage_contents import Contents, Digest, digest_of
from libs.local_cloud.storage_database import Database
from libs.local_cloud.storage_resources import (
    ALWAYS,
    BUCKET_WRITABLE,
    WRITABLE,
    Precondition,
    StoredBucket,
    StoredObject,
    kept_fields,
    patched_fields,
)

_BUCKET_COLUMNS = "name, created, updated, metageneration, fields"
_COLUMNS = (
    "bucket, name, generation, metageneration, created, updated, size, crc32c, md5, fields, content"
)


class ConflictError(Exception):
    """The bucket exists already, or is not empty."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A body that is to become an object: small and in memory, or received already."""

    digest: Digest
    body: bytes = b""
    content: int | None = None

    @classmethod
    def of(cls, body: bytes) -> "Draft":
        return cls(digest_of(body), body)


class Store:
    """Synchronous, so that checking and changing are one step for every other caller.

    Changes are durable when `Database.committed` returns.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.contents = Contents(database)
        self._last_generation = 0

    async def committed(self) -> None:
        """Wait until everything seen so far is durable: do so before answering."""
        await self._database.committed()

    def bucket(self, name: str) -> StoredBucket | None:
        row = self._database.read(
            f"select {_BUCKET_COLUMNS} from bucket where name = ?",  # noqa: S608  constant
            name,
        ).fetchone()
        return _bucket(row) if row else None

    def buckets(self, prefix: str, start: str, most: int) -> list[StoredBucket]:
        rows = self._database.read(
            f"select {_BUCKET_COLUMNS} from bucket"  # noqa: S608  constant
            " where name >= ?1 and substr(name, 1, ?2) = ?3 order by name limit ?4",
            max(prefix, start),
            len(prefix),
            prefix,
            most,
        )
        return [_bucket(row) for row in rows]

    def create_bucket(self, name: str, said: Mapping[str, Any]) -> StoredBucket:
        if self.bucket(name) is not None:
            raise ConflictError(name)
        now = time.time()
        return self._save_bucket(
            StoredBucket(name, now, now, 1, kept_fields(said, BUCKET_WRITABLE))
        )

    def patch_bucket(self, found: StoredBucket, changes: Mapping[str, Any]) -> StoredBucket:
        return self._save_bucket(
            replace(
                found,
                updated=time.time(),
                metageneration=found.metageneration + 1,
                fields=patched_fields(found.fields, changes, BUCKET_WRITABLE),
            )
        )

    def delete_bucket(self, name: str) -> None:
        if next(self.objects(name, "", ""), None) is not None:
            raise ConflictError(name)
        self._database.write("delete from bucket where name = ?", name)

    def put(
        self,
        bucket: str,
        name: str,
        draft: Draft,
        said: Mapping[str, Any],
        precondition: Precondition = ALWAYS,
    ) -> StoredObject:
        """Make or replace an object; takes over the draft's content if it has one."""
        before = self.find(bucket, name)
        precondition.check(before)
        if draft.content is None:
            content = self.contents.add(draft.body)
        else:
            content = draft.content
            self.contents.adopt(content)
        now = time.time()
        found = StoredObject(
            bucket,
            name,
            self._generation(before),
            1,
            now,
            now,
            draft.digest.size,
            draft.digest.crc32c,
            draft.digest.md5,
            json.dumps(kept_fields(said), separators=(",", ":")),
            content,
        )
        self._database.write(
            "insert or replace into object values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *astuple(found),
        )
        if before is not None:
            self.contents.free(before.content)
        return found

    def copy(
        self,
        source: StoredObject,
        bucket: str,
        name: str,
        said: Mapping[str, Any],
        precondition: Precondition,
    ) -> StoredObject:
        """Make an object that shares the content of another."""
        precondition.check(self.find(bucket, name))
        digest = Digest(source.size, source.crc32c, source.md5)
        shared = self.contents.share(source.content)
        return self.put(bucket, name, Draft(digest, content=shared), said)

    def patch(self, found: StoredObject, changes: Mapping[str, Any]) -> StoredObject:
        fields = patched_fields(json.loads(found.fields), changes, WRITABLE)
        patched = replace(
            found,
            metageneration=found.metageneration + 1,
            updated=time.time(),
            fields=json.dumps(fields, separators=(",", ":")),
        )
        self._database.write(
            "update object set metageneration = ?, updated = ?, fields = ?"
            " where bucket = ? and name = ?",
            patched.metageneration,
            patched.updated,
            patched.fields,
            found.bucket,
            found.name,
        )
        return patched

    def delete(self, found: StoredObject) -> None:
        self._database.write(
            "delete from object where bucket = ? and name = ?", found.bucket, found.name
        )
        self.contents.free(found.content)

    def find(self, bucket: str, name: str) -> StoredObject | None:
        row = self._database.read(
            f"select {_COLUMNS} from object where bucket = ? and name = ?",  # noqa: S608  constant
            bucket,
            name,
        ).fetchone()
        return StoredObject(*row) if row else None

    def objects(self, bucket: str, start: str, end: str) -> Iterator[StoredObject]:
        """Objects from `start` (inclusive) to `end` (exclusive; empty: no end), by name."""
        rows = self._database.read(
            f"select {_COLUMNS} from object"  # noqa: S608  constant
            " where bucket = ?1 and name >= ?2 and (?3 = '' or name < ?3) order by name",
            bucket,
            start,
            end,
        )
        return (StoredObject(*row) for row in rows)

    def _save_bucket(self, bucket: StoredBucket) -> StoredBucket:
        self._database.write(
            "insert or replace into bucket values (?, ?, ?, ?, ?)",
            *(bucket.name, bucket.created, bucket.updated, bucket.metageneration),
            json.dumps(bucket.fields),
        )
        return bucket

    def _generation(self, before: StoredObject | None) -> int:
        """Microseconds since 1970, as the real service's look, and always growing."""
        least = max(self._last_generation, before.generation if before else 0) + 1
        self._last_generation = max(least, time.time_ns() // 1000)
        return self._last_generation


def _bucket(row: tuple[Any, ...]) -> StoredBucket:
    name, created, updated, metageneration, fields = row
    return StoredBucket(name, created, updated, metageneration, json.loads(fields))

"""Resources with a secret each, for the KMS and Secret Manager emulators.

Secrets are sealed by a master key that lies beside them with mode 0600, so
that a copied database alone gives nothing away.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.timestamp_pb2 import Timestamp

from libs.local_cloud.rpc import RpcError

NONCE_BYTES = 12
KEY_BITS = 256
_SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists resource (name text primary key, kind text, pb blob, sealed blob);
create table if not exists policy (resource text primary key, pb blob);
"""


class LooseKeyError(RuntimeError):
    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(
            f"{path} has mode {mode:04o}, so others may read it: run `chmod 600 {path}`"
        )


class LostKeyError(RuntimeError):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is missing, and what lies beside it was sealed by it:"
            " put it back, or delete the whole directory to begin anew"
        )


class SealedStore:
    """Synchronous and quick; every change is durable when it returns."""

    def __init__(self, directory: Path | None, file: str) -> None:
        self._db = sqlite3.connect(
            str(directory / file) if directory else ":memory:", isolation_level=None
        )
        self._db.executescript(_SCHEMA)
        sealed = self._db.execute("select 1 from resource where sealed is not null").fetchone()
        self._master = AESGCM(_master_key(directory, wanted=sealed is not None))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the changes of the block one: a crash keeps all of them or none."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def create(self, kind: str, resource: Any, secret: bytes | None = None) -> None:
        if self._row(resource.name) is not None:
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"{resource.name} already exists.")
        sealed = None if secret is None else self._seal(resource.name, secret)
        self._db.execute(
            "insert into resource values (?, ?, ?, ?)",
            (resource.name, kind, type(resource).serialize(resource), sealed),
        )

    def update(self, resource: Any) -> None:
        self._db.execute(
            "update resource set pb = ? where name = ?",
            (type(resource).serialize(resource), resource.name),
        )

    def get(self, class_: Any, name: str) -> Any:
        row = self._row(name)
        if row is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"{name} not found.")
        return class_.deserialize(row[0])

    def list(self, class_: Any, kind: str, parent: str) -> list[Any]:
        """Return what lies directly below a parent, in the order it was made."""
        rows = self._db.execute(
            "select name, pb from resource where kind = ? and substr(name, 1, ?) = ?"
            " order by rowid",
            (kind, len(parent) + 1, f"{parent}/"),
        )
        return [class_.deserialize(pb) for name, pb in rows if name.rsplit("/", 2)[0] == parent]

    def secret(self, name: str) -> bytes:
        row = self._row(name)
        if row is None or not row[1]:
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, f"{name} has been destroyed.")
        nonce, sealed = row[1][:NONCE_BYTES], row[1][NONCE_BYTES:]
        return self._master.decrypt(nonce, sealed, name.encode())

    def shred(self, name: str) -> None:
        self._db.execute("update resource set sealed = null where name = ?", (name,))

    def delete_tree(self, name: str) -> None:
        for table, key in (("resource", "name"), ("policy", "resource")):
            self._db.execute(
                f"delete from {table} where {key} = ?1 or substr({key}, 1, ?2) = ?3",  # noqa: S608  constants
                (name, len(name) + 1, f"{name}/"),
            )

    def policy(self, resource: str) -> bytes:
        """Return the policy last set on a resource that exists."""
        if self._row(resource) is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"{resource} not found.")
        row = self._db.execute("select pb from policy where resource = ?", (resource,)).fetchone()
        return bytes(row[0]) if row else b""

    def set_policy(self, resource: str, policy: bytes) -> None:
        self._db.execute("insert or replace into policy values (?, ?)", (resource, policy))

    def close(self) -> None:
        self._db.close()

    def _row(self, name: str) -> tuple[bytes, bytes] | None:
        found: tuple[bytes, bytes] | None = self._db.execute(
            "select pb, sealed from resource where name = ?", (name,)
        ).fetchone()
        return found

    def _seal(self, name: str, secret: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, secret, name.encode())


def change(target: Any, source: Any, paths: Sequence[str], allowed: frozenset[str]) -> None:
    """Copy the fields that an update mask names."""
    for path in paths:
        if path not in allowed:
            raise RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"update_mask: '{path}' cannot be changed: one of {', '.join(sorted(allowed))}.",
            )
        setattr(target, path, getattr(source, path))


def _master_key(directory: Path | None, *, wanted: bool) -> bytes:
    if directory is None:
        return AESGCM.generate_key(KEY_BITS)
    path = directory / "master.key"
    if not path.exists():
        if wanted:
            raise LostKeyError(path)
        _make_key(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise LooseKeyError(path, mode)
    return path.read_bytes()


def _make_key(path: Path) -> None:
    """Whole or not at all: a crash leaves no half key under its name."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(AESGCM.generate_key(KEY_BITS))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def now() -> Timestamp:
    found = Timestamp()
    found.GetCurrentTime()
    return found

"""Resumable uploads under way; what was acknowledged of one survives a crash."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.local_cloud.storage_contents import Contents
from libs.local_cloud.storage_database import Database
from libs.local_cloud.storage_resources import Precondition

KEPT_SECONDS = 7 * 24 * 3600
_COLUMNS = "id, bucket, fields, precondition, content, received, finished"


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    bucket: str
    said: Mapping[str, Any]
    precondition: Precondition
    content: int
    received: int
    finished: str | None
    """The object it became, as it was shown: a client that missed it may ask again."""


class Sessions:
    """Synchronous; durable when `Database.committed` returns."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    def begin(self, bucket: str, said: Mapping[str, Any], precondition: Precondition) -> str:
        made = secrets.token_urlsafe(32)
        self._database.write(
            "insert into upload values (?, ?, ?, ?, ?, 0, ?, null)",
            *(made, bucket, json.dumps(said), precondition.as_json()),
            *(self._contents.begin(), time.time()),
        )
        return made

    def find(self, session_id: str) -> Session | None:
        row = self._database.read(
            f"select {_COLUMNS} from upload where id = ?",  # noqa: S608  constant
            session_id,
        ).fetchone()
        return _session(row) if row else None

    def received(self, session: Session, size: int) -> None:
        self._database.write(
            "update upload set received = received + ? where id = ?", size, session.id
        )

    def finish(self, session: Session, shown: Mapping[str, Any]) -> None:
        self._database.write(
            "update upload set finished = ? where id = ?", json.dumps(shown), session.id
        )

    def cancel(self, session: Session) -> None:
        if session.finished is None:
            self._contents.drop(session.content)
        self._database.write("delete from upload where id = ?", session.id)

    def drop_expired(self) -> None:
        rows = self._database.read(
            f"select {_COLUMNS} from upload where started < ?",  # noqa: S608  constant
            time.time() - KEPT_SECONDS,
        ).fetchall()
        for row in rows:
            self.cancel(_session(row))


def _session(row: tuple[Any, ...]) -> Session:
    precondition = Precondition(**json.loads(row[3]))
    return Session(row[0], row[1], json.loads(row[2]), precondition, *row[4:])

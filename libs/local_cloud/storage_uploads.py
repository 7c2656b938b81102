"""The upload methods of the Cloud Storage emulator: at once, multipart, resumable."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from libs.local_cloud.storage_contents import PIECE_BYTES
from libs.local_cloud.storage_multipart import split
from libs.local_cloud.storage_requests import (
    RefusedError,
    bucket_of,
    json_of,
    precondition_of,
)
from libs.local_cloud.storage_resources import Precondition, PreconditionError, object_resource
from libs.local_cloud.storage_sessions import Session, Sessions
from libs.local_cloud.storage_store import Draft, Store

PATH = "/upload/storage/v1/b/{bucket}/o"
RESUME_INCOMPLETE = 308
CLIENT_CLOSED_REQUEST = 499
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


class Uploads:
    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        self._busy: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(PATH, self.upload),
            web.put(PATH, self.resume),
            web.delete(PATH, self.cancel),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        bucket = request.match_info["bucket"]
        bucket_of(self._store, bucket)
        match request.query.get("uploadType"):
            case "media":
                said = {"contentType": request.headers.get("Content-Type")}
                draft = await self._received(request)
            case "multipart":
                said, body = split(request.headers["Content-Type"], await request.read())
                draft = Draft.of(body)
            case "resumable":
                return await self._begin(request, bucket)
            case other:
                raise RefusedError(
                    400, "invalid", f"uploadType must be media, multipart or resumable: '{other}'."
                )
        resource = self._keep(bucket, _named(request, said), draft, precondition_of(request))
        return web.json_response(resource)

    async def resume(self, request: web.Request) -> web.Response:
        session_id = request.query.get("upload_id", "")
        async with self._busy.setdefault(session_id, asyncio.Lock()):
            return await self._resume(request, self._session(session_id))

    async def cancel(self, request: web.Request) -> web.Response:
        session_id = request.query.get("upload_id", "")
        async with self._busy.setdefault(session_id, asyncio.Lock()):
            self._sessions.cancel(self._session(session_id))
        return web.Response(status=CLIENT_CLOSED_REQUEST)

    async def _begin(self, request: web.Request, bucket: str) -> web.Response:
        said = _named(request, await json_of(request))
        said.setdefault("contentType", request.headers.get("X-Upload-Content-Type"))
        precondition = precondition_of(request)
        precondition.check(self._store.find(bucket, said["name"]))
        session_id = self._sessions.begin(bucket, said, precondition)
        query = {"uploadType": "resumable", "upload_id": session_id}
        return web.Response(headers={"Location": str(request.url.with_query(query))})

    async def _resume(self, request: web.Request, session: Session) -> web.Response:
        if session.finished is not None:
            return web.json_response(json.loads(session.finished))
        total = await self._take(request, session)
        session = self._session(session.id)
        if total is None or session.received < total:
            sent = {"Range": f"bytes=0-{session.received - 1}"} if session.received else {}
            return web.Response(status=RESUME_INCOMPLETE, headers=sent)
        return await self._finish(request, session)

    async def _take(self, request: web.Request, session: Session) -> int | None:
        """Append what is new of a chunk; return how long the whole is to be, if it is known."""
        stated = request.headers.get("Content-Range")
        if stated is None:
            await self._append(request, session, 0)
            return self._session(session.id).received
        chunk = _CONTENT_RANGE.fullmatch(stated)
        if chunk is None:
            raise RefusedError(400, "invalid", f"Invalid Content-Range: '{stated}'.")
        if chunk["first"] is not None:
            await self._append(request, session, int(chunk["first"]))
        return None if chunk["total"] == "*" else int(chunk["total"])

    async def _append(self, request: web.Request, session: Session, first: int) -> None:
        if first > session.received:
            raise RefusedError(
                400,
                "invalid",
                f"Invalid request. According to the Content-Range header, the upload offset is"
                f" {first} byte(s), which exceeds already uploaded size of"
                f" {session.received} byte(s).",
            )
        news = _without(request.content.iter_any(), session.received - first)
        async for size in self._store.contents.receive(session.content, news):
            self._sessions.received(session, size)

    async def _finish(self, request: web.Request, session: Session) -> web.Response:
        bucket_of(self._store, session.bucket)
        digest = await self._store.contents.digest(session.content)
        said = {**_stated_sums(request), **session.said}
        draft = Draft(digest, content=session.content)
        try:
            resource = self._keep(session.bucket, said, draft, session.precondition)
        except (RefusedError, PreconditionError):
            self._sessions.cancel(session)
            raise
        self._sessions.finish(session, resource)
        return web.json_response(resource)

    async def _received(self, request: web.Request) -> Draft:
        """Take a whole body, in memory when it is small."""
        if (request.content_length or PIECE_BYTES) < PIECE_BYTES:
            return Draft.of(await request.read())
        contents = self._store.contents
        content = contents.begin_draft()
        async for _ in contents.receive(content, request.content.iter_any()):
            pass
        return Draft(await contents.digest(content), content=content)

    def _keep(
        self, bucket: str, said: Mapping[str, Any], draft: Draft, precondition: Precondition
    ) -> dict[str, Any]:
        try:
            _check_sums(said, draft)
            found = self._store.put(bucket, said["name"], draft, said, precondition)
        except (RefusedError, PreconditionError):
            if draft.content is not None:
                self._store.contents.drop(draft.content)
            raise
        return object_resource(found)

    def _session(self, session_id: str) -> Session:
        found = self._sessions.find(session_id)
        if found is None:
            raise RefusedError(404, "notFound", "There is no such upload: begin it again.")
        return found


async def _without(chunks: AsyncIterator[bytes], known: int) -> AsyncIterator[bytes]:
    """Skip what an earlier try delivered already."""
    async for chunk in chunks:
        if news := chunk[known:]:
            yield news
        known = max(0, known - len(chunk))


def _named(request: web.Request, said: Mapping[str, Any]) -> dict[str, Any]:
    name = request.query.get("name") or said.get("name")
    if not name:
        raise RefusedError(400, "required", "Required parameter: name")
    return {**said, "name": name}


def _check_sums(said: Mapping[str, Any], draft: Draft) -> None:
    for name, found in (("crc32c", draft.digest.crc32c), ("md5Hash", draft.digest.md5)):
        if said.get(name) not in {None, found}:
            raise RefusedError(
                400,
                "invalid",
                f"Provided {name} '{said[name]}' doesn't match calculated '{found}'.",
            )


def _stated_sums(request: web.Request) -> dict[str, str]:
    stated = request.headers.get("X-Goog-Hash", "")
    pairs = dict(pair.strip().split("=", 1) for pair in stated.split(",") if "=" in pair)
    return {
        field: pairs[name]
        for name, field in (("crc32c", "crc32c"), ("md5", "md5Hash"))
        if name in pairs
    }

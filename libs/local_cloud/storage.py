"""Cloud Storage's JSON API on a loopback port, for Google's own client.

    python -m libs.local_cloud.storage --port 9199 --state-dir .local/storage

What the product needs of it, exactly: preconditions on generations, so that of
many creators of one object one wins; listing in order; durable before answered.
"""

import itertools
import json
import re
from collections.abc import Callable
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running, run
from libs.local_cloud.storage_store import (
    ConflictError,
    Precondition,
    PreconditionError,
    Store,
    StoredObject,
    as_resource,
    rfc3339,
)

MAX_BODY = 1 << 30
PAGE = 1000
RESUME = 308
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class _Answer(Exception):  # noqa: N818  not an error: it carries the answer
    def __init__(self, status: int, reason: str, message: str) -> None:
        self.response = web.json_response(
            {
                "error": {
                    "code": status,
                    "message": message,
                    "errors": [{"message": message, "domain": "global", "reason": reason}],
                }
            },
            status=status,
        )
        super().__init__(message)


class Emulator:
    """All routes, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        bucket, item = "/storage/v1/b/{bucket}", "/storage/v1/b/{bucket}/o/{name:.+}"
        upload = "/upload/storage/v1/b/{bucket}/o"
        return [
            web.post("/storage/v1/b", self.create_bucket),
            web.get("/storage/v1/b", self.list_buckets),
            web.get(bucket, self.get_bucket),
            web.delete(bucket, self.delete_bucket),
            web.get(f"{bucket}/o", self.list_objects),
            web.post(upload, self.upload),
            web.put(upload, self.resume),
            web.post(
                "/storage/v1/b/{bucket}/o/{name:.+}/rewriteTo/b/{to_bucket}/o/{to_name:.+}",
                self.rewrite,
            ),
            web.post(
                "/storage/v1/b/{bucket}/o/{name:.+}/copyTo/b/{to_bucket}/o/{to_name:.+}",
                self.copy,
            ),
            web.get("/download" + item, self.download),
            web.get(item, self.get_object),
            web.patch(item, self.patch_object),
            web.put(item, self.patch_object),
            web.delete(item, self.delete_object),
        ]

    # buckets

    async def create_bucket(self, request: web.Request) -> web.Response:
        name = (await request.json()).get("name", "")
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", name):
            raise _Answer(400, "invalid", f"Invalid bucket name: '{name}'")
        try:
            self._store.create_bucket(name)
        except ConflictError:
            raise _Answer(409, "conflict", f"The bucket {name} exists already.") from None
        return web.json_response(self._bucket(name))

    async def list_buckets(self, _: web.Request) -> web.Response:
        items = [self._bucket(name) for name, _ in self._store.buckets()]
        return web.json_response({"kind": "storage#buckets", "items": items})

    async def get_bucket(self, request: web.Request) -> web.Response:
        return web.json_response(self._bucket(request.match_info["bucket"]))

    async def delete_bucket(self, request: web.Request) -> web.Response:
        name = request.match_info["bucket"]
        self._bucket(name)
        try:
            self._store.delete_bucket(name)
        except ConflictError:
            raise _Answer(409, "conflict", f"The bucket {name} is not empty.") from None
        return web.Response(status=204)

    # objects

    async def upload(self, request: web.Request) -> web.StreamResponse:
        bucket = request.match_info["bucket"]
        self._bucket(bucket)
        match request.query.get("uploadType"):
            case "media":
                name = request.query.get("name", "")
                metadata = {"name": name, "contentType": request.content_type}
                return self._put(request, bucket, metadata, await request.read())
            case "multipart":
                metadata, body = _multipart(request.headers["Content-Type"], await request.read())
                metadata.setdefault("name", request.query.get("name", ""))
                return self._put(request, bucket, metadata, body)
            case "resumable":
                return await self._begin(request, bucket)
        raise _Answer(400, "invalid", "uploadType must be media, multipart or resumable.")

    async def _begin(self, request: web.Request, bucket: str) -> web.Response:
        text = await request.text()
        metadata = json.loads(text) if text else {}
        metadata.setdefault("name", request.query.get("name", ""))
        metadata.setdefault(
            "contentType", request.headers.get("X-Upload-Content-Type", "application/octet-stream")
        )
        upload_id = f"u{next(self._numbers)}"
        precondition = _precondition(request)
        self._uploads[upload_id] = {
            "bucket": bucket,
            "metadata": metadata,
            "precondition": precondition,
            "body": bytearray(),
        }
        location = request.url.with_query({"uploadType": "resumable", "upload_id": upload_id})
        return web.Response(status=200, headers={"Location": str(location)})

    async def resume(self, request: web.Request) -> web.StreamResponse:
        upload_id = request.query.get("upload_id", "")
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise _Answer(404, "notFound", "There is no such upload.")
        chunk, body = await request.read(), upload["body"]
        found = _CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if found is None:
            body[:] = chunk
        elif found.group(1) is not None:
            del body[int(found.group(1)) :]
            body += chunk
        total = found.group(3) if found else str(len(body))
        if total == "*" or int(total) > len(body):
            sent = {"Range": f"bytes=0-{len(body) - 1}"} if body else {}
            return web.Response(status=RESUME, headers=sent)
        del self._uploads[upload_id]
        return self._store_object(
            upload["bucket"], upload["metadata"], bytes(body), upload["precondition"]
        )

    def _put(
        self, request: web.Request, bucket: str, metadata: dict[str, Any], body: bytes
    ) -> web.Response:
        return self._store_object(bucket, metadata, body, _precondition(request))

    def _store_object(
        self, bucket: str, metadata: dict[str, Any], body: bytes, precondition: Precondition
    ) -> web.Response:
        if not metadata.get("name"):
            raise _Answer(400, "required", "Required parameter: name")
        found = self._store.put(
            bucket,
            metadata["name"],
            body,
            content_type=metadata.get("contentType") or "application/octet-stream",
            metadata=json.dumps(metadata.get("metadata") or {}),
            precondition=precondition,
        )
        if metadata.get("crc32c") not in {None, found.crc32c}:
            self._store.delete(found, Precondition())
            raise _Answer(400, "invalid", "Provided CRC32C does not match calculated CRC32C.")
        return web.json_response(_shown(found))

    async def get_object(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("alt") == "media":
            return await self.download(request)
        found = self._object(request)
        _check_read(request, found)
        return web.json_response(_shown(found))

    async def download(self, request: web.Request) -> web.StreamResponse:
        found = self._object(request)
        _check_read(request, found)
        body = self._store.body(found.bucket, found.name)
        headers = {
            "X-Goog-Hash": f"crc32c={found.crc32c},md5={found.md5}",
            "X-Goog-Generation": str(found.generation),
            "X-Goog-Metageneration": str(found.metageneration),
            "X-Goog-Stored-Content-Length": str(found.size),
            "ETag": found.etag,
            "Content-Type": found.content_type,
        }
        span = _RANGE.fullmatch(request.headers.get("Range", ""))
        if span is None:
            return web.Response(body=body, headers=headers)
        return _part(body, span, headers)

    async def patch_object(self, request: web.Request) -> web.Response:
        found, body = self._object(request), await request.json()
        changes = {}
        if "contentType" in body:
            changes["content_type"] = body["contentType"]
        if "metadata" in body:
            changes["metadata"] = json.dumps(body["metadata"] or {})
        return web.json_response(_shown(self._store.patch(found, changes, _precondition(request))))

    async def delete_object(self, request: web.Request) -> web.Response:
        self._store.delete(self._object(request), _precondition(request))
        return web.Response(status=204)

    async def rewrite(self, request: web.Request) -> web.Response:
        resource = await self._copied(request)
        size = resource["size"]
        return web.json_response(
            {
                "kind": "storage#rewriteResponse",
                "done": True,
                "objectSize": size,
                "totalBytesRewritten": size,
                "resource": resource,
            }
        )

    async def copy(self, request: web.Request) -> web.Response:
        return web.json_response(await self._copied(request))

    async def _copied(self, request: web.Request) -> dict[str, object]:
        source = self._object(request)
        to_bucket = request.match_info["to_bucket"]
        self._bucket(to_bucket)
        return _shown(
            self._store.put(
                to_bucket,
                unquote(request.match_info["to_name"]),
                self._store.body(source.bucket, source.name),
                content_type=source.content_type,
                metadata=source.metadata,
                precondition=_precondition(request),
            )
        )

    async def list_objects(self, request: web.Request) -> web.Response:
        bucket, query = request.match_info["bucket"], request.query
        self._bucket(bucket)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("maxResults", PAGE)), PAGE)
        start = max(prefix, query.get("startOffset", ""), query.get("pageToken", ""))
        names, prefixes, token = self._listed(
            bucket, prefix, delimiter, start, query.get("endOffset", ""), most
        )
        found = (self._store.find(bucket, name) for name in names)
        body: dict[str, object] = {
            "kind": "storage#objects",
            "items": [_shown(item) for item in found if item is not None],
            "prefixes": prefixes,
        }
        if token:
            body["nextPageToken"] = token
        return web.json_response(body)

    def _listed(  # noqa: PLR0913, PLR0917  the parameters of one list call
        self, bucket: str, prefix: str, delimiter: str, start: str, end: str, most: int
    ) -> tuple[list[str], list[str], str]:
        """Names and common prefixes, at most so many, and where the next page starts."""
        names: list[str] = []
        prefixes: list[str] = []
        while page := self._store.names(bucket, start, end, most + 1):
            for name in page:
                if not name.startswith(prefix):
                    return names, prefixes, ""
                if name < start:
                    continue
                if len(names) + len(prefixes) == most:
                    return names, prefixes, name
                cut = name.find(delimiter, len(prefix)) if delimiter else -1
                if cut < 0:
                    names.append(name)
                    start = name + "\0"
                    continue
                folder = name[: cut + len(delimiter)]
                prefixes.append(folder)
                start = folder[:-1] + chr(ord(folder[-1]) + 1)
                break  # everything else in this folder is one prefix: read on behind it
        return names, prefixes, ""

    def _bucket(self, name: str) -> dict[str, object]:
        created = self._store.bucket(name)
        if created is None:
            raise _Answer(404, "notFound", "The specified bucket does not exist.")
        return {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "timeCreated": rfc3339(created),
            "updated": rfc3339(created),
            "metageneration": "1",
            "location": "US",
            "storageClass": "STANDARD",
            "etag": "CAE=",
        }

    def _object(self, request: web.Request) -> StoredObject:
        bucket, name = request.match_info["bucket"], unquote(request.match_info["name"])
        self._bucket(bucket)
        found = self._store.find(bucket, name)
        if found is None:
            raise _Answer(404, "notFound", f"No such object: {bucket}/{name}")
        return found


def _shown(found: StoredObject) -> dict[str, object]:
    return as_resource(found, json.loads(found.metadata))


def _precondition(request: web.Request) -> Precondition:
    def number(name: str) -> int | None:
        value = request.query.get(name)
        return None if value is None else int(value)

    return Precondition(
        number("ifGenerationMatch"),
        number("ifGenerationNotMatch"),
        number("ifMetagenerationMatch"),
    )


def _check_read(request: web.Request, found: StoredObject) -> None:
    wanted = request.query.get("generation")
    if wanted is not None and int(wanted) != found.generation:
        raise _Answer(404, "notFound", f"No such object: {found.bucket}/{found.name}")
    _precondition(request).check(found)


def _part(body: bytes, span: re.Match[str], headers: dict[str, str]) -> web.Response:
    first, last = span.group(1), span.group(2)
    if first:
        start, end = int(first), int(last) if last else len(body) - 1
    else:
        start, end = max(0, len(body) - int(last or 0)), len(body) - 1
    end = min(end, len(body) - 1)
    if start > end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
    headers = {**headers, "Content-Range": f"bytes {start}-{end}/{len(body)}"}
    return web.Response(status=206, body=body[start : end + 1], headers=headers)


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a multipart/related upload into its metadata and its media."""
    boundary = BytesParser().parsebytes(f"Content-Type: {content_type}\n\n".encode()).get_boundary()
    if not boundary:
        raise _Answer(400, "invalid", "A multipart upload needs a boundary.")
    parts = body.split(b"--" + boundary.encode())
    if len(parts) < 4:  # noqa: PLR2004  before, metadata, media, after
        raise _Answer(400, "invalid", "A multipart upload has two parts.")
    metadata, media = (_content(part) for part in (parts[1], b"".join(parts[2:-1])))
    found = json.loads(metadata[1])
    found.setdefault("contentType", media[0])
    return found, media[1]


def _content(part: bytes) -> tuple[str, bytes]:
    head, _, content = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
    headers = BytesParser().parsebytes(head + b"\r\n\r\n", headersonly=True)
    return headers.get("content-type", ""), content.removesuffix(b"\r\n")


def _middleware(faults: Faults) -> Callable[..., Any]:
    @web.middleware
    async def serve(request: web.Request, handler: Any) -> web.StreamResponse:
        await faults.delay()
        fails = faults.hits(faults.plan.error_rate)
        lost_reply = fails and faults.hits(0.5)
        if fails and not lost_reply:
            return web.Response(status=503, text="a fault that was asked for")
        try:
            response: web.StreamResponse = await handler(request)
        except _Answer as answer:
            response = answer.response
        except PreconditionError:
            response = _Answer(
                412,
                "conditionNotMet",
                "At least one of the pre-conditions you specified did not hold.",
            ).response
        if lost_reply:
            return web.Response(status=503, text="done, but its reply is lost, as was asked for")
        return response

    return serve


async def start(options: Options, faults: Faults) -> Running:
    store = Store(options.state_dir)
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_middleware(faults)])
    app.add_routes(Emulator(store).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, HOST, options.port, backlog=512).start()

    async def stop() -> None:
        await runner.cleanup()
        store.close()

    return Running({"http": int(runner.addresses[0][1])}, stop)


if __name__ == "__main__":
    run("storage", start)

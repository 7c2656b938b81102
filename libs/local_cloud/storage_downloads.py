"""Object bodies on their way out: whole, in part, or unpacked."""

import json
import zlib
from collections.abc import AsyncIterator

from aiohttp import web

from libs.local_cloud.storage_contents import PIECE_BYTES, Contents
from libs.local_cloud.storage_requests import range_of
from libs.local_cloud.storage_resources import StoredObject
from libs.local_cloud.storage_store import Store

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


async def download(request: web.Request, store: Store, found: StoredObject) -> web.StreamResponse:
    headers = _headers(found)
    if _must_unpack(request, headers):
        del headers["Content-Encoding"]
        response = web.StreamResponse(headers=headers)
        return await _stream(request, store, found, response, _unpacked(store.contents, found))
    span = range_of(request, found.size)
    start, end = span or (0, found.size)
    status = 206 if span else 200
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    if found.size <= PIECE_BYTES:
        body = store.contents.whole(found.content)[start:end]
        return web.Response(status=status, body=body, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    part = store.contents.span(found.content, start, end)
    return await _stream(request, store, found, response, part)


async def _stream(
    request: web.Request,
    store: Store,
    found: StoredObject,
    response: web.StreamResponse,
    body: AsyncIterator[bytes],
) -> web.StreamResponse:
    with store.contents.pinned(found.content):
        await store.committed()
        await response.prepare(request)
        async for piece in body:
            await response.write(piece)
    await response.write_eof()
    return response


async def _unpacked(contents: Contents, found: StoredObject) -> AsyncIterator[bytes]:
    unpacking = zlib.decompressobj(_GZIP_WINDOW)
    async for piece in contents.span(found.content, 0, found.size):
        left = piece
        while left:
            yield unpacking.decompress(left, PIECE_BYTES)
            left = unpacking.unconsumed_tail
    yield unpacking.flush()


def _must_unpack(request: web.Request, headers: dict[str, str]) -> bool:
    packed = headers.get("Content-Encoding") == "gzip"
    return packed and "gzip" not in request.headers.get("Accept-Encoding", "")


def _headers(found: StoredObject) -> dict[str, str]:
    said = json.loads(found.fields)
    optional = {
        "Content-Encoding": said.get("contentEncoding"),
        "Content-Disposition": said.get("contentDisposition"),
        "Content-Language": said.get("contentLanguage"),
        "Cache-Control": said.get("cacheControl"),
    }
    return {
        "X-Goog-Hash": f"crc32c={found.crc32c},md5={found.md5}",
        "X-Goog-Generation": str(found.generation),
        "X-Goog-Metageneration": str(found.metageneration),
        "X-Goog-Stored-Content-Length": str(found.size),
        "X-Goog-Stored-Content-Encoding": said.get("contentEncoding") or "identity",
        "ETag": found.etag,
        "Content-Type": found.content_type,
        **{name: value for name, value in optional.items() if value},
    }

"""The object methods of the Cloud Storage emulator, but for uploads."""

import json
from urllib.parse import unquote

from aiohttp import web

from libs.local_cloud.storage_downloads import download
from libs.local_cloud.storage_listing import PageTokenError, Wanted, page_of
from libs.local_cloud.storage_requests import (
    RefusedError,
    bucket_of,
    json_of,
    object_of,
    precondition_of,
    whole_number,
)
from libs.local_cloud.storage_resources import StoredObject, object_resource
from libs.local_cloud.storage_store import Store

PAGE = 1000


class Objects:
    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        one = "/storage/v1/b/{bucket}/o/{name:.+}"
        copied = "/b/{to_bucket}/o/{to_name:.+}"
        return [
            web.get("/storage/v1/b/{bucket}/o", self.list),
            web.post(f"{one}/rewriteTo{copied}", self.rewrite),
            web.post(f"{one}/copyTo{copied}", self.copy),
            web.get(f"/download{one}", self.download),
            web.get(one, self.get),
            web.patch(one, self.patch),
            web.delete(one, self.delete),
        ]

    async def list(self, request: web.Request) -> web.Response:
        bucket, query = request.match_info["bucket"], request.query
        bucket_of(self._store, bucket)
        if "matchGlob" in query:
            raise RefusedError(
                400, "invalid", "matchGlob is not emulated: list by prefix and match the names."
            )
        wanted = Wanted(
            bucket,
            query.get("prefix", ""),
            query.get("delimiter", ""),
            query.get("startOffset", ""),
            query.get("endOffset", ""),
            query.get("pageToken", ""),
            min(whole_number(request, "maxResults") or PAGE, PAGE),
        )
        try:
            page = page_of(self._store, wanted)
        except PageTokenError:
            raise RefusedError(
                400, "invalid", "Invalid pageToken: begin again without it."
            ) from None
        body = {
            "kind": "storage#objects",
            "items": [object_resource(found) for found in page.objects],
            "prefixes": page.prefixes,
            **({"nextPageToken": page.token} if page.token else {}),
        }
        return web.json_response(body)

    async def get(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("alt") == "media":
            return await self.download(request)
        return web.json_response(object_resource(self._read(request)))

    async def download(self, request: web.Request) -> web.StreamResponse:
        return await download(request, self._store, self._read(request))

    async def patch(self, request: web.Request) -> web.Response:
        changes = await json_of(request)
        found = object_of(self._store, request)
        precondition_of(request).check(found)
        return web.json_response(object_resource(self._store.patch(found, changes)))

    async def delete(self, request: web.Request) -> web.Response:
        found = object_of(self._store, request)
        precondition_of(request).check(found)
        self._store.delete(found)
        return web.Response(status=204)

    async def rewrite(self, request: web.Request) -> web.Response:
        copied = await self._copy(request)
        size = str(copied.size)
        return web.json_response(
            {
                "kind": "storage#rewriteResponse",
                "done": True,
                "objectSize": size,
                "totalBytesRewritten": size,
                "resource": object_resource(copied),
            }
        )

    async def copy(self, request: web.Request) -> web.Response:
        return web.json_response(object_resource(await self._copy(request)))

    async def _copy(self, request: web.Request) -> StoredObject:
        said = await json_of(request)
        source = object_of(self._store, request, "sourceGeneration")
        precondition_of(request, "Source").check_read(source)
        bucket = request.match_info["to_bucket"]
        bucket_of(self._store, bucket)
        return self._store.copy(
            source,
            bucket,
            unquote(request.match_info["to_name"]),
            said or json.loads(source.fields),
            precondition_of(request),
        )

    def _read(self, request: web.Request) -> StoredObject:
        found = object_of(self._store, request)
        precondition_of(request).check_read(found)
        return found

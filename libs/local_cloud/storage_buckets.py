"""The bucket methods of the Cloud Storage emulator."""

import re

from aiohttp import web

from libs.local_cloud.storage_requests import (
    RefusedError,
    bucket_of,
    json_of,
    precondition_of,
    whole_number,
)
from libs.local_cloud.storage_resources import PreconditionError, StoredBucket, bucket_resource
from libs.local_cloud.storage_store import ConflictError, Store

PAGE = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class Buckets:
    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        one = "/storage/v1/b/{bucket}"
        return [
            web.post("/storage/v1/b", self.create),
            web.get("/storage/v1/b", self.list),
            web.get(one, self.get),
            web.patch(one, self.patch),
            web.delete(one, self.delete),
        ]

    async def create(self, request: web.Request) -> web.Response:
        said = await json_of(request)
        name = said.get("name", "")
        if not _NAME.fullmatch(name):
            raise RefusedError(
                400,
                "invalid",
                f"Invalid bucket name: '{name}': 3 to 222 small letters, digits, '.', '_', '-'.",
            )
        try:
            created = self._store.create_bucket(name, said)
        except ConflictError:
            raise RefusedError(409, "conflict", f"The bucket {name} exists already.") from None
        return web.json_response(bucket_resource(created))

    async def list(self, request: web.Request) -> web.Response:
        most = min(whole_number(request, "maxResults") or PAGE, PAGE)
        query = request.query
        found = self._store.buckets(query.get("prefix", ""), query.get("pageToken", ""), most + 1)
        body = {
            "kind": "storage#buckets",
            "items": [bucket_resource(bucket) for bucket in found[:most]],
            **({"nextPageToken": found[most].name} if len(found) > most else {}),
        }
        return web.json_response(body)

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(bucket_resource(self._wanted(request)))

    async def patch(self, request: web.Request) -> web.Response:
        changes = await json_of(request)
        return web.json_response(
            bucket_resource(self._store.patch_bucket(self._wanted(request), changes))
        )

    async def delete(self, request: web.Request) -> web.Response:
        found = self._wanted(request)
        try:
            self._store.delete_bucket(found.name)
        except ConflictError:
            raise RefusedError(409, "conflict", f"The bucket {found.name} is not empty.") from None
        return web.Response(status=204)

    def _wanted(self, request: web.Request) -> StoredBucket:
        found = bucket_of(self._store, request.match_info["bucket"])
        demanded = precondition_of(request)
        if demanded.metageneration not in {None, found.metageneration}:
            raise PreconditionError
        if demanded.not_metageneration == found.metageneration:
            raise PreconditionError
        return found

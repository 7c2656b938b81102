"""What requests to the Cloud Storage emulator say, and how they are refused."""

import json
import re
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from libs.local_cloud.storage_resources import Precondition, StoredBucket, StoredObject
from libs.local_cloud.storage_store import Store

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RefusedError(Exception):
    """A request that is answered with an error, in Google's form."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(message)

    def response(self) -> web.Response:
        error = {"message": str(self), "domain": "global", "reason": self.reason}
        body = {"error": {"code": self.status, "message": str(self), "errors": [error]}}
        return web.json_response(body, status=self.status)


class UnreadableRangeError(Exception):
    """A range that lies behind the end."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the object has {size} bytes")


def bucket_of(store: Store, name: str) -> StoredBucket:
    found = store.bucket(name)
    if found is None:
        raise RefusedError(404, "notFound", f"The specified bucket does not exist: {name}")
    return found


def object_of(store: Store, request: web.Request, generation: str = "generation") -> StoredObject:
    """Find the object that a path names, in the generation the query may ask for."""
    bucket, name = request.match_info["bucket"], unquote(request.match_info["name"])
    bucket_of(store, bucket)
    found = store.find(bucket, name)
    wanted = whole_number(request, generation)
    if found is None or wanted not in {None, found.generation}:
        raise RefusedError(404, "notFound", f"No such object: {bucket}/{name}")
    return found


def precondition_of(request: web.Request, of: str = "") -> Precondition:
    """Read what must hold of the object, or with `of` of the source of a copy."""
    return Precondition(
        whole_number(request, f"if{of}GenerationMatch"),
        whole_number(request, f"if{of}GenerationNotMatch"),
        whole_number(request, f"if{of}MetagenerationMatch"),
        whole_number(request, f"if{of}MetagenerationNotMatch"),
    )


def whole_number(request: web.Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        message = f"Invalid value for {name}: '{value}' is not a whole number."
        raise RefusedError(400, "invalidParameter", message) from None


async def json_of(request: web.Request) -> dict[str, Any]:
    return parsed(await request.read())


def parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text or b"{}")
    except ValueError as error:
        raise RefusedError(400, "parseError", f"The body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "parseError", "The body must be a JSON object.")
    return found


def range_of(request: web.Request, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of the part that is wanted; None for everything."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise UnreadableRangeError(size)
    return start, end

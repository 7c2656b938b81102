"""Lists: query strings read by a model, signed cursors, and exports as NDJSON."""

import base64
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import ConfigDict, Field

from libs.web.app import answer, begin
from libs.web.problem import Fault, Problem
from services.gateway.api.endpoint import Query
from services.gateway.api.moments import Moment

NDJSON = "application/x-ndjson"
LIVE = "live"
"""Source of what its owner answers from memory, and not the warehouse."""
LIVE_PAGE = 200
EXPORT_PAGE = 1000
EXPORT_TRIES = 3
MAC_BYTES = 16
LISTING: dict[str, Any] = {"errors": ("invalid_cursor",), "streams": NDJSON, "sends": ("X-Source",)}
"""What every list declares of itself."""
Item = Mapping[str, object]
Fetch = Callable[[str, int], Awaitable[tuple[Sequence[Item], str]]]
"""Asks for a page: what comes after this, at most so many; and what the next begins after."""
Filters = TypeVar("Filters", bound="PageQuery")


class PageQuery(Query):
    """Base of what a list's query string may say."""

    model_config = ConfigDict(populate_by_name=True)

    cursor: str = Field(default="", max_length=2000)
    """`next_cursor` of the page before."""
    limit: int = Field(default=50, ge=1, le=200)


class MomentsQuery(PageQuery):
    """Base of what is asked of lists of what happened at some time."""

    from_time: Moment | None = Field(default=None, alias="from")
    """From when on; 30 days before `to`, or before now, when absent."""
    to_time: Moment | None = Field(default=None, alias="to")


class Cursors:
    """Signs where a page ended. A cursor serves its own list and filters, and no other."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.new(secret, b"convergence/cursors", sha256).digest()

    def seal(self, scope: str, after: str) -> str:
        return base64.urlsafe_b64encode(self._mac(scope, after) + after.encode()).decode()

    def open(self, scope: str, cursor: str) -> str:
        """Raises `Problem` for what was not sealed for this scope."""
        try:
            data = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
            mac, after = data[:MAC_BYTES], data[MAC_BYTES:].decode()
        except ValueError:
            raise _bad_cursor() from None
        if not hmac.compare_digest(mac, self._mac(scope, after)):
            raise _bad_cursor()
        return after

    def _mac(self, scope: str, after: str) -> bytes:
        return hmac.new(self._key, f"{scope}\n{after}".encode(), sha256).digest()[:MAC_BYTES]


def _bad_cursor() -> Problem:
    detail = (
        "cursor: use next_cursor of this list's last page as it is, with the same filters;"
        " leave it out to begin anew"
    )
    return Problem(400, "invalid_cursor", detail, [Fault("/cursor", detail)])


class Pages:
    """Answers a list: a page as JSON, or, to who accepts NDJSON, everything from there on."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    async def respond(  # noqa: PLR0913  each says what the list is of
        self,
        request: web.Request,
        tenant: str,
        name: str,
        query: PageQuery,
        fetch: Fetch,
        *,
        source: str = "warehouse",
    ) -> web.StreamResponse:
        """`name` is the list's in the answer; after a slash, what else it is the list of."""
        after = self.begin(tenant, name, query)
        if NDJSON in request.headers.get("Accept", ""):
            return await _export(request, fetch, after, source)
        items, following = await fetch(after, query.limit)
        cursor = self.following(tenant, name, query, following)
        return answer({name.partition("/")[0]: items, "next_cursor": cursor}, X_Source=source)

    def begin(self, tenant: str, name: str, query: PageQuery) -> str:
        """What the page comes after."""
        return self._cursors.open(_scope(tenant, name, query), query.cursor) if query.cursor else ""

    def following(self, tenant: str, name: str, query: PageQuery, after: str) -> str | None:
        """The cursor of the next page, if there is one."""
        return self._cursors.seal(_scope(tenant, name, query), after) if after else None


def _scope(tenant: str, name: str, query: PageQuery) -> str:
    filters = query.model_dump(mode="json", exclude={"cursor", "limit"})
    return json.dumps([tenant, name, filters], sort_keys=True)


async def _export(
    request: web.Request, fetch: Fetch, after: str, source: str
) -> web.StreamResponse:
    """One page in memory at a time. The first is asked for before the answer begins."""
    items, after = await fetch(after, EXPORT_PAGE)
    response = web.StreamResponse(headers={"Content-Type": NDJSON, "X-Source": source})
    await begin(request, response)
    try:
        while True:
            for item in items:
                await response.write(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE))
            if not after:
                break
            items, after = await _patiently(fetch, after)
    except Problem:
        # The status is sent already: only a broken connection can say that this is not all.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _patiently(fetch: Fetch, after: str) -> tuple[Sequence[Item], str]:
    for _ in range(EXPORT_TRIES - 1):
        try:
            return await fetch(after, EXPORT_PAGE)
        except Problem as problem:
            if problem.status < 500:  # noqa: PLR2004  what is refused stays refused
                raise
    return await fetch(after, EXPORT_PAGE)

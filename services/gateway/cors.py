"""Which other sites' pages may call this gateway from a browser: those of CORS_ORIGINS.

Keys travel in headers that a page sets itself, never in cookies, so an origin that
is let in can do no more than its own user's key.
"""

from collections.abc import Awaitable, Collection

from aiohttp import web

from libs.web.app import SEEN, Layer
from libs.web.problem import Handler
from services.gateway.openapi_parts import REQUEST_HEADERS

REMEMBERED_SECONDS = "600"
METHODS = "GET, POST, PUT, PATCH, DELETE"
SENT = ", ".join(("Content-Type", "X-API-Key", "X-Admin-Key", "X-Request-ID", *REQUEST_HEADERS))
EXPOSED = (
    "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
)


class Cors:
    """Says yes to the origins that are named; to others it says nothing."""

    def __init__(self, origins: Collection[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origins)

    def _admits(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin", "")
        return bool(origin) and (self._all or origin in self._origins)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """None where no origin is named: then there is nothing to say to anybody."""
        return (self._preflight,) if self._origins else ()

    def _preflight(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        self._tell(request)
        if request.method == "OPTIONS" and self._asks(request):
            return _granted(request)
        return handler(request)

    def _tell(self, request: web.Request) -> None:
        sent = request[SEEN].sent_along
        sent["Vary"] = "Origin"
        if self._admits(request):
            sent["Access-Control-Allow-Origin"] = request.headers["Origin"]
            sent["Access-Control-Expose-Headers"] = EXPOSED

    def _asks(self, request: web.Request) -> bool:
        return "Access-Control-Request-Method" in request.headers and self._admits(request)


async def _granted(_: web.Request) -> web.Response:
    headers = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": SENT,
        "Access-Control-Max-Age": REMEMBERED_SECONDS,
    }
    return web.Response(status=204, headers=headers)

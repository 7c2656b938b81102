"""The aiohttp application that every service is: health, readiness, errors, one log line."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web
from multidict import istr

from contracts.identifiers import TenantId
from libs.telemetry import logs, otel, trace
from libs.telemetry.logs import mask
from libs.web.problem import Handler, problem_of

LOG = logging.getLogger("convergence.request")
PRODUCT = "convergence-data-pipeline"
BODY_LIMIT = 1 << 20
TRACEPARENT, GIVEN_ID = istr("traceparent"), istr("X-Request-ID")
CONTENT_TYPE_OPTIONS = istr("X-Content-Type-Options")
QUIET = frozenset({"/health", "/healthz", "/readyz"})

Waiting = Callable[[], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class About:
    """What a service says of itself."""

    service: str
    version: str
    environment: str


@dataclass(slots=True)
class Seen:
    """What is known of a request by now."""

    request_id: str
    sent_along: dict[str, str]
    """Headers of whatever answers it, a refusal or a failure too."""
    tenant: TenantId | None = None
    """Whose key it carries."""


SEEN = web.RequestKey("seen", Seen)
"""Of every request, before anything else looks at it."""


def answer(body: object, *, status: int = 200, **headers: str) -> web.Response:
    """Return a JSON response; header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        status=status,
        body=orjson.dumps(body, default=str),
        content_type="application/json",
        headers=named,
    )


def create_app(about: About, waiting_for: Waiting) -> web.Application:
    """Make an application with what all services share; add routes and go."""
    app = web.Application(middlewares=[observe], client_max_size=BODY_LIMIT)
    health = {
        "status": "healthy",
        "service": PRODUCT,
        "component": about.service,
        "version": about.version,
        "environment": about.environment,
    }

    async def healthy(_: web.Request) -> web.Response:
        return answer(health)

    async def ready(_: web.Request) -> web.Response:
        waiting = list(await waiting_for())
        if waiting:
            return answer({"status": "waiting", "waiting_for": waiting}, status=503)
        return answer({"status": "ready"})

    app.add_routes(
        [
            web.get("/health", healthy),
            web.get("/healthz", healthy),
            web.get("/readyz", ready),
        ]
    )
    return app


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its ids and its log line, and phrase whatever ends it badly."""
    started = time.perf_counter()
    span = trace.continue_trace(request.headers.get(TRACEPARENT, ""))
    given = request.headers.get(GIVEN_ID)
    request_id = (given and _clean(mask(given))) or span.trace_id
    seen = Seen(request_id, {GIVEN_ID: request_id, CONTENT_TYPE_OPTIONS: "nosniff"})
    request[SEEN] = seen
    with otel.entered(lambda: f"{request.method} {_route(request)}", span):
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  the one place where errors are phrased
            response = problem_of(error).response(request.path)
        if not response.prepared:
            response.headers.extend(seen.sent_along)
        _log(request, response.status, started)
    return response


async def begin(request: web.Request, response: web.StreamResponse) -> None:
    """Send the head of a stream, with the headers of every answer."""
    response.headers.extend(request[SEEN].sent_along)
    await response.prepare(request)


def _route(request: web.Request) -> str:
    """The path with its parameters unfilled, so that there are few of them."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"


def _clean(value: str) -> str:
    """A client's own request id, if it is short and plain enough to log."""
    return value if len(value) <= 128 and value.isascii() and value.isprintable() else ""  # noqa: PLR2004  RFC-like bound


def _log(request: web.Request, status: int, started: float) -> None:
    method, path = request.method, request.path
    given = {
        "tenant_id": request[SEEN].tenant,
        "method": method,
        "path": path,
        "status_code": status,
        "duration_ms": round((time.perf_counter() - started) * 1000, 2),
    }
    level = logging.DEBUG if path in QUIET else logging.INFO
    logs.write(LOG, level, f"{method} {path} {status}", given)

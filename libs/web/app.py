"""The aiohttp application that every service is: health, readiness, errors, one log line."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import orjson
from aiohttp import web
from multidict import istr

from contracts.identifiers import TenantId
from libs.telemetry import logs, otel, trace
from libs.telemetry.logs import mask
from libs.telemetry.trace import Trace
from libs.web.problem import Handler, problem_of

LOG = logging.getLogger("convergence.request")
PRODUCT = "convergence-data-pipeline"
BODY_LIMIT = 1 << 20
TRACEPARENT, GIVEN_ID = istr("traceparent"), istr("X-Request-ID")
CONTENT_TYPE_OPTIONS = istr("X-Content-Type-Options")
QUIET = frozenset({"/health", "/healthz", "/readyz"})

NOTHING = "/{nothing}"
"""The route of what has none."""

Waiting = Callable[[], Awaitable[Sequence[str]]]


class Layer(Protocol):
    """Stands before handlers: hands a request on to the one it is given, or ends it."""

    def __call__(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]: ...


@dataclass(frozen=True, slots=True)
class About:
    """What a service says of itself."""

    service: str
    version: str
    environment: str


class Standing(Protocol):
    """How a caller stands against a limit."""

    def write(self, headers: dict[str, str]) -> None: ...


@dataclass(slots=True)
class Seen:
    """What is known of a request by now."""

    span: Trace
    request_id: str
    sent_along: dict[str, str]
    """Headers of whatever answers it, a refusal or a failure too."""
    tenant: TenantId | None = None
    """Whose key it carries."""
    stands: Standing | None = None
    """Against the limit that counted last; told when it is answered."""

    def headers(self) -> dict[str, str]:
        """Of its answer, whatever that is."""
        if self.stands is not None:
            self.stands.write(self.sent_along)
        return self.sent_along


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


def create_app(
    about: About,
    waiting_for: Waiting,
    routes: Sequence[web.RouteDef] = (),
    layers: Sequence[Layer] = (),
) -> web.Application:
    """Make an application with what all services share.

    Every request passes the layers, the first of them first. They are put around the handlers
    here: what aiohttp does for its middlewares costs more than all of ours that only look.
    """
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

    own = [
        web.get("/health", healthy),
        web.get("/healthz", healthy),
        web.get("/readyz", ready),
    ]
    app = web.Application(client_max_size=BODY_LIMIT)
    app.add_routes(
        web.RouteDef(one.method, one.path, observed(_behind(layers, one.handler)), one.kwargs)
        for one in (*own, *routes)
    )
    anything = _Anything(NOTHING)
    app.router.register_resource(anything)
    anything.add_route("*", observed(_behind(layers, _nothing_here)))
    return app


class _Anything(web.DynamicResource):
    """Takes what no other resource does, also what is no path at all: `OPTIONS *`."""

    def _match(self, path: str) -> dict[str, str]:
        del path
        return {}


def _behind(layers: Sequence[Layer], handler: Handler) -> Handler:
    for layer in reversed(layers):
        handler = partial(layer, handler=handler)
    return handler


async def _nothing_here(request: web.Request) -> web.StreamResponse:
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        allowed |= (await resource.resolve(request))[1]
    allowed.discard("*")
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound


def observed(handler: Handler) -> Handler:
    """Gives requests their ids and their log line, and phrases whatever ends them badly."""

    async def answer(request: web.Request) -> web.StreamResponse:
        started, given = time.perf_counter(), request.headers
        span = trace.continue_trace(given.get(TRACEPARENT, ""))
        own_id = given.get(GIVEN_ID)
        request_id = (own_id and _clean(mask(own_id))) or span.trace_id
        seen = Seen(span, request_id, {GIVEN_ID: request_id, CONTENT_TYPE_OPTIONS: "nosniff"})
        request[SEEN] = seen
        if otel.exports():
            name = f"{request.method} {route_of(request.match_info) or '(no route)'}"
            with otel.entered(lambda: name, span):
                response = await _phrased(request, handler)
        else:
            trace.enter(span)  # for as long as the request's own task goes on
            response = await _phrased(request, handler)
        if not response.prepared:
            response.headers.extend(seen.headers())
        _log(request, seen, response.status, started)
        return response

    return answer


async def _phrased(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001  the one place where errors are phrased
        return problem_of(error).response(request.path)


async def begin(request: web.Request, response: web.StreamResponse) -> None:
    """Send the head of a stream, with the headers of every answer."""
    response.headers.extend(request[SEEN].headers())
    await response.prepare(request)


def route_of(matched: web.UrlMappingMatchInfo) -> str:
    """The path with its parameters unfilled, so that there are few of them; empty for none."""
    resource = matched.route.resource
    canonical = "" if resource is None else resource.canonical
    return "" if canonical == NOTHING else canonical


def _clean(value: str) -> str:
    """A client's own request id, if it is short and plain enough to log."""
    return value if len(value) <= 128 and value.isascii() and value.isprintable() else ""  # noqa: PLR2004  RFC-like bound


def _log(request: web.Request, seen: Seen, status: int, started: float) -> None:
    path = request.path
    given = {
        "tenant_id": seen.tenant,
        "method": request.method,
        "path": path,
        "status_code": status,
        "duration_ms": round((time.perf_counter() - started) * 1000, 2),
    }
    level = logging.DEBUG if path in QUIET else logging.INFO
    logs.write(LOG, level, "{method} {path} {status_code}", given)

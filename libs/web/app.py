"""The aiohttp application that every service is: health, readiness, errors, one log line."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import orjson
from aiohttp import web
from aiohttp.web_urldispatcher import MatchInfoError
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

    def behind(handler: Handler) -> Handler:
        for layer in reversed(layers):
            handler = partial(layer, handler=handler)
        return observed(handler)

    app = web.Application(client_max_size=BODY_LIMIT)
    app._router = _Router(behind)  # noqa: SLF001  the argument for it is deprecated
    app.add_routes(
        web.RouteDef(one.method, one.path, behind(one.handler), one.kwargs)
        for one in (*own, *routes)
    )
    return app


class _Router(web.UrlDispatcher):
    """Takes what leads nowhere through the layers as well; aiohttp would answer it by itself."""

    def __init__(self, behind: Callable[[Handler], Handler]) -> None:
        super().__init__()
        self._behind = behind

    async def resolve(self, request: web.Request) -> web.UrlMappingMatchInfo:
        found = await super().resolve(request)
        error = found.http_exception
        return found if error is None else _NowhereError(error, self._behind)


class _NowhereError(MatchInfoError):
    """No such path, or not with this method."""

    def __init__(self, error: web.HTTPException, behind: Callable[[Handler], Handler]) -> None:
        super().__init__(error)
        self._behind = behind

    @property
    def handler(self) -> Handler:
        return self._behind(super().handler)


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
            with otel.entered(lambda: f"{request.method} {_name_of(request)}", span):
                return await _answered(request, handler, seen, started)
        trace.enter(span)  # for as long as the request's own task goes on
        return await _answered(request, handler, seen, started)

    return answer


async def _answered(
    request: web.Request, handler: Handler, seen: Seen, started: float
) -> web.StreamResponse:
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001  the one place where errors are phrased
        response = problem_of(error).response(request.path)
    if not response.prepared:
        response.headers.extend(seen.headers())
    _log(request, seen, response.status, started)
    return response


async def begin(request: web.Request, response: web.StreamResponse) -> None:
    """Send the head of a stream, with the headers of every answer."""
    response.headers.extend(request[SEEN].headers())
    await response.prepare(request)


def _name_of(request: web.Request) -> str:
    """The path with its parameters unfilled, so that there are few of them."""
    resource = request.match_info.route.resource
    return "(no route)" if resource is None else resource.canonical


def _clean(value: str) -> str:
    """A client's own request id, if it is short and plain enough to log."""
    return value if len(value) <= 128 and value.isascii() and value.isprintable() else ""  # noqa: PLR2004  RFC-like bound


def _log(request: web.Request, seen: Seen, status: int, started: float) -> None:
    method, path = request.method, request.path
    given = {
        "tenant_id": seen.tenant,
        "method": method,
        "path": path,
        "status_code": status,
        "duration_ms": int((time.perf_counter() - started) * 100_000) / 100,
    }
    if seen.tenant is None:
        del given["tenant_id"]
    level = logging.DEBUG if path in QUIET else logging.INFO
    logs.write(LOG, level, f"{method} {path} {status}", given)

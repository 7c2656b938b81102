"""The audit trail: every call that could change something, told with its outcome."""

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Middleware

from contracts.calls import ActorKind, CallAnsweredV1, CallOutcome
from contracts.identifiers import InvalidIdentifierError, TenantId
from libs.bus.publisher import Publisher
from libs.telemetry.logs import mask
from libs.web.app import REQUEST_ID, TENANT
from libs.web.problem import Handler, problem_of
from services.gateway.auth import ACTOR, Actor

LOG = logging.getLogger(__name__)
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MOST_WAITING = 1_000
LONGEST_TARGET = 100

WHOM = web.RequestKey("whom", TenantId)
"""Set by a handler that learns from the body whom a call is about."""


class Trail:
    """Tells of calls beside the answer, not before it. For one event loop."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method not in CHANGING:
                return await handler(request)
            try:
                response = await handler(request)
            except Exception as error:
                problem = problem_of(error)
                await self._tell(request, problem.status, problem.code)
                raise
            await self._tell(request, response.status)
            return response

        return told

    async def finish(self) -> None:
        """Wait until everything is told."""
        await asyncio.gather(*self._waiting)

    async def _tell(self, request: web.Request, status: int, code: str = "") -> None:
        actor = request.get(ACTOR)
        if actor is None:
            return  # a stranger, who could change nothing
        while len(self._waiting) >= MOST_WAITING:
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._publish(call_of(request, actor, status, code)))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _publish(self, event: CallAnsweredV1) -> None:
        try:
            await self._publisher.send(event)
        except Exception:
            LOG.exception("not told: %s %s by %s", event.method, event.route, event.actor)


def call_of(request: web.Request, actor: Actor, status: int, code: str) -> CallAnsweredV1:
    resource = request.match_info.route.resource
    return CallAnsweredV1(
        tenant_id=_whom(request, actor),
        actor=ActorKind(actor.kind),
        key=actor.key[:64],
        user_id=mask(request.headers.get("X-User-ID", "")[:200]),
        method=request.method,
        route=resource.canonical if resource else "",
        target={name: mask(text)[:LONGEST_TARGET] for name, text in request.match_info.items()},
        outcome=_outcome(status),
        status=status,
        code=code,
        request_id=mask(request.get(REQUEST_ID, "")),
    )


def _whom(request: web.Request, actor: Actor) -> TenantId | None:
    if actor.kind == ActorKind.TENANT:
        return TenantId(request[TENANT])
    if WHOM in request:
        return request[WHOM]
    try:
        return TenantId(request.match_info["tenant_id"])
    except (KeyError, InvalidIdentifierError):
        return None


def _outcome(status: int) -> CallOutcome:
    if status >= 500:  # noqa: PLR2004  the classes of HTTP statuses
        return CallOutcome.FAILED
    if status >= 400:  # noqa: PLR2004
        return CallOutcome.REFUSED
    return CallOutcome.ACCEPTED if status == 202 else CallOutcome.DONE  # noqa: PLR2004

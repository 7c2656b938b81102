"""The audit trail: every call that could change something, told with its outcome."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from aiohttp import web
from multidict import istr

from contracts.calls import ActorKind, CallAnsweredV1, CallOutcome
from contracts.identifiers import InvalidIdentifierError, TenantId
from libs.bus.message import Outgoing
from libs.bus.publisher import Publisher
from libs.telemetry.logs import mask, written
from libs.web.app import SEEN, Seen
from libs.web.problem import Handler, problem_of
from services.gateway.auth import ACTOR
from services.gateway.known_keys import Actor

LOG = logging.getLogger(__name__)
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MOST_WAITING = 1_000
AT_ONCE = 250
"""Made together: other requests wait for so long."""
USER_ID = istr("X-User-ID")
LONGEST_USER = 200
LONGEST_TARGET = 100
GATHERED_SECONDS = 0.005
"""A call that is told at once is followed by those of this time together."""
COUNTED_SECONDS = 60.0
MOST_COUNTED = 10_000
LIMITED = "rate_limited"
CUT_OFF = 504
SHUT_OUT = frozenset({LIMITED, "tenant_suspended"})
"""Refusals of calls whose key is good, and which get no further for another reason."""

Rememberer = Callable[[web.Request], tuple[Actor, TenantId | None] | None]
"""Whose good key a request carries, as far as it is remembered."""

WHOM = web.RequestKey("whom", TenantId)
"""Set by a handler that learns from the body whom a call is about."""


class Told(NamedTuple):
    """Of a call that has been answered, what its event is made of."""

    seen: Seen
    actor: Actor
    whom: TenantId | None
    method: str
    route: web.AbstractRoute
    target: Mapping[str, str]
    user: str
    status: int
    code: str
    at: float
    times: int = 1


@dataclass(slots=True)
class _Counted:
    """Calls of one key that were turned away for being too many, of which the first is told."""

    first: Told
    timer: asyncio.TimerHandle
    times: int = 1


class Trail:
    """Tells of calls beside the answer, not before it. For one event loop.

    Calls that are too many are told as one a minute for each key, with their
    number: a flood of calls is no flood of events.
    """

    def __init__(self, publisher: Publisher, remembered: Rememberer) -> None:
        self._publisher = publisher
        self._remembered = remembered
        self.counted_seconds = COUNTED_SECONDS
        self._untold: list[Told] = []
        self._telling: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        """Set when what was untold is on its way."""
        self._counted: dict[str, _Counted] = {}

    def layer(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        return self._told(request, handler) if request.method in CHANGING else handler(request)

    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except asyncio.CancelledError:  # this instance ends before the answer is there
            self._tell(request, CUT_OFF, "no_answer_yet")
            raise
        except Exception as error:
            problem = problem_of(error)
            self._tell(request, problem.status, problem.code)
            await self._keep_up()
            if problem is error:
                raise
            raise problem from error
        self._tell(request, response.status)
        if len(self._untold) > MOST_WAITING:
            await self._keep_up()
        return response

    async def finish(self) -> None:
        """Wait until everything is told."""
        for who in tuple(self._counted):
            self._end_count(who)
        while self._telling is not None:
            await self._telling

    def _tell(self, request: web.Request, status: int, code: str = "") -> None:
        seen = request[SEEN]
        try:
            actor = request[ACTOR]
            whom = seen.tenant if actor.kind is ActorKind.TENANT else _whom(request)
        except KeyError:
            who = self._remembered(request) if code in SHUT_OUT else None
            if who is None:
                return  # a stranger, who could change nothing
            actor, whom = who
        named = request.match_info
        told = Told(
            seen,
            actor,
            whom,
            request.method,
            named.route,
            named,
            _user_in(request),
            status,
            code,
            time.time(),
        )
        if code == LIMITED:
            self._count(told)
        else:
            self._send(told)

    async def _keep_up(self) -> None:
        """No faster than what is told gets away."""
        while len(self._untold) > MOST_WAITING:
            self._room.clear()
            await self._room.wait()

    def _count(self, told: Told) -> None:
        who = f"{told.actor.kind}/{told.whom}/{told.actor.key}"
        if who in self._counted:
            self._counted[who].times += 1
            return
        if len(self._counted) >= MOST_COUNTED:
            self._end_count(next(iter(self._counted)))
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self.counted_seconds, self._end_count, who)
        self._counted[who] = _Counted(told._replace(target=_cut(told.target)), timer)

    def _end_count(self, who: str) -> None:
        counted = self._counted.pop(who)
        counted.timer.cancel()
        self._send(counted.first._replace(times=counted.times, at=time.time()))

    def _send(self, told: Told) -> None:
        self._untold.append(told)
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_all())

    async def _tell_all(self) -> None:
        try:
            while self._untold:
                together, self._untold = self._untold[:AT_ONCE], self._untold[AT_ONCE:]
                self._room.set()
                await self._publish(together)
                if len(self._untold) < AT_ONCE:
                    await asyncio.sleep(GATHERED_SECONDS)
        finally:
            self._telling = None

    async def _publish(self, together: Sequence[Told]) -> None:
        try:
            await self._publisher.send(*filter(None, map(_event_of, together)))
        except Exception:
            LOG.exception("not told: %d calls, of %s", len(together), _tenants_of(together))


def _event_of(told: Told) -> Outgoing | None:
    """In the trace and at the time of its own call."""
    resource = told.route.resource
    try:
        event = CallAnsweredV1(
            tenant_id=told.whom,
            actor=told.actor.kind,
            key=told.actor.key[:64],
            user_id=_plain(told.user),
            method=told.method,
            route="" if resource is None else resource.canonical,
            target=_cut(told.target),
            outcome=_outcome(told.status),
            status=told.status,
            code=told.code,
            request_id=told.seen.request_id,
            count=told.times,
        )
    except ValueError:
        LOG.exception("not told: 1 call, of %s", _tenants_of([told]))
        return None
    return Outgoing(event, at=datetime.fromtimestamp(told.at, UTC), span=told.seen.span)


def _cut(target: Mapping[str, str]) -> dict[str, str]:
    return {name: mask(text)[:LONGEST_TARGET] for name, text in target.items()}


def _tenants_of(calls: Sequence[Told]) -> str:
    return ", ".join(sorted({call.whom or "no tenant" for call in calls})[:10])


def user_of(request: web.Request) -> str:
    """What the client says of itself."""
    return _plain(_user_in(request))


def _user_in(request: web.Request) -> str:
    """No more of it than is told."""
    return request.headers.get(USER_ID, "")[:LONGEST_USER]


def _plain(user: str) -> str:
    """A key that was put there by mistake goes no further."""
    return mask(written(user)) if user else ""


def _whom(request: web.Request) -> TenantId | None:
    """Whom an operator's call is about."""
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

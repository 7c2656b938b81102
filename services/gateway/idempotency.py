"""Idempotency-Key on every POST: the same request is carried out once.

This instance remembers what it answered: a repeat gets that answer again, the
same key with another request is 422, and while the first still runs 409. Only
what succeeded is remembered; a refusal changed nothing and is judged anew.
What is remembered belongs to the key it was said to, as one key of a tenant
may do less than another. A guest has none: what it may ask is repeated to
whoever has its Idempotency-Key, which therefore must be one that nobody guesses.

What may be repeated for ever, and may find other things to do each time, says
so (`answer_anew`): its repeats are carried out.

Another instance knows none of this, so commands take ids that follow from the
request: their owner then finds its first decision and answers with that. So do
the keys that a request makes: a repeat has the text of the key that was made.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import NAMESPACE_URL, UUID, uuid5

from aiohttp import web
from multidict import istr

from contracts.message import Message
from libs.web.body import said
from libs.web.problem import Fault, Handler, Problem
from services.gateway.answers import Answer, Answers, Slot
from services.gateway.auth import Authenticator

HEADER = istr("Idempotency-Key")
LONGEST_KEY = 255
RANDOM = 4
"""The version of UUIDs that are random."""
GUEST = "guest"
NAMESPACE = uuid5(NAMESPACE_URL, "convergence/gateway/idempotency")

Caller = Callable[[web.Request], Awaitable[str]]
"""Who is calling, or nothing; ends the request when it pretends."""


@dataclass(slots=True)
class _Scope:
    """One request, from whose content its commands' ids follow."""

    seed: str
    asked: Counter[str] = field(default_factory=Counter)
    answers_anew: bool = False


_SCOPE: ContextVar[_Scope | None] = ContextVar("idempotency", default=None)


class Idempotency:
    """For one event loop."""

    def __init__(self, caller: Caller, answers: Answers) -> None:
        self._caller = caller
        self._answers = answers
        self._running: dict[Slot, str] = {}

    def layer(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        key = request.headers.get(HEADER)
        if request.method != "POST" or key is None:
            return handler(request)
        return self._named(key, request, handler)

    async def _named(self, key: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        caller = await self._caller(request)
        _check(key)
        if not caller:
            return await handler(request)
        if caller == GUEST:
            _check_unguessable(key)
        slot = caller, f"{_secrets_of(request)}/{key}"
        return await self._once(slot, request, handler)

    async def _once(self, slot: Slot, request: web.Request, handler: Handler) -> web.StreamResponse:
        fingerprint = await _fingerprint(request)
        known = self._answers.find(slot)
        before = self._running.get(slot) or (known and known.fingerprint)
        if before not in {None, fingerprint}:
            raise _reused()
        if slot in self._running:
            raise _still_running()
        if known is not None:
            return known.again()
        self._running[slot] = fingerprint
        try:
            with _scope("/".join((*slot, fingerprint))) as scope:
                response = await handler(request)
        finally:
            del self._running[slot]
        if not scope.answers_anew:
            self._remember(slot, fingerprint, response)
        return response

    def _remember(self, slot: Slot, fingerprint: str, response: web.StreamResponse) -> None:
        if response.status >= 300 or not isinstance(response, web.Response):  # noqa: PLR2004  HTTP
            return
        body = response.body or b""
        if isinstance(body, bytes):
            headers = tuple(response.headers.items())
            self._answers.keep(slot, Answer(fingerprint, response.status, body, headers))


def caller_of(auth: Authenticator, open_to_guests: Container[str]) -> Caller:
    """`open_to_guests` are the paths of endpoints that need no key."""

    async def caller(request: web.Request) -> str:
        if "X-Admin-Key" in request.headers:
            auth.admin(request)
            return "admin"
        if "X-API-Key" in request.headers:
            return f"tenant/{await auth.tenant(request)}"
        return GUEST if request.path in open_to_guests else ""

    return caller


def command_id(question: Message) -> str:
    """The id of a command that the current request asks; empty for a new one."""
    scope = _SCOPE.get()
    if scope is None:
        return ""
    number = scope.asked[question.wire_type]
    scope.asked[question.wire_type] += 1
    return str(uuid5(NAMESPACE, f"{scope.seed}/{question.wire_type}/{number}"))


def seed() -> str:
    """What the current request and its repeats have in common; empty when it has no repeats."""
    scope = _SCOPE.get()
    return scope.seed if scope is not None else ""


def answer_anew() -> None:
    """The current request is carried out again by its repeats: its answer is not remembered."""
    scope = _SCOPE.get()
    if scope is not None:
        scope.answers_anew = True


@contextmanager
def _scope(seed: str) -> Iterator[_Scope]:
    scope = _Scope(seed)
    token = _SCOPE.set(scope)
    try:
        yield scope
    finally:
        _SCOPE.reset(token)


def _secrets_of(request: web.Request) -> str:
    """Who knows a request but not the keys it was sent with cannot tell what follows from it."""
    given = (said(request, name) for name in ("X-API-Key", "X-Admin-Key"))
    return sha256("\0".join(given).encode()).hexdigest()


async def _fingerprint(request: web.Request) -> str:
    digest = sha256(request.path_qs.encode())
    digest.update(b"\0" + await request.read())
    return digest.hexdigest()


def _check(key: str) -> None:
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = f"{HEADER}: expected 1 to {LONGEST_KEY} visible ASCII characters"
        raise Problem(400, "invalid_request", detail, [Fault(f"/{HEADER}", detail)])


def _check_unguessable(key: str) -> None:
    try:
        is_random = UUID(key).version == RANDOM
    except ValueError:
        is_random = False
    if not is_random:
        detail = (
            f"{HEADER}: expected a random UUID (version 4) from who has no key yet, "
            "since the answer is told again to whoever sends it"
        )
        raise Problem(400, "invalid_request", detail, [Fault(f"/{HEADER}", detail)])


def _reused() -> Problem:
    return Problem(
        422,
        "idempotency_key_reused",
        f"This {HEADER} was sent with another request before; use a new one for a new request.",
    )


def _still_running() -> Problem:
    return Problem(
        409,
        "request_in_progress",
        f"A request with this {HEADER} is still being carried out; repeat it in a moment.",
        headers={"Retry-After": "1"},
    )

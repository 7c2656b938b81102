"""Who is calling: answered from memory, asked of the tenant service once per key."""

import asyncio
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

from aiohttp import web
from multidict import istr

from contracts.calls import ActorKind
from contracts.identifiers import KeyHash, TenantId
from contracts.keys import FindKeyV1, KeyFoundV1
from libs.bus.errors import NoAnswerError, TooManyQuestionsError
from libs.clock import FIRST, Clock
from libs.settings import GatewaySettings
from libs.web.app import SEEN
from libs.web.body import said
from libs.web.problem import Problem
from services.gateway import keys, scopes
from services.gateway.known_keys import Actor, Hashes, Known, KnownKeys, learn
from services.gateway.limits import Limits

LOG = logging.getLogger(__name__)
MOST_ASKING = 1_000
MOST_ASKING_AGAIN = 500
"""Of keys that are remembered and doubted: whoever has to wait for an answer has the rest."""
MOST_TRIES = 3
OUTLASTING_FOR = timedelta(seconds=5)
"""It is said again more often than that for as long as there is reason for it."""


API_KEY = istr("X-API-Key")
ACTOR = web.RequestKey("actor", Actor)
GUEST = Actor(ActorKind.SELF)


class KeyAsker(Protocol):
    """Asks the tenant service; raises `NoAnswerError`."""

    async def ask(
        self, question: FindKeyV1, *answers: type[KeyFoundV1], within: float
    ) -> KeyFoundV1: ...


@dataclass(slots=True)
class _Asking:
    """A question that is under way. `stale` once something about the tenant has changed."""

    tenant_id: TenantId
    task: "asyncio.Task[Known] | None" = None
    stale: bool = False


class Authenticator:
    """For one event loop."""

    def __init__(
        self,
        asker: KeyAsker,
        pepper: bytes,
        settings: GatewaySettings,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._asker = asker
        self._pepper = pepper
        self._settings = settings
        self._clock = clock
        self._limits = limits
        self.known = KnownKeys()
        self._hashes = Hashes()
        self.asking: dict[KeyHash, _Asking] = {}
        self._room = asyncio.Semaphore(MOST_ASKING)
        self._doubts = 0
        self._outlasting_at = FIRST
        self._admin_keys = [sha256(key.encode()).digest() for key in settings.admin_keys]

    async def tenant(self, request: web.Request) -> TenantId:
        """The tenant whose key the request carries; ends the request otherwise."""
        seen = request[SEEN]
        if seen.tenant is not None:
            return seen.tenant  # asked before, by what stands in front
        now = self._clock()
        known = self.recognise(request.headers.get(API_KEY, ""), now)
        if not isinstance(known, Known) or known.learnt_in != self._doubts:
            known = await self._made_sure_of(known, waits=False)
        if known is None or not known.opens(now):
            self._limits.charge_wrong_key(request)
            raise _bad_key() if request.headers.get(API_KEY) else _no_key()
        self._limits.charge_tenant(request, known.tenant_id)
        if known.suspended:
            raise _suspended()
        seen.tenant = known.tenant_id
        request[ACTOR] = known.actor
        if known.actor.scopes:
            _check_scope(request, known.actor.scopes)
        return known.tenant_id

    async def still(self, request: web.Request) -> None:
        """End a request that goes on for longer than its key opens; waits for its turn to ask."""
        now = self._clock()
        known = await self._made_sure_of(
            self.recognise(request.headers.get(API_KEY, ""), now), waits=True
        )
        if known is None or not known.opens(now):
            raise _bad_key()
        if known.suspended:
            raise _suspended()

    async def _made_sure_of(
        self, known: Known | keys.ApiKey | None, *, waits: bool
    ) -> Known | None:
        """Asks where nothing or nothing certain is remembered; raises `Problem`."""
        if isinstance(known, keys.ApiKey):
            return await self._asked(known, waits=waits)
        if known is not None and known.learnt_in != self._doubts:
            self._ask_again(known)
        return known

    def remembered(self, request: web.Request) -> tuple[Actor, TenantId | None] | None:
        """Whose good key a request carries that got no further, as far as it is remembered."""
        if self._is_admin(request):
            return _operator(request), None
        known = self.recognise(request.headers.get(API_KEY, ""), self._clock())
        if isinstance(known, Known) and known.opens(self._clock()):
            return known.actor, known.tenant_id
        return None

    def recognise(self, text: str, now: datetime) -> Known | keys.ApiKey | None:
        """What is remembered of a key, or the key itself when it has to be asked for.

        None for what cannot be one: nobody is asked, nothing is remembered.
        """
        key_hash = self._hashes.find(text)
        if key_hash is not None and (known := self._remembered(key_hash, now)) is not None:
            return known
        key = keys.parse(text)
        if key is None:
            return None
        known = self._remembered(key.hash(self._pepper), now)
        if known is not None and known.usable and key_hash is None:
            self._hashes.keep(text, known.key_hash)
        return known or key

    def _remembered(self, key_hash: KeyHash, now: datetime) -> Known | None:
        """For longer while nobody can change anything."""
        outlasting = now - self._outlasting_at < OUTLASTING_FOR
        return self.known.find(key_hash, now, outlasting=outlasting)

    def admin(self, request: web.Request) -> None:
        """End the request unless it carries an admin key."""
        if self._settings.disable_auth:
            request[ACTOR] = Actor(ActorKind.ADMIN, "authentication is disabled")
            return
        if not self._is_admin(request):
            if "X-Admin-Key" in request.headers:
                LOG.warning("a wrong admin key from %s", self._limits.address(request))
            self._limits.charge_wrong_key(request)
            raise Problem(
                401, "admin_key_required", "This needs an admin key in the X-Admin-Key header."
            )
        request[ACTOR] = _operator(request)

    def _is_admin(self, request: web.Request) -> bool:
        given = _digest(request)
        matches = [hmac.compare_digest(given, key) for key in self._admin_keys]
        return any(matches)

    def forget_key(self, tenant_id: TenantId, key_hash: KeyHash) -> None:
        """Something about a key has changed: it is asked for again."""
        self.known.forget(key_hash)
        asking = self.asking.get(key_hash)
        if asking is not None and asking.tenant_id == tenant_id:
            asking.stale = True

    def forget_tenant(self, tenant_id: TenantId) -> None:
        """Something about the tenant has changed: its keys are asked for again."""
        self.known.forget_tenant(tenant_id)
        for asking in self.asking.values():
            if asking.tenant_id == tenant_id:
                asking.stale = True

    def forget_all(self) -> None:
        """Something may have changed that is not known here: every key is asked for again."""
        self.known = KnownKeys()
        for asking in self.asking.values():
            asking.stale = True

    def doubt_all(self) -> None:
        """Something may have changed.

        What is remembered goes on to count, and is asked for again when it is used.
        """
        self._doubts += 1

    def outlast_all(self) -> None:
        """Nobody can change anything now: what is remembered counts beyond its time too."""
        self.doubt_all()
        self._outlasting_at = self._clock()

    def _ask_again(self, known: Known) -> None:
        if known.key_hash not in self.asking and len(self.asking) < MOST_ASKING_AGAIN:
            self._begin(known.tenant_id, known.key_hash)

    async def _asked(self, key: keys.ApiKey, *, waits: bool) -> Known:
        """One question for all who present the same key meanwhile; raises `Problem`."""
        key_hash = key.hash(self._pepper)
        task = self.asking[key_hash].task if key_hash in self.asking else None
        if task is None:
            if len(self.asking) >= MOST_ASKING and not waits:
                raise _unavailable()
            task = self._begin(key.tenant_id, key_hash)
        try:
            return await asyncio.shield(task)
        except (NoAnswerError, TooManyQuestionsError):
            known = self._remembered(key_hash, self._clock())
            if known is None:
                raise _unavailable() from None
            return known

    def _begin(self, tenant_id: TenantId, key_hash: KeyHash) -> "asyncio.Task[Known]":
        asking = self.asking[key_hash] = _Asking(tenant_id)
        asking.task = asyncio.create_task(self._ask(key_hash, asking))
        asking.task.add_done_callback(_look_at)
        return asking.task

    async def _ask(self, key_hash: KeyHash, asking: _Asking) -> Known:
        try:
            async with self._room:
                return await self._answer(key_hash, asking)
        finally:
            del self.asking[key_hash]

    async def _answer(self, key_hash: KeyHash, asking: _Asking) -> Known:
        """Ask until nothing has changed while the answer was on its way."""
        question = FindKeyV1(tenant_id=asking.tenant_id, key_hash=key_hash)
        for _ in range(MOST_TRIES):
            asking.stale, doubts = False, self._doubts
            found = await self._asker.ask(
                question, KeyFoundV1, within=self._settings.question_timeout_seconds
            )
            known = learn(found, self._clock(), doubts)
            if not asking.stale:
                self.known.remember(known)
                break
        return known


def _look_at(task: "asyncio.Task[Known]") -> None:
    """Whoever asked may have gone; a failure is theirs to be told, and nobody else's."""
    if not task.cancelled():
        task.exception()


def _digest(request: web.Request) -> bytes:
    return sha256(said(request, "X-Admin-Key").encode()).digest()


def _operator(request: web.Request) -> Actor:
    return Actor(ActorKind.ADMIN, _digest(request).hex()[:8])


def _suspended() -> Problem:
    return Problem(
        403, "tenant_suspended", "This tenant is suspended; ask the platform's operator."
    )


def _check_scope(request: web.Request, may: frozenset[str]) -> None:
    resource = request.match_info.route.resource
    needed = scopes.needed(request.method, resource.canonical if resource else request.path)
    if needed not in may:
        has = ", ".join(sorted(may))
        detail = f"This needs a key with scope {needed}; this one has {has}."
        raise Problem(403, "scope_missing", detail)


def _unavailable() -> Problem:
    return Problem(
        503,
        "authentication_unavailable",
        "The key cannot be checked right now; try again in a moment.",
        headers={"Retry-After": "1"},
    )


def _no_key() -> Problem:
    return Problem(
        401, "api_key_required", "This needs your tenant's API key in the X-API-Key header."
    )


def _bad_key() -> Problem:
    return Problem(401, "invalid_api_key", "The key in X-API-Key is not valid, or not any more.")

"""Who is calling: answered from memory, asked of the tenant service once per key."""

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from contracts.identifiers import KeyHash, TenantId
from contracts.keys import FindKeyV1, KeyFoundV1
from contracts.tenants import TenantStatus
from libs.bus.errors import NoAnswerError
from libs.bus.requester import Requester
from libs.clock import Clock
from libs.settings import GatewaySettings
from libs.web.app import TENANT
from libs.web.problem import Problem
from services.gateway import keys

KEPT = 100_000
TRUSTED_FOR = timedelta(minutes=5)
UNKNOWN_FOR = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a key, until it must be asked again."""

    tenant_id: TenantId
    usable: bool
    suspended: bool
    expires_at: datetime | None
    ask_again_at: datetime


class Authenticator:
    """For one event loop. Bounded: the longest unused keys are forgotten."""

    def __init__(
        self, requester: Requester, pepper: bytes, settings: GatewaySettings, clock: Clock
    ) -> None:
        self._requester = requester
        self._pepper = pepper
        self._settings = settings
        self._clock = clock
        self._known: OrderedDict[KeyHash, Known] = OrderedDict()
        admin = settings.admin_api_key.get_secret_value()
        self._admin_keys = [part.strip().encode() for part in admin.split(",") if part.strip()]

    async def tenant(self, request: web.Request) -> TenantId:
        """The tenant whose key the request carries; ends the request otherwise."""
        text = request.headers.get("X-API-Key", "")
        if not text:
            raise _no_key()
        key = keys.parse(text)
        if key is None:
            raise _bad_key()
        key_hash, now = key.hash(self._pepper), self._clock()
        known = self._known.get(key_hash)
        if known is None or known.ask_again_at <= now:
            known = await self._ask(key, key_hash, now)
        self._known.move_to_end(key_hash)
        if not known.usable or (known.expires_at is not None and known.expires_at <= now):
            raise _bad_key()
        if known.suspended:
            raise Problem(
                403, "tenant_suspended", "This tenant is suspended; ask the platform's operator."
            )
        request[TENANT] = str(known.tenant_id)
        return known.tenant_id

    def admin(self, request: web.Request) -> None:
        """End the request unless it carries an admin key."""
        if self._settings.disable_auth:
            return
        given = request.headers.get("X-Admin-Key", "").encode()
        matches = [hmac.compare_digest(given, key) for key in self._admin_keys]
        if not given or not any(matches):
            raise Problem(
                401, "admin_key_required", "This needs an admin key in the X-Admin-Key header."
            )

    def forget_tenant(self, tenant_id: TenantId) -> None:
        """Something about the tenant has changed: its keys are asked for again."""
        for key_hash in [h for h, known in self._known.items() if known.tenant_id == tenant_id]:
            del self._known[key_hash]

    async def _ask(self, key: keys.ApiKey, key_hash: KeyHash, now: datetime) -> Known:
        try:
            found = await self._requester.ask(
                FindKeyV1(tenant_id=key.tenant_id, key_hash=key_hash),
                KeyFoundV1,
                within=self._settings.question_timeout_seconds,
            )
        except NoAnswerError:
            raise Problem(
                503,
                "authentication_unavailable",
                "The key cannot be checked right now; try again in a moment.",
                headers={"Retry-After": "1"},
            ) from None
        known = self._known[key_hash] = _remember(found, now)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return known


def _remember(found: KeyFoundV1, now: datetime) -> Known:
    stored = found.key
    usable = stored is not None and stored.is_active
    return Known(
        tenant_id=found.tenant_id,
        usable=usable and found.tenant_status != TenantStatus.OFFBOARDED,
        suspended=found.tenant_status == TenantStatus.SUSPENDED,
        expires_at=stored.key.expires_at if stored else None,
        ask_again_at=now + (TRUSTED_FOR if usable else UNKNOWN_FOR),
    )


def _no_key() -> Problem:
    return Problem(
        401, "api_key_required", "This needs your tenant's API key in the X-API-Key header."
    )


def _bad_key() -> Problem:
    return Problem(401, "invalid_api_key", "The key in X-API-Key is not valid, or not any more.")

"""How often one may call: a token bucket for each address and one for each tenant.

A bucket holds what may be done at once and fills evenly. A request that is
turned away for a wrong key costs its address more than one that is not.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache
from ipaddress import ip_address
from math import ceil

from aiohttp import web
from multidict import istr

from contracts.identifiers import TenantId
from libs.settings import GatewaySettings
from libs.web.app import QUIET, SEEN
from libs.web.problem import Handler, Problem

WINDOW_SECONDS = 60
KEPT = 100_000
COST_OF_A_WRONG_KEY = 20
RATE_POLICY, RATE = istr("RateLimit-Policy"), istr("RateLimit")


class Bucket:
    """What one caller has left."""

    __slots__ = ("_of", "at", "left", "wait")

    def __init__(self, of: "Buckets", at: float) -> None:
        self._of = of
        self.left, self.at = float(of.quota), at
        self.wait = 0
        """Seconds until there is a token; 0 when the last request found one."""

    def write(self, headers: dict[str, str]) -> None:
        """As the IETF's draft of RateLimit header fields has them."""
        of, left = self._of, self.left
        until_full = ceil((of.quota - left) / of.per_second)
        headers[RATE_POLICY] = of.told
        headers[RATE] = f"{of.named}{int(left) if left > 0 else 0};t={until_full}"

    def refusal(self) -> Problem:
        return Problem(
            429,
            "rate_limited",
            f"More than {self._of.quota} requests a minute from one {self._of.policy};"
            f" try again in {self.wait} s, and spread them.",
            headers={"Retry-After": str(self.wait)},
        )


class Buckets:
    """Buckets of one kind, the longest unused forgotten. For one event loop."""

    def __init__(self, policy: str, quota: int, clock: Callable[[], float]) -> None:
        self.policy, self.quota = policy, quota
        self.per_second = quota / WINDOW_SECONDS
        self.told = f'"{policy}";q={quota};w={WINDOW_SECONDS}'
        self.named = f'"{policy}";r='
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, who: str, cost: int = 1) -> Bucket | None:
        """How it stands then; None when there is no limit."""
        quota = self.quota
        if not quota:
            return None
        now, bucket = self._clock(), self._buckets.get(who)
        if bucket is None:
            bucket = self._new(who, now)
        else:
            self._buckets.move_to_end(who)  # as the one used last
        left = bucket.left + (now - bucket.at) * self.per_second
        bucket.at = now
        if left >= 1:
            left = min(quota, left) - cost
            bucket.left, bucket.wait = max(-quota, left), 0
        else:
            bucket.left, bucket.wait = left, ceil((1 - left) / self.per_second) or 1
        return bucket

    def _new(self, who: str, now: float) -> Bucket:
        bucket = self._buckets[who] = Bucket(self, now)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        return bucket


class Limits:
    """The gateway's limits. A tenant's own are checked where its key has been."""

    def __init__(
        self, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._proxies = settings.trusted_proxies
        self._addresses = Buckets("address", settings.rate_limit_address, clock)
        self._tenants = Buckets("tenant", settings.rate_limit_tenant, clock)

    def charge_tenant(self, request: web.Request, tenant: TenantId) -> None:
        """Raises `Problem`."""
        self._charge(request, self._tenants, tenant)

    def charge_wrong_key(self, request: web.Request) -> None:
        """Raises `Problem` when the address has tried too often."""
        self._charge(request, self._addresses, self.address(request), COST_OF_A_WRONG_KEY)

    def address(self, request: web.Request) -> str:
        """The caller's, as the last proxy that is trusted has seen it.

        An IPv6 caller has a whole /64 to choose from, so that is what counts.
        """
        text = request.remote or ""
        if self._proxies:
            lines = ",".join(request.headers.getall("X-Forwarded-For", ()))
            seen = [part.strip() for part in lines.split(",")]
            if len(seen) >= self._proxies:
                text = seen[-self._proxies]
        return _counted_as(text)

    def layer(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        if request.path not in QUIET:
            self._charge(request, self._addresses, self.address(request))
        return handler(request)

    def _charge(self, request: web.Request, buckets: Buckets, who: str, cost: int = 1) -> None:
        taken = buckets.take(who, cost)
        if taken is None:
            return
        request[SEEN].stands = taken
        if taken.wait:
            raise taken.refusal()


@lru_cache(maxsize=10_000)
def _counted_as(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return "unknown"
    if address.version == 6:  # noqa: PLR2004  the version it is about
        return str(int(address) >> 64)
    return text

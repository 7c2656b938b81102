"""What authentication costs the gateway, with 100,000 keys remembered.

python -m tests.bench.bench_auth
"""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import ascii_letters, digits

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from contracts.calls import ActorKind
from contracts.identifiers import TenantId
from libs.settings import GatewaySettings
from libs.telemetry import trace
from libs.web.app import SEEN, Seen
from libs.web.problem import Problem
from services.gateway import keys
from services.gateway.auth import Authenticator
from services.gateway.known_keys import Actor, Known
from services.gateway.limits import Limits
from tests.bench.figures import Figure, Findings
from tests.gateway.door import PEPPER, Tenants

KEYS, TENANTS = 100_000, 1_000
ROUNDS, CALLS = 5, 4_000
AIM_MICROSECONDS = 50.0
UNLIMITED = 1_000_000_000
SCOPES = frozenset({"tenant:read", "runs:read", "cost:read"})
NOW = datetime.now(UTC)
SPAN = trace.continue_trace("")


@dataclass(frozen=True, slots=True)
class Case:
    """Keys of one kind, and whether they are to be let in."""

    name: str
    texts: Sequence[str]
    opens: bool


def main() -> None:
    figures = list(asyncio.run(measure()))
    Findings("authentication", figures).keep()
    for figure in figures:
        print(figure)


async def measure() -> list[Figure]:
    limits = Limits(GatewaySettings(rate_limit_tenant=UNLIMITED, rate_limit_address=UNLIMITED))
    auth = Authenticator(Tenants(), PEPPER, GatewaySettings(), lambda: NOW, limits)
    whole, narrow = (list(remembered(auth, KEYS // 2, scopes)) for scopes in (frozenset(), SCOPES))
    cases = [
        Case("a remembered key", whole, opens=True),
        Case("a remembered key with scopes", narrow, opens=True),
        Case("garbage, turned away by its form", [text[:-1] + "!" for text in whole], opens=False),
        Case("garbage, turned away by its checksum", list(map(misspelt, whole)), opens=False),
    ]
    return [figure for case in cases for figure in await figures_of(auth, case)]


def remembered(auth: Authenticator, count: int, scopes: frozenset[str]) -> Iterator[str]:
    later = NOW + timedelta(hours=1)
    for number in range(count):
        key = keys.mint(TenantId(f"tenant_{number % TENANTS}"))
        known = Known(
            key.tenant_id,
            key.hash(PEPPER),
            usable=True,
            ask_again_at=later,
            actor=Actor(ActorKind.TENANT, key.last_four, scopes),
        )
        auth.known.remember(known)
        yield key.text


def misspelt(text: str) -> str:
    """Of the right form, with one letter of its checksum wrong."""
    return text[:-1] + next(letter for letter in digits + ascii_letters if letter != text[-1])


async def figures_of(auth: Authenticator, case: Case) -> list[Figure]:
    pick, plain = random.Random(1), plain_request("/api/v1/tenants/me")
    rounds = [
        await timed(auth, [asking(pick.choice(case.texts), plain) for _ in range(CALLS)], case)
        for _ in range(ROUNDS)
    ]
    return [
        Figure(f"{case.name}, {what}", "µs", found, aim=AIM_MICROSECONDS, more_is_better=False)
        for what, found in zip(("P50", "P99", "CPU"), zip(*rounds, strict=True), strict=True)
    ]


async def timed(
    auth: Authenticator, requests: Sequence[web.Request], case: Case
) -> tuple[float, float, float]:
    """Median and 99th percentile of what passed, and CPU spent on each, in microseconds."""
    walls, opened, cpu = [], 0, time.thread_time_ns()
    for request in requests:
        started = time.perf_counter_ns()
        opened += await is_let_in(auth, request)
        walls.append((time.perf_counter_ns() - started) / 1000)
    spent = (time.thread_time_ns() - cpu) / 1000 / len(requests)
    if opened != len(requests) * case.opens:
        raise SystemExit(f"{case.name}: {opened} of {len(requests)} were let in")
    walls.sort()
    return statistics.median(walls), walls[int(len(walls) * 0.99)], spent


async def is_let_in(auth: Authenticator, request: web.Request) -> bool:
    try:
        await auth.tenant(request)
    except Problem:
        return False
    return True


def plain_request(path: str) -> web.Request:
    """One that found its route; dear to make, so each that is timed is a copy with a key."""

    async def nothing(_: web.Request) -> web.Response:
        return web.Response()

    request = make_mocked_request("GET", path)
    route = web.Application().router.add_get(path, nothing)
    request._match_info = web.UrlMappingMatchInfo({}, route)
    return request


def asking(text: str, plain: web.Request) -> web.Request:
    request = plain.clone(headers={"X-API-Key": text})
    request._match_info = plain.match_info
    request[SEEN] = Seen(SPAN, SPAN.trace_id, {})
    return request


if __name__ == "__main__":
    main()

"""What authentication costs the gateway, with 100,000 keys remembered.

python -m tests.bench.bench_auth
"""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from aiohttp.test_utils import make_mocked_request

from contracts.identifiers import KeyHash, TenantId
from libs.settings import GatewaySettings
from services.gateway import keys
from services.gateway.auth import Authenticator
from services.gateway.known_keys import Known
from services.gateway.limits import Limits
from tests.gateway.door import PEPPER, Tenants

KEYS = 100_000
ROUNDS = 20_000
BOUND_MICROSECONDS = 50.0


def main() -> None:
    for name, median, p99, cpu in asyncio.run(measure(KEYS, ROUNDS)):
        print(f"{name:<44} P50 {median:6.1f} µs   P99 {p99:6.1f} µs   CPU {cpu:6.1f} µs")
    print(f"the bound is {BOUND_MICROSECONDS:g} µs, with {KEYS} keys remembered")


async def measure(count: int, rounds: int) -> list[tuple[str, float, float, float]]:
    """Name, median and 99th percentile of what passed, and CPU spent on each, in microseconds."""
    now, settings = datetime.now(UTC), GatewaySettings()
    auth = Authenticator(Tenants(), PEPPER, settings, lambda: now, Limits(settings))
    texts = []
    for number in range(count):
        key = keys.mint(TenantId(f"tenant_{number % 1000}"))
        texts.append(key.text)
        auth.known.remember(_known(key.tenant_id, key.hash(PEPPER), now))
    pick = random.Random(1)
    chosen = [pick.choice(texts) for _ in range(rounds)]
    garbage = [text[:-1] + "!" for text in chosen]
    requests = [
        make_mocked_request("GET", "/api/v1/tenants/me", {"X-API-Key": text}) for text in chosen
    ]
    whole, cpu = [], time.thread_time_ns()
    for request in requests:
        started = time.perf_counter_ns()
        await auth.tenant(request)
        whole.append((time.perf_counter_ns() - started) / 1000)
    spent = (time.thread_time_ns() - cpu) / 1000 / rounds
    return [
        ("a remembered key, the whole of it", *_shown(whole), spent),
        ("a remembered key, recognised", *_timed(chosen, auth.recognise, now)),
        ("garbage, turned away by its checksum", *_timed(garbage, auth.recognise, now)),
    ]


def _known(tenant: TenantId, key_hash: KeyHash, now: datetime) -> Known:
    return Known(tenant, key_hash, usable=True, ask_again_at=now + timedelta(hours=1))


def _timed(
    texts: Sequence[str], call: Callable[[str, datetime], object], now: datetime
) -> tuple[float, float, float]:
    found, cpu = [], time.thread_time_ns()
    for text in texts:
        started = time.perf_counter_ns()
        call(text, now)
        found.append((time.perf_counter_ns() - started) / 1000)
    return *_shown(found), (time.thread_time_ns() - cpu) / 1000 / len(texts)


def _shown(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]


if __name__ == "__main__":
    main()

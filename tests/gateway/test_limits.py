"""Limits: what is allowed, what is said of it, and whom it counts against."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.limits import WINDOW_SECONDS, Buckets
from tests.gateway.door import visiting


async def test_a_tenant_is_told_where_it_stands_and_when_to_come_again() -> None:
    async with visiting(rate_limit_tenant=60) as visitor:
        key = visitor.door.tenants.issue("acme")
        first = await visitor.call(key)
        assert first.headers["RateLimit-Policy"] == '"tenant";q=60;w=60'
        assert first.headers["RateLimit"] == '"tenant";r=59;t=1'
        for _ in range(59):
            assert (await visitor.call(key)).status == 200
        refused = await visitor.call(key)
        assert (refused.status, (await refused.json())["code"]) == (429, "rate_limited")
        assert (refused.headers["Retry-After"], refused.headers["RateLimit"]) == (
            "1",
            '"tenant";r=0;t=60',
        )
        other = visitor.door.tenants.issue("acme_two")
        assert (await visitor.call(other)).status == 200
        visitor.door.wait(seconds=1)
        assert (await visitor.call(key)).status == 200


async def test_what_leads_nowhere_counts_too() -> None:
    async with visiting(rate_limit_address=2) as visitor:
        statuses = [(await visitor.client.get("/nowhere")).status for _ in range(3)]
        assert statuses == [404, 404, 429]


async def test_two_keys_of_a_tenant_share_its_bucket() -> None:
    async with visiting(rate_limit_tenant=2) as visitor:
        found = [(await visitor.call(visitor.door.tenants.issue("acme"))).status for _ in range(3)]
        assert found == [200, 200, 429]


async def test_wrong_keys_use_an_address_up_sooner() -> None:
    async with visiting(rate_limit_address=100) as visitor:
        codes = [await visitor.code("garbage") for _ in range(6)]
        assert codes == [(401, "invalid_api_key")] * 5 + [(429, "rate_limited")]
        assert visitor.door.tenants.asked == 0


async def test_a_forwarded_address_counts_only_behind_a_trusted_proxy() -> None:
    async def statuses(**settings: int) -> list[int]:
        async with visiting(rate_limit_address=1, **settings) as visitor:
            key = visitor.door.tenants.issue("acme")
            return [
                (await visitor.call(key, headers={"X-Forwarded-For": address})).status
                for address in ("9.9.9.9, 1.1.1.1", "9.9.9.9, 2.2.2.2", "8.8.8.8, 1.1.1.1")
            ]

    assert await statuses() == [200, 429, 429]
    assert await statuses(trusted_proxies=1) == [200, 200, 429]


async def test_a_line_that_a_proxy_adds_counts_and_not_the_callers_own() -> None:
    async with visiting(rate_limit_address=1, trusted_proxies=1) as visitor:
        key = visitor.door.tenants.issue("acme")

        async def status(own: str, seen: str) -> int:
            lines = [("X-API-Key", key.text), ("X-Forwarded-For", own), ("X-Forwarded-For", seen)]
            return (await visitor.client.get("/api/v1/tenants/me", headers=lines)).status

        assert await status("1.1.1.1", "9.9.9.9") == 200
        assert await status("2.2.2.2", "9.9.9.9") == 429
        assert await status("1.1.1.1", "8.8.8.8") == 200


async def test_an_ipv6_network_is_one_address() -> None:
    async with visiting(rate_limit_address=1, trusted_proxies=1) as visitor:
        key = visitor.door.tenants.issue("acme")
        found = [
            (await visitor.call(key, headers={"X-Forwarded-For": address})).status
            for address in ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1")
        ]
        assert found == [200, 429, 200]


async def test_health_is_never_limited() -> None:
    async with visiting(rate_limit_address=1) as visitor:
        for _ in range(3):
            assert (await visitor.call(path="/healthz")).status == 200


@given(
    quota=st.integers(1, 500),
    calls=st.lists(st.tuples(st.floats(0, 20), st.integers(1, 20)), max_size=200),
)
def test_no_sequence_of_calls_gets_more_than_its_quota_and_its_rate(
    quota: int, calls: list[tuple[float, int]]
) -> None:
    now, allowed, waits = 0.0, 0, list[int]()
    buckets = Buckets("address", quota, lambda: now)
    for pause, cost in calls:
        now += pause
        standing = buckets.take("one", cost)
        assert standing is not None
        if standing.wait:
            waits.append(standing.wait)
        else:
            allowed += 1
    assert all(wait >= 1 for wait in waits)
    assert allowed <= quota + now * quota / WINDOW_SECONDS + 1


def test_the_longest_unused_bucket_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.limits.KEPT", 10)
    buckets = Buckets("address", 5, lambda: 0.0)
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets._buckets) == 10

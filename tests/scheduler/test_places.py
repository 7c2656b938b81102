"""The platform's places: never more than there are, shared by weight, nobody starves."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.identifiers import TenantId
from contracts.runs import ExplainRunV1
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.explaining import explain
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import (
    Demand,
    Granted,
    Places,
    demand_places,
    evolve_places,
    rounds_until,
)
from services.scheduler.domain.status import share
from tests.scheduler.platforms import Platform as LedgerPlatform
from tests.scheduler.platforms import run_id, submit

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Tenant:
    """A ledger that always wants more, and forgets nothing."""

    def __init__(self, name: str, weight: int) -> None:
        self.name, self.weight = TenantId(name), weight
        self.version = self.seen = self.had = 0
        self.holds: set[int] = set()
        self.wants = 0

    def demand(self) -> Demand:
        self.version += 1
        return Demand(
            tenant_id=self.name,
            version=self.version,
            wants=self.wants,
            holds=frozenset(self.holds),
            seen=self.seen,
            weight=self.weight,
        )

    def hear(self, offer: Granted) -> None:
        self.seen = max(self.seen, offer.number)
        if self.wants:
            self.wants -= 1
            self.holds.add(offer.number)
            self.had += 1


class Platform:
    def __init__(self, most: int, *tenants: Tenant) -> None:
        self.most, self.places = most, Places()
        self.tenants = {tenant.name: tenant for tenant in tenants}

    def tell(self, demand: Demand) -> list[Granted]:
        facts, offers = demand_places(self.places, demand, NOW, self.most)
        for fact in facts:
            self.places = evolve_places(self.places, fact)
            assert self.places.used <= self.most
        return list(offers)

    def settle(self, tenant: Tenant) -> None:
        """Until nobody has anything new to say."""
        changed = [tenant]
        while changed:
            for offer in self.tell(changed.pop().demand()):
                other = self.tenants[offer.tenant_id]
                other.hear(offer)
                changed.append(other)


def test_places_are_shared_by_weight_among_those_that_want_more() -> None:
    small, large = Tenant("small", 3), Tenant("large", 9)
    platform = Platform(4, small, large)
    for tenant in (small, large):
        tenant.wants = 1_000
        platform.settle(tenant)
    for turn in range(400):
        for tenant in (small, large):
            if tenant.holds and turn % 2 == (tenant is large):
                tenant.holds.pop()
                platform.settle(tenant)
    assert small.had + large.had >= 250
    assert 2.5 <= large.had / small.had <= 3.5


def test_idling_earns_no_credit_and_costs_none() -> None:
    busy, late = Tenant("busy", 1), Tenant("late", 1)
    platform = Platform(2, busy, late)
    busy.wants = 500
    platform.settle(busy)
    for _ in range(100):
        busy.holds.pop()
        platform.settle(busy)
    before, late.wants = busy.had, 500
    platform.settle(late)
    for turn in range(100):
        one = (busy, late)[turn % 2]
        one = one if one.holds else (busy, late)[1 - turn % 2]
        one.holds.pop()
        platform.settle(one)
    assert abs((busy.had - before) - late.had) <= 4


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_what_is_said_late_or_twice_changes_nothing(
    turns: list[tuple[int, int]], most: int
) -> None:
    tenants = [Tenant(f"tenant_{n}", n + 1) for n in range(3)]
    platform = Platform(most, *tenants)
    said: list[Demand] = []
    for which, action in turns:
        tenant = tenants[which]
        if action == 0:
            tenant.wants += 1
        elif action == 1 and tenant.holds:
            tenant.holds.pop()
        elif action == 2 and said:
            assert platform.tell(said[(which * 7 + most) % len(said)]) == []
            continue
        demand = tenant.demand()
        said.append(demand)
        for offer in platform.tell(demand):
            platform.tenants[offer.tenant_id].hear(offer)
        holding = Counter({t.name: len(t.holds) for t in tenants})
        assert holding.total() <= most
    for tenant in tenants:
        tenant.wants, tenant.holds = 0, set()
        platform.settle(tenant)
    for tenant in tenants:
        platform.settle(tenant)
    assert platform.places.used == 0


@given(
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_how_often_places_come_round_is_foretold(
    wants: list[int], which: int, nth: int, most: int
) -> None:
    tenants = [Tenant(f"tenant_{n}", n + 1) for n in range(3)]
    platform = Platform(most, *tenants)
    for tenant, more in zip(tenants, wants, strict=True):
        tenant.wants = more
        platform.settle(tenant)
    one = tenants[which]
    if one.wants < nth:
        return
    foretold = rounds_until(platform.places, one.name, nth, most) * most
    before, ended = one.had, 0
    while one.had < before + nth:
        ending = next(tenant for tenant in tenants if tenant.holds)
        ending.holds.pop()
        platform.settle(ending)
        ended += 1
    assert ended == foretold


def test_a_run_that_waits_for_the_platform_is_told_when_it_may_start() -> None:
    busy, late = Tenant("busy", 1), Tenant("late", 1)
    platform = Platform(2, busy, late)
    busy.wants = 4
    platform.settle(busy)
    late.wants = 1
    platform.settle(late)
    rules = Rules(max_running=2)
    ledger = waiting_ledger(usual_seconds=60.0)
    query = ExplainRunV1(tenant_id=late.name, run_id=run_id(1))
    said = explain(ledger, query, NOW, rules, platform.places)
    assert said is not None
    assert said.blocking_limit == "platform"
    assert said.expected_start_at == NOW + timedelta(seconds=30)
    (shown,) = [share(ledger, late.name, 2, NOW, rules, platform.places)]
    assert shown.expected_start_at == said.expected_start_at


def waiting_ledger(usual_seconds: float) -> Ledger:
    """One run that waits although the tenant's own slots are free."""
    platform = LedgerPlatform(rules=Rules(max_running=2))
    platform.tell(submit(1))
    return platform.ledger.model_copy(update={"usual_seconds": usual_seconds})

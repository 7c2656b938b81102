"""The platform's places: never more than there are, shared by weight, nobody starves."""

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.identifiers import TenantId
from services.scheduler.domain.places import Demand, Granted, Places, demand_places, evolve_places

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

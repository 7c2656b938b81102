"""Places for running work over all tenants, given out fairly by weight.

Each tenant's ledger says from time to time what it holds and how many places more
it could use; what it says is whole and numbered, so it may come twice or late.
Places are given to the tenant that has had least for its weight among those that
wait (start-time fair queueing): nobody starves, and idling earns no credit.
"""

from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from contracts.identifiers import TenantId
from contracts.message import Event
from services.scheduler.domain.facts import Fact

SCALE = 1_000_000


class Demand(Event, type="place.demanded.v1"):  # not a contract: it never leaves the service
    """What a tenant holds and wants, as of a version of its ledger."""

    tenant_id: TenantId
    version: int
    wants: int
    holds: frozenset[int]
    seen: int
    """The last place that the ledger has heard of; it used it or never will."""
    weight: int


class Granted(Event, type="place.granted.v1"):  # not a contract either
    tenant_id: TenantId
    number: int
    """Of this tenant's places, from 1."""


class Demanded(Fact):
    kind: Literal["demanded"] = "demanded"
    demand: dict[str, Any]


class PlaceGiven(Fact):
    kind: Literal["place_given"] = "place_given"
    tenant_id: TenantId
    start: int


AnyPlaceFact = Annotated[Demanded | PlaceGiven, Field(discriminator="kind")]
PLACE_FACTS: TypeAdapter[Fact] = TypeAdapter(AnyPlaceFact)


class Claim(Fact):
    """What one tenant has, and wants."""

    version: int = -1
    wants: int = 0
    weight: int = 1
    held: frozenset[int] = frozenset()
    """Given and heard of."""
    given: frozenset[int] = frozenset()
    """Given, and not heard of yet."""
    last: int = 0
    had: int = 0
    """Virtual time up to which it has had its part."""

    @property
    def used(self) -> int:
        return len(self.held) + len(self.given)

    @property
    def lacks(self) -> int:
        return self.wants - len(self.given)


class Places(Fact):
    claims: dict[TenantId, Claim] = Field(default_factory=dict)
    time: int = 0

    @property
    def used(self) -> int:
        return sum(claim.used for claim in self.claims.values())

    def unheard(self) -> list[Granted]:
        """What was given and may not have been offered."""
        return [
            Granted(tenant_id=name, number=number)
            for name, claim in self.claims.items()
            for number in sorted(claim.given)
        ]


def demand_places(
    state: Places, demand: Demand, _: datetime, most: int
) -> tuple[tuple[Fact, ...], tuple[Granted, ...]]:
    """Take in what a tenant says, and give out what is free."""
    known = state.claims.get(demand.tenant_id)
    if known is not None and demand.version <= known.version:
        return (), ()
    facts: list[Fact] = [Demanded(demand=demand.model_dump(mode="json"))]
    state = evolve_places(state, facts[0])
    granted: list[Granted] = []
    while state.used < most and (name := _next(state)) is not None:
        claim = state.claims[name]
        facts.append(PlaceGiven(tenant_id=name, start=max(state.time, claim.had)))
        granted.append(Granted(tenant_id=name, number=claim.last + 1))
        state = evolve_places(state, facts[-1])
    return tuple(facts), tuple(granted)


def _next(state: Places) -> TenantId | None:
    """Who has had least for its weight among those that want more."""
    waiting = (
        (max(state.time, claim.had), name)
        for name, claim in state.claims.items()
        if claim.lacks > 0
    )
    return min(waiting, default=(0, None))[1]


def rounds_until(state: Places, tenant: TenantId, nth: int, most: int) -> float:
    """How often all places must come round until the tenant gets its nth more from now on."""
    line = [
        (max(state.time, claim.had), name, claim.lacks)
        for name, claim in state.claims.items()
        if claim.lacks > 0
    ]
    heapify(line)
    given, its_own = 0, 0
    while line and its_own < nth:
        start, name, lacks = heappop(line)
        given += 1
        its_own += name == tenant
        if lacks > 1:
            heappush(line, (start + SCALE // state.claims[name].weight, name, lacks - 1))
    given += nth - its_own  # what it has not asked for yet comes after what others have
    return max(0, given - (most - state.used)) / most


def evolve_places(state: Places, fact: BaseModel) -> Places:
    match fact:
        case Demanded():
            demand = Demand.model_validate(fact.demand, extra="ignore")
            name, claim = demand.tenant_id, _demanded(state, demand)
            return state.model_copy(update={"claims": {**state.claims, name: claim}})
        case PlaceGiven(tenant_id=name, start=start):
            claim = state.claims[name]
            update = {
                "given": claim.given | {claim.last + 1},
                "last": claim.last + 1,
                "had": start + SCALE // claim.weight,
            }
            claims = {**state.claims, name: claim.model_copy(update=update)}
            return state.model_copy(update={"claims": claims, "time": max(state.time, start)})
        case _:
            raise TypeError(fact)


def _demanded(state: Places, demand: Demand) -> Claim:
    """What the ledger has seen and does not hold is free again."""
    known = state.claims.get(demand.tenant_id, Claim())
    return known.model_copy(
        update={
            "version": demand.version,
            "wants": demand.wants,
            "weight": demand.weight,
            "held": demand.holds,
            "given": frozenset(n for n in known.given if n > demand.seen),
        }
    )

"""What stands in front of the endpoints lets nobody do more than its key allows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from contracts.calls import ActorKind, CallAnsweredV1
from contracts.keys import FindKeyV1, KeyFoundV1
from contracts.message import Message, Service
from contracts.tenants import OnboardTenantV1
from libs.bus.publisher import Publisher
from libs.settings import GatewaySettings, OnboardingMode
from services.gateway import keys
from services.gateway.api.edge import Edge
from services.gateway.app import in_front
from services.gateway.cors import Cors
from services.gateway.limits import Limits
from services.gateway.trail import Trail
from tests.api.threads import ExampleRequester
from tests.gateway.door import Recorder
from tests.gateway.edges import (
    ADMIN_KEY,
    KEY,
    PEPPER,
    TENANT,
    edge_on,
    found_key,
    once_for,
    serving,
)

ONBOARD, OWN_KEYS = "/api/v1/tenants/onboard", "/api/v1/tenants/api-keys"
NARROW = keys.mint(TENANT)
NOBODY: dict[str, str] = {}
TENANTS = {"X-API-Key": KEY.text}
OPERATORS = {"X-Admin-Key": ADMIN_KEY}
PRETENDERS = {"X-Admin-Key": "cvadm_guessed"}
UUIDS = ("9a3f1c1e-6d0b-4c53-9a55-0f6d6b0f2a11", "1b0f7f64-0a5d-4a0e-8a5c-3f6e1d9c7b22")
ONCE = {"Idempotency-Key": UUIDS[0]}
NEWCOMER = {
    "tenant_id": "newcomer",
    "company_name": "Newcomer",
    "admin_email": "a@newcomer.example",
}
OPEN, ADMIN, CLOSED = OnboardingMode.OPEN, OnboardingMode.ADMIN, OnboardingMode.CLOSED


class TwoKeys(ExampleRequester):
    """Knows a full key of the tenant, and one that may only be used for keys."""

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        found = await super().answer(question, wanted, id_)
        if isinstance(question, FindKeyV1) and isinstance(found, KeyFoundV1):
            return _narrowed(question) if found.key is None else found
        return found


def _narrowed(question: FindKeyV1) -> KeyFoundV1:
    whole = found_key(question.model_copy(update={"key_hash": KEY.hash(PEPPER)}))
    assert whole.key is not None
    part = whole.key.key.model_copy(
        update={"key_hash": question.key_hash, "scopes": ("keys:write",)}
    )
    stored = whole.key.model_copy(update={"key": part})
    return whole.model_copy(update={"key_hash": question.key_hash, "key": stored})


@dataclass(slots=True)
class Front:
    """A gateway as it is put together, on a platform that answers with examples."""

    requester: TwoKeys = field(default_factory=TwoKeys)
    recorder: Recorder = field(default_factory=Recorder)
    settings: GatewaySettings = field(
        default_factory=lambda: GatewaySettings(admin_api_key=SecretStr(ADMIN_KEY))
    )
    url: str = ""
    edge: Edge = field(init=False)
    limits: Limits = field(init=False)
    trail: Trail = field(init=False)

    def __post_init__(self) -> None:
        self.limits = Limits(self.settings)
        self.edge = edge_on(settings=self.settings, requester=self.requester, limits=self.limits)
        self.trail = Trail(Publisher(Service.GATEWAY, self.recorder), self.edge.auth.remembered)

    async def post(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, json=body, headers=headers) as found,
        ):
            return found.status, await found.json()

    async def onboard(self, headers: dict[str, str], plan: str = "STARTER") -> tuple[int, str]:
        body = NEWCOMER | {"subscription_plan": plan}
        status, told = await self.post(ONBOARD, body, headers)
        return status, told.get("code", "")

    async def told(self) -> list[CallAnsweredV1]:
        await self.trail.finish()
        return [CallAnsweredV1.decode(wire.data) for wire in self.recorder.published]

    def asked(self) -> list[OnboardTenantV1]:
        return [one for one in self.requester.asked if isinstance(one, OnboardTenantV1)]


@asynccontextmanager
async def front(mode: OnboardingMode = OPEN) -> AsyncIterator[Front]:
    settings = GatewaySettings(admin_api_key=SecretStr(ADMIN_KEY), onboarding_mode=mode)
    found = Front(settings=settings)
    chain = in_front(Cors(()), found.limits, found.trail, once_for(found.edge.auth))
    async with serving(found.edge, chain) as found.url:
        yield found


DONE, NO_KEY = (201, ""), (401, "admin_key_required")
SHUT, TOO_LARGE = (403, "onboarding_closed"), (403, "plan_needs_admin")
SELF, OPERATOR, TENANT_ACTOR = ActorKind("self"), ActorKind.ADMIN, ActorKind.TENANT
DOORS = [
    # who                     mode    the smallest plan  a larger plan  who is recorded
    ("a guest", NOBODY, OPEN, DONE, TOO_LARGE, SELF),
    ("a guest", NOBODY, ADMIN, NO_KEY, NO_KEY, None),
    ("a guest", NOBODY, CLOSED, SHUT, SHUT, None),
    ("a guest again", ONCE, OPEN, DONE, TOO_LARGE, SELF),
    ("a guest again", ONCE, ADMIN, NO_KEY, NO_KEY, None),
    ("a guest again", ONCE, CLOSED, SHUT, SHUT, None),
    ("a tenant", TENANTS, OPEN, DONE, TOO_LARGE, SELF),
    ("a tenant", TENANTS, ADMIN, NO_KEY, NO_KEY, None),
    ("a tenant", TENANTS, CLOSED, SHUT, SHUT, None),
    ("a tenant again", TENANTS | ONCE, OPEN, DONE, TOO_LARGE, SELF),
    ("a tenant again", TENANTS | ONCE, ADMIN, NO_KEY, NO_KEY, TENANT_ACTOR),
    ("a tenant again", TENANTS | ONCE, CLOSED, SHUT, SHUT, TENANT_ACTOR),
    *(("a pretender", PRETENDERS, mode, NO_KEY, NO_KEY, None) for mode in OnboardingMode),
    *(("a pretender again", PRETENDERS | ONCE, m, NO_KEY, NO_KEY, None) for m in OnboardingMode),
    *(("an operator", OPERATORS, mode, DONE, DONE, OPERATOR) for mode in OnboardingMode),
    *(("an operator again", OPERATORS | ONCE, m, DONE, DONE, OPERATOR) for m in OnboardingMode),
]


@pytest.mark.parametrize(
    ("headers", "mode", "small", "large", "actor"),
    [pytest.param(*rest, id=f"{name}, {rest[1]}") for name, *rest in DOORS],
)
async def test_the_door_opens_to_whom_the_mode_says(
    headers: dict[str, str],
    mode: OnboardingMode,
    small: tuple[int, str],
    large: tuple[int, str],
    actor: ActorKind | None,
) -> None:
    async with front(mode) as gateway:
        assert await gateway.onboard(headers) == small
        again = {"Idempotency-Key": UUIDS[1]} if "Idempotency-Key" in headers else {}
        assert await gateway.onboard(headers | again, plan="SCALE") == large
        assert [one.actor for one in await gateway.told()] == ([actor] * 2 if actor else [])
        by = "admin" if actor is OPERATOR else "self"
        done = [small, large].count(DONE)
        assert [one.requested_by for one in gateway.asked()] == [by] * done


async def test_a_guest_who_repeats_itself_is_given_the_same_key() -> None:
    async with front() as gateway:
        status, first = await gateway.post(ONBOARD, NEWCOMER, ONCE)
        assert (status, await gateway.post(ONBOARD, NEWCOMER, ONCE)) == (201, (201, first))
        assert len(gateway.asked()) == 1
        status, told = await gateway.post(ONBOARD, NEWCOMER | {"company_name": "Other"}, ONCE)
        assert (status, told["code"]) == (422, "idempotency_key_reused")


async def test_another_gateway_asks_the_same_for_a_guest() -> None:
    async with front() as one, front() as other:
        told = [await gateway.post(ONBOARD, NEWCOMER, ONCE) for gateway in (one, other)]
        assert told[0][1]["api_key"] == told[1][1]["api_key"]
        assert one.asked() == other.asked()


@pytest.mark.parametrize("key", ["1", "any", UUIDS[0].replace("-4", "-1", 1), "0" * 32])
async def test_what_a_guest_repeats_is_not_to_be_guessed(key: str) -> None:
    async with front() as gateway:
        status, told = await gateway.post(ONBOARD, NEWCOMER, {"Idempotency-Key": key})
        assert (status, told["errors"][0]["pointer"]) == (400, "/Idempotency-Key")
        assert gateway.asked() == []
        status, told = await gateway.post(OWN_KEYS, {}, {"Idempotency-Key": key})
        assert (status, told["code"]) == (401, "api_key_required")


async def test_a_narrowed_key_is_not_handed_the_answer_to_a_full_one() -> None:
    body = {"description": "dashboard"}
    async with front() as gateway:
        status, first = await gateway.post(OWN_KEYS, body, TENANTS | ONCE)
        assert (status, "api_key" in first) == (201, True)
        status, told = await gateway.post(OWN_KEYS, body, {"X-API-Key": NARROW.text} | ONCE)
        assert (status, told["code"]) == (403, "scope_exceeded")
        assert first["api_key"] not in str(told)
        assert await gateway.post(OWN_KEYS, body, TENANTS | ONCE) == (201, first)


async def test_an_operators_answer_about_one_key_is_not_given_about_another() -> None:
    """Who sends both keys calls as the tenant whose key it is."""
    body = {"description": "dashboard"}
    async with front() as gateway:
        _, first = await gateway.post(OWN_KEYS, body, OPERATORS | TENANTS | ONCE)
        both = OPERATORS | {"X-API-Key": NARROW.text} | ONCE
        status, told = await gateway.post(OWN_KEYS, body, both)
        assert (status, told["code"]) == (403, "scope_exceeded")
        assert "api_key" in first

"""A key whose answer was lost: the same again for a repeat, and otherwise told what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from contracts.identifiers import KeyHash
from contracts.keys import FindKeyV1, IssueKeyV1, KeyIssuedV1, KeyListV1, KeyRotatedV1, RotateKeyV1
from contracts.message import Message
from contracts.tenants import LimitsPart, OnboardTenantV1, TenantOnboardedV1
from libs.settings import GatewaySettings
from services.gateway import keys
from tests.gateway.edges import (
    ADMIN_KEY,
    KEY,
    NOW,
    PEPPER,
    TENANT,
    ScriptedRequester,
    edge_on,
    found_key,
    once_for,
    serving,
)

OWN, ANY = "/api/v1/tenants/api-keys", "/api/v1/admin/api-keys"
ONBOARD = "/api/v1/tenants/onboard"
OLD = KEY.hash(PEPPER)
TENANTS, OPERATORS = {"X-API-Key": KEY.text}, {"X-Admin-Key": ADMIN_KEY}
ONCE = {"Idempotency-Key": "a-first-time"}
NEWCOMER = {"tenant_id": "newcomer", "company_name": "N", "admin_email": "a@newcomer.example"}
MINTING = [
    pytest.param(OWN, TENANTS, {"description": "dashboard"}, id="a tenant's"),
    pytest.param(ANY, OPERATORS, {"tenant_id": TENANT}, id="an operator's"),
    pytest.param(f"{OWN}/{OLD}/rotate", TENANTS, {"overlap_seconds": 60}, id="rotated"),
    pytest.param(ONBOARD, OPERATORS, NEWCOMER, id="the first"),
]


@dataclass(slots=True)
class Owner:
    """Decides each command once, by its id, and does not always get its answer through."""

    decided: dict[str, Message] = field(default_factory=dict)
    lost: int = 0
    """How many answers more are lost."""

    @property
    def hashes(self) -> set[KeyHash]:
        made = (
            getattr(one, "key", None) or getattr(one, "first_key", None) for one in self.commands
        )
        return {part.key_hash for part in made if part is not None}

    commands: list[Message] = field(default_factory=list)

    def decide(self, command: Message, id_: str) -> Message | None:
        self.commands.append(command)
        self.decided.setdefault(id_ or str(len(self.decided)), event_of(command))
        if self.lost:
            self.lost -= 1
            return None
        return self.decided[id_] if id_ else event_of(command)


def event_of(command: Message) -> Message:
    by = {"tenant_id": command.scope, "requested_by": "test", "created_at": NOW}
    match command:
        case IssueKeyV1(key=part):
            return KeyIssuedV1.model_validate({**by, "key": part})
        case RotateKeyV1(key=part, old_key_hash=old):
            rotated = {**by, "key": part, "old_key_hash": old, "overlap_until": NOW}
            return KeyRotatedV1.model_validate(rotated)
        case OnboardTenantV1():
            limits = LimitsPart(daily=1, monthly=1, concurrent=1)
            shown = command.model_dump(include={"company_name", "admin_email", "plan"})
            more = {"limits": limits, "datasets": ("newcomer",)}
            return TenantOnboardedV1.model_validate({**by, **shown, **more})
        case _:
            raise TypeError(command)


class Unreliable(ScriptedRequester):
    """One gateway's way to the owner."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(lambda _: None)
        self._owner = owner

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        if isinstance(question, FindKeyV1):
            return found_key(question)
        if KeyListV1 in wanted:
            stored = found_key(FindKeyV1(tenant_id=TENANT, key_hash=OLD)).key
            return KeyListV1(tenant_id=TENANT, keys=(stored,) if stored else ())
        return self._owner.decide(question, id_)


@asynccontextmanager
async def gateway(owner: Owner, admin_keys: str = ADMIN_KEY) -> AsyncIterator[str]:
    settings = GatewaySettings(admin_api_key=SecretStr(admin_keys))
    edge = edge_on(settings=settings, requester=Unreliable(owner))
    once = once_for(edge.auth)
    async with serving(edge, [once.layer]) as url:
        yield url


async def post(url: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as found,
    ):
        return found.status, await found.json()


def hash_of(text: str) -> KeyHash:
    key = keys.parse(text)
    assert key is not None
    return key.hash(PEPPER)


@pytest.mark.parametrize(("path", "who", "body"), MINTING)
async def test_a_repeat_after_a_lost_answer_has_the_key_that_was_made(
    path: str, who: dict[str, str], body: Any
) -> None:
    owner = Owner(lost=1)
    async with gateway(owner) as first, gateway(owner) as second:
        status, problem = await post(first + path, who | ONCE, body)
        assert (status, problem["code"]) == (504, "no_answer_yet")
        assert "the same Idempotency-Key" in problem["detail"]
        answers = [await post(url + path, who | ONCE, body) for url in (first, second, first)]
    assert {status for status, _ in answers} == {201}
    assert {hash_of(shown["api_key"]) for _, shown in answers} == owner.hashes
    assert (len(owner.decided), len(owner.hashes)) == (1, 1)


@pytest.mark.parametrize(("path", "who", "body"), MINTING)
async def test_another_request_makes_another_key(path: str, who: dict[str, str], body: Any) -> None:
    owner = Owner()
    sent = [ONCE, {"Idempotency-Key": "a-second-time"}, {}, {}]
    async with gateway(owner) as url:
        shown = [(await post(url + path, who | each, body))[1]["api_key"] for each in sent]
    assert len(set(shown)) == len(owner.hashes) == len(sent)


async def test_who_knows_the_request_but_not_the_key_it_was_sent_with_gets_another() -> None:
    owner, other = Owner(), "cvadm_of-another-operator"
    async with gateway(owner, f"{ADMIN_KEY},{other}") as url:
        body = {"tenant_id": TENANT}
        first = await post(url + ANY, OPERATORS | ONCE, body)
        second = await post(url + ANY, {"X-Admin-Key": other} | ONCE, body)
    assert first[1]["api_key"] != second[1]["api_key"]


@pytest.mark.parametrize(
    ("path", "who", "body", "expected"),
    [
        (OWN, TENANTS, {}, ["revoke it; then make another"]),
        (ANY, OPERATORS, {"tenant_id": TENANT}, ["revoke it; then make another"]),
        (ONBOARD, OPERATORS, NEWCOMER, ["GET /api/v1/admin/tenants/newcomer", "revoke"]),
    ],
    ids=["a tenant's", "an operator's", "the first"],
)
async def test_who_sent_no_idempotency_key_is_told_which_key_to_revoke(
    path: str, who: dict[str, str], body: Any, expected: list[str]
) -> None:
    owner = Owner(lost=1)
    async with gateway(owner) as url:
        status, problem = await post(url + path, who, body)
    assert status == 504
    (made,) = owner.hashes
    for part in (*expected, made, "With an Idempotency-Key"):
        assert part in problem["detail"]


async def test_a_guest_is_told_whom_to_ask() -> None:
    """Without an Idempotency-Key a guest is nobody in particular."""
    owner = Owner(lost=1)
    async with gateway(owner) as url:
        status, problem = await post(url + ONBOARD, {}, NEWCOMER)
        assert (status, "ask the operator for a key" in problem["detail"]) == (504, True)
        repeated = await post(url + ONBOARD, {}, NEWCOMER)
    assert repeated[0] == 201
    assert len(owner.hashes) == 2


async def test_a_guest_that_heard_nothing_repeats_and_has_its_key() -> None:
    """At another gateway too: the key follows from what only this guest knows."""
    owner = Owner(lost=1)
    headers = {"Idempotency-Key": "9a3f1c1e-6d0b-4c53-9a55-0f6d6b0f2a11"}
    async with gateway(owner) as url, gateway(owner) as other:
        status, problem = await post(url + ONBOARD, headers, NEWCOMER)
        assert (status, "same Idempotency-Key" in problem["detail"]) == (504, True)
        status, made = await post(other + ONBOARD, headers, NEWCOMER)
        assert status == 201
    key = keys.parse(made["api_key"])
    assert key is not None
    assert owner.hashes == {key.hash(PEPPER)}

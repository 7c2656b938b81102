"""What a tenant's key may do to the tenant's keys: no more than it has, for no longer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from contracts.identifiers import KeyHash
from contracts.keys import (
    FindKeyV1,
    IssueKeyV1,
    KeyFoundV1,
    KeyIssuedV1,
    KeyListV1,
    KeyPart,
    KeyRevokedV1,
    KeyRotatedV1,
    ListKeysV1,
    RevokeKeyV1,
    RotateKeyV1,
    StoredKeyPart,
)
from contracts.message import Message
from contracts.tenants import TenantStatus
from tests.gateway.edges import ADMIN_KEY, KEY, NOW, PEPPER, TENANT, ScriptedRequester, edge_on
from tests.gateway.edges import serving as listening

KEYS = "/api/v1/tenants/api-keys"
MINE, OTHER = KEY.hash(PEPPER), KeyHash("0" * 64)
SOON, LATER = NOW + timedelta(hours=1), NOW + timedelta(days=1)
WRITES = ("keys:write", "runs:read")
TOO_MUCH = (403, "scope_exceeded")


def part(key_hash: KeyHash, scopes: tuple[str, ...], ends: datetime | None) -> KeyPart:
    return KeyPart(key_hash=key_hash, last_four="0000", scopes=scopes, expires_at=ends)


@dataclass(slots=True)
class Keys:
    """The tenant's two keys: the one that asks, and another."""

    mine: KeyPart = field(default_factory=lambda: part(MINE, (), None))
    other: KeyPart = field(default_factory=lambda: part(OTHER, (), None))
    told: list[Any] = field(default_factory=list)

    def answer(self, question: Message) -> Message:
        by = {"tenant_id": TENANT, "requested_by": "test", "created_at": NOW}
        match question:
            case FindKeyV1(key_hash=key_hash):
                return KeyFoundV1(
                    tenant_id=TENANT,
                    key_hash=key_hash,
                    key=stored(self.mine),
                    tenant_status=TenantStatus.ACTIVE,
                )
            case ListKeysV1():
                return KeyListV1(tenant_id=TENANT, keys=(stored(self.mine), stored(self.other)))
        self.told.append(question)
        match question:
            case IssueKeyV1(key=made):
                return KeyIssuedV1.model_validate({**by, "key": made})
            case RotateKeyV1(key=made, old_key_hash=old, overlap_until=until):
                more = {"key": made, "old_key_hash": old, "overlap_until": until}
                return KeyRotatedV1.model_validate({**by, **more})
            case RevokeKeyV1(key_hash=key_hash):
                return KeyRevokedV1(
                    tenant_id=TENANT, key_hash=key_hash, revoked_at=NOW, requested_by="test"
                )
        raise TypeError(question)


class Asked(ScriptedRequester):
    def __init__(self, keys: Keys) -> None:
        super().__init__(keys.answer)
        self._keys = keys

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        del wanted, id_
        return self._keys.answer(question)


def stored(one: KeyPart) -> StoredKeyPart:
    return StoredKeyPart(key=one, is_active=True, created_at=NOW, created_by="test")


Send = Any


@asynccontextmanager
async def gateway(keys: Keys) -> AsyncIterator[Send]:
    async with listening(edge_on(requester=Asked(keys))) as url, aiohttp.ClientSession() as session:

        async def send(
            method: str, path: str, body: Any = None, *, admin: bool = False
        ) -> tuple[int, str]:
            who = {"X-Admin-Key": ADMIN_KEY} if admin else {"X-API-Key": KEY.text}
            async with session.request(method, url + path, json=body, headers=who) as answer:
                shown = await answer.json() if answer.status != 204 else {}
                return answer.status, shown.get("code") or shown.get("expires_at") or ""

        yield send


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("own_end", "asked_for", "expected"),
    [
        (None, None, (201, "")),
        (None, LATER, (201, iso(LATER))),
        (SOON, None, (201, iso(SOON))),
        (SOON, SOON, (201, iso(SOON))),
        (LATER, SOON, (201, iso(SOON))),
        (SOON, LATER, TOO_MUCH),
    ],
)
async def test_a_key_makes_none_that_outlives_it(
    own_end: datetime | None, asked_for: datetime | None, expected: tuple[int, str]
) -> None:
    keys = Keys(mine=part(MINE, (), own_end))
    body = {"expires_at": iso(asked_for)} if asked_for else {}
    async with gateway(keys) as send:
        assert await send("POST", KEYS, body) == expected
    if expected == TOO_MUCH:
        assert keys.told == []
    else:
        ends = keys.told[0].key.expires_at
        assert (iso(ends) if ends else "") == expected[1]


@pytest.mark.parametrize("admin", [False, True], ids=["its tenant", "an operator"])
async def test_what_is_put_in_the_place_of_a_key_ends_when_that_was_to(*, admin: bool) -> None:
    keys = Keys(mine=part(MINE, (), SOON))
    path = f"/api/v1/admin/api-keys/{MINE}/rotate?tenant_id={TENANT}"
    path = path if admin else f"{KEYS}/{MINE}/rotate"
    async with gateway(keys) as send:
        assert await send("POST", path, {}, admin=admin) == (201, iso(SOON))
    assert keys.told[0].key.expires_at == SOON


@pytest.mark.parametrize("ends", [None, LATER], ids=["never", "later"])
async def test_a_key_that_ends_takes_the_place_of_none_that_outlives_it(
    ends: datetime | None,
) -> None:
    keys = Keys(mine=part(MINE, (), SOON), other=part(OTHER, (), ends))
    async with gateway(keys) as send:
        assert await send("POST", f"{KEYS}/{OTHER}/rotate", {}) == TOO_MUCH
    assert keys.told == []


@pytest.mark.parametrize(
    ("mine", "key_hash", "others", "expected"),
    [
        (WRITES, OTHER, (), TOO_MUCH),
        (WRITES, OTHER, ("credentials:write",), TOO_MUCH),
        (WRITES, OTHER, ("runs:read",), (204, "")),
        (WRITES, MINE, (), (204, "")),
        ((), OTHER, (), (204, "")),
    ],
    ids=["everything", "something else", "less", "itself", "by a whole key"],
)
async def test_a_narrowed_key_revokes_itself_and_what_can_do_no_more(
    mine: tuple[str, ...], key_hash: KeyHash, others: tuple[str, ...], expected: tuple[int, str]
) -> None:
    keys = Keys(mine=part(MINE, mine, None), other=part(OTHER, others, None))
    async with gateway(keys) as send:
        assert await send("DELETE", f"{KEYS}/{key_hash}") == expected
    assert bool(keys.told) == (expected[0] == 204)

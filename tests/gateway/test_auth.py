"""Authentication: from memory, never fooled by what is remembered."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from contracts.identifiers import TenantId
from contracts.tenants import TenantStatus
from services.gateway import keys
from services.gateway.known_keys import Hashes, Known, KnownKeys
from tests.gateway.door import ADMIN_KEY, OLD_ADMIN_KEY, PEPPER, START, Visitor, visiting

GOOD = keys.mint(TenantId("acme")).text
INVALID = (401, "invalid_api_key")


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    async with visiting() as found:
        yield found


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "acme_api_" + "A" * 49,
        GOOD[:-1] + ("a" if GOOD[-1] != "a" else "b"),
        GOOD.replace("acme", "acne"),
        GOOD + "x",
        "x" * 8000,
        "Acme_api_" + GOOD.removeprefix("acme_api_"),
    ],
    ids=["nonsense", "zeros", "one letter", "another tenant", "longer", "huge", "capital"],
)
async def test_garbage_is_turned_away_without_asking(visitor: Visitor, text: str) -> None:
    assert await visitor.code(text) == INVALID
    assert visitor.door.tenants.asked == 0


async def test_a_key_is_asked_for_once_however_many_come_with_it(visitor: Visitor) -> None:
    key = visitor.door.tenants.issue("acme")
    found = await asyncio.gather(*(visitor.code(key) for _ in range(50)))
    assert (set(found), visitor.door.tenants.asked) == ({(200, "")}, 1)


async def test_what_is_known_is_asked_again_after_a_while(visitor: Visitor) -> None:
    key = visitor.door.tenants.issue("acme")
    for minutes, asked in ((0, 1), (0.9, 1), (1.1, 2)):
        visitor.door.now = START + timedelta(minutes=minutes)
        assert await visitor.code(key) == (200, "")
        assert visitor.door.tenants.asked == asked


async def test_an_unknown_key_is_remembered_for_ten_seconds(visitor: Visitor) -> None:
    key = keys.mint(TenantId("acme"))
    for seconds, asked in ((0, 1), (9, 1), (11, 2)):
        visitor.door.now = START + timedelta(seconds=seconds)
        assert await visitor.code(key) == INVALID
        assert visitor.door.tenants.asked == asked


def test_hashes_of_keys_are_found_without_their_texts_and_bounded() -> None:
    hashes, some = Hashes(kept=10), [keys.mint(TenantId("acme")) for _ in range(20)]
    for key in some:
        hashes.keep(key.text, key.hash(PEPPER))
    assert len(hashes) == 10
    expected = [None] * 10 + [key.hash(PEPPER) for key in some[10:]]
    assert [hashes.find(key.text) for key in some] == expected
    kept = b"".join(hashes._hashes)
    assert not any(key.text.encode() in kept for key in some)
    assert hashes.find("bytes that are no text: \udcff") is None


async def test_a_text_that_was_never_a_key_is_not_kept(visitor: Visitor) -> None:
    for text in ("nonsense", GOOD, GOOD):
        assert await visitor.code(text) == INVALID
    assert len(visitor.door.auth._hashes) == 0
    key = visitor.door.tenants.issue("acme")
    for _ in range(3):
        assert await visitor.code(key) == (200, "")
    assert len(visitor.door.auth._hashes) == 1


def test_strangers_keys_push_nobody_out() -> None:
    known, later = KnownKeys(kept=10, refused_kept=10), START + timedelta(minutes=1)
    mine = keys.mint(TenantId("acme")).hash(PEPPER)
    known.remember(Known(TenantId("acme"), mine, usable=True, ask_again_at=later))
    for _ in range(1000):
        stranger = keys.mint(TenantId("acme")).hash(PEPPER)
        known.remember(Known(TenantId("acme"), stranger, usable=False, ask_again_at=later))
    assert known.find(mine, START) is not None
    assert len(known) == 11
    known.forget_tenant(TenantId("acme"))
    assert len(known) == 0


async def test_a_revoked_key_is_turned_away_once_its_event_is_heard(visitor: Visitor) -> None:
    door, key = visitor.door, visitor.door.tenants.issue("acme")
    other = door.tenants.issue("acme")
    assert await visitor.code(key) == await visitor.code(other) == (200, "")
    door.auth.forget_key(TenantId("acme"), door.tenants.revoke(key))
    assert await visitor.code(key) == INVALID
    assert await visitor.code(other) == (200, "")
    assert door.tenants.asked == 3


async def test_a_revocation_overtakes_an_answer_that_is_on_its_way(visitor: Visitor) -> None:
    door, key = visitor.door, visitor.door.tenants.issue("acme")
    door.tenants.gate.clear()
    call = asyncio.create_task(visitor.code(key))
    await door.tenants.begun.wait()
    door.auth.forget_key(TenantId("acme"), door.tenants.revoke(key))
    door.tenants.gate.set()
    assert await call == INVALID
    assert await visitor.code(key) == INVALID


async def test_a_suspended_tenant_is_shut_out_and_let_in_again(visitor: Visitor) -> None:
    door, key = visitor.door, visitor.door.tenants.issue("acme")
    assert await visitor.code(key) == (200, "")
    for status, expected in (
        (TenantStatus.SUSPENDED, (403, "tenant_suspended")),
        (TenantStatus.ACTIVE, (200, "")),
        (TenantStatus.OFFBOARDED, INVALID),
    ):
        door.tenants.status["acme"] = status
        door.auth.forget_tenant(TenantId("acme"))
        assert await visitor.code(key) == expected


async def test_a_key_ends_at_its_time_while_it_is_remembered(visitor: Visitor) -> None:
    key = visitor.door.tenants.issue("acme", expires_at=START + timedelta(seconds=30))
    assert await visitor.code(key) == (200, "")
    visitor.door.wait(seconds=30)
    assert await visitor.code(key) == INVALID


async def test_without_an_answer_it_says_so_and_remembers_nothing(visitor: Visitor) -> None:
    key = visitor.door.tenants.issue("acme")
    visitor.door.tenants.silent = True
    assert await visitor.code(key) == (503, "authentication_unavailable")
    visitor.door.tenants.silent = False
    assert await visitor.code(key) == (200, "")


@pytest.mark.parametrize(
    ("scopes", "method", "path", "expected"),
    [
        (("runs:write",), "POST", "/api/v1/pipelines/run/nightly", (200, "")),
        (("runs:read",), "POST", "/api/v1/pipelines/run/nightly", (403, "scope_missing")),
        (("runs:write",), "GET", "/api/v1/tenants/me", (403, "scope_missing")),
        (("tenant:read",), "GET", "/api/v1/tenants/acme/credentials", (403, "scope_missing")),
        (("credentials:read",), "GET", "/api/v1/tenants/acme/credentials", (200, "")),
    ],
)
async def test_a_narrowed_key_opens_only_what_it_names(
    visitor: Visitor, scopes: tuple[str, ...], method: str, path: str, expected: tuple[int, str]
) -> None:
    key = visitor.door.tenants.issue("acme", scopes=scopes)
    assert await visitor.code(key, method=method, path=path) == expected


@pytest.mark.parametrize(
    ("key", "status"),
    [(ADMIN_KEY, 200), (OLD_ADMIN_KEY, 200), (ADMIN_KEY[:-1], 401), ("", 401), ("ü", 401)],
    ids=["new", "old", "cut off", "none", "not ascii"],
)
async def test_both_admin_keys_open_and_no_other(visitor: Visitor, key: str, status: int) -> None:
    headers = {"X-Admin-Key": key} if key else {}
    path = "/api/v1/admin/tenants/acme"
    assert (await visitor.call(path=path, method="DELETE", headers=headers)).status == status


async def test_an_admin_key_is_no_tenants_key_nor_the_other_way(visitor: Visitor) -> None:
    key = visitor.door.tenants.issue("acme")
    assert await visitor.code(ADMIN_KEY) == INVALID
    response = await visitor.call(
        path="/api/v1/admin/tenants/acme", method="DELETE", headers={"X-Admin-Key": key.text}
    )
    assert response.status == 401

"""Header bytes that are no UTF-8: a stranger's are refused, a friend's change is told."""

import asyncio
import json
import logging

import pytest

from contracts.identifiers import TenantId
from services.gateway import keys
from tests.gateway.door import ADMIN_KEY, Visitor, visiting

CHANGE = b"POST /api/v1/pipelines/run/nightly"
ADMIN_CHANGE = b"DELETE /api/v1/admin/tenants/acme"


async def sent(visitor: Visitor, what: bytes, *headers: bytes) -> tuple[int, str]:
    """Status and code of a request written byte by byte."""
    port = visitor.client.server.port
    assert port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (what + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers, b"", b"")
    writer.write(b"\r\n".join(lines))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), json.loads(body).get("code", "")


@pytest.mark.parametrize("user", [b"\xff", b"ana\xc3", b"\xed\xa0\x80", b"a\x80" * 150])
async def test_a_change_is_told_whatever_the_caller_says_of_itself(user: bytes) -> None:
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme").text.encode()
        found = await sent(visitor, CHANGE, b"X-API-Key: " + key, b"X-User-ID: " + user)
        assert found == (200, "")
        (event,) = await visitor.door.told()
        assert (event.tenant_id, event.status) == ("acme", 200)
        assert "?" in event.user_id
        found = await sent(
            visitor, ADMIN_CHANGE, b"X-Admin-Key: " + ADMIN_KEY.encode(), b"X-User-ID: " + user
        )
        assert found == (200, "")
        assert [event.tenant_id for event in await visitor.door.told()] == ["acme", "acme"]


async def test_what_the_caller_says_of_itself_in_utf_8_is_kept() -> None:
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme").text.encode()
        await sent(visitor, CHANGE, b"X-API-Key: " + key, "X-User-ID: María".encode())
        (event,) = await visitor.door.told()
        assert event.user_id == "María"


async def test_a_key_of_strange_bytes_is_wrong_as_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    digits = keys.mint(TenantId("acme")).text.removeprefix("acme_api_").encode()
    strange = (b"X-API-Key: \xff_api_" + digits, b"X-Admin-Key: cvadm_\xff")
    async with visiting(rate_limit_address=60) as visitor:
        found = [await sent(visitor, CHANGE, strange[0]), await sent(visitor, CHANGE, strange[0])]
        assert found == [(401, "invalid_api_key")] * 2
        assert await sent(visitor, ADMIN_CHANGE, strange[1]) == (401, "admin_key_required")
        assert await sent(visitor, ADMIN_CHANGE, strange[1]) == (429, "rate_limited")
        assert await visitor.door.told() == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

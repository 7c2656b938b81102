"""A body that has come whole is taken as it is; any other is read as aiohttp reads it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from libs.web.body import at_hand
from libs.web.server import serve

LIMIT = 10


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that says what was at hand, and all there was."""

    async def first(request: web.Request) -> web.Response:
        found = at_hand(request)
        return web.Response(body=b"%s of %s" % (found, found or await request.read()))

    async def after_another(request: web.Request) -> web.Response:
        await request.read()
        return await first(request)

    app = web.Application(client_max_size=LIMIT)
    app.router.add_post("/first", first)
    app.router.add_post("/after", after_another)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    yield port
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "body", "status", "answer"),
    [
        ("/first", "whole", 200, "whole of whole"),
        ("/first", "", 200, " of "),
        ("/first", "x" * LIMIT, 200, f"{'x' * LIMIT} of {'x' * LIMIT}"),
        ("/first", "x" * (LIMIT + 1), 413, f"Maximum request body size {LIMIT} exceeded"),
        ("/after", "read", 200, " of read"),
    ],
    ids=["whole", "none", "just not too large", "too large", "read before"],
)
async def test_what_is_there_is_taken(
    port: int, path: str, body: str, status: int, answer: str
) -> None:
    found = await told(port, path, body)
    assert (found[0], found[1].startswith(answer)) == (status, True)


async def test_what_is_on_its_way_is_waited_for(port: int) -> None:
    assert await told(port, "/first", "late", waits=True) == (200, " of late")


async def told(port: int, path: str, body: str, *, waits: bool = False) -> tuple[int, str]:
    """Status and body. A client that waits sends its own after the server has asked for it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    also = "Expect: 100-continue\r\n" if waits else ""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{also}"
    async with asyncio.timeout(60):
        if waits:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body.encode())
        else:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        found, _, text = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(found.split()[1]), text

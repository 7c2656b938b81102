"""A reply is to its reader what any other answer of aiohttp is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from libs.web.reply import Reply
from libs.web.server import serve

BODY = b'{"a": 1}'
HEADERS = {"Content-Type": "application/json", "Location": "/there"}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def sent_at_once(_: web.Request) -> web.Response:
        return Reply(status=202, body=BODY, headers=HEADERS)

    async def as_any_other(_: web.Request) -> web.Response:
        return web.Response(status=202, body=BODY, headers=HEADERS)

    async def and_no_more(_: web.Request) -> web.Response:
        reply = Reply(status=202, body=BODY, headers=HEADERS)
        reply.force_close()
        return reply

    app = web.Application()
    app.router.add_route("*", "/reply", sent_at_once)
    app.router.add_route("*", "/response", as_any_other)
    app.router.add_route("*", "/last", and_no_more)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    yield port
    await runner.cleanup()


async def told(port: int, *requests: str) -> list[bytes]:
    """All that comes until the server ends the connection, one line after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(requests).encode())
    async with asyncio.timeout(60):
        found = await reader.read()
    writer.close()
    return sorted(line for line in found.split(b"\r\n") if not line.startswith(b"Date:"))


def request(path: str, method: str = "GET", version: str = "1.1", also: str = "") -> str:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n{also}\r\n"


CLOSE = "Connection: close\r\n"


@pytest.mark.parametrize(
    "requests",
    [
        [("GET", "1.1", ""), ("POST", "1.1", ""), ("GET", "1.1", CLOSE)],
        [("GET", "1.1", CLOSE)],
        [("GET", "1.0", "")],
        [("GET", "1.0", "Connection: keep-alive\r\n"), ("GET", "1.0", "")],
        [("HEAD", "1.1", ""), ("HEAD", "1.1", CLOSE)],
    ],
    ids=["it goes on", "the last", "an old client", "an old client goes on", "only the head"],
)
async def test_it_reads_as_any_other_answer(port: int, requests: list[tuple[str, ...]]) -> None:
    ours = await told(port, *(request("/reply", *one) for one in requests))
    theirs = await told(port, *(request("/response", *one) for one in requests))
    assert ours == theirs
    assert len([line for line in ours if line.endswith(b"202 Accepted")]) == len(requests)


async def test_one_that_is_to_be_the_last_is(port: int) -> None:
    found = await told(port, request("/last"), request("/reply"))
    assert b"Connection: close" in found
    assert len([line for line in found if line.endswith(b"202 Accepted")]) == 1

"""Servers that stand beside the gateway: they take a run's request, and know nothing of runs.

Two are handlers of aiohttp: one takes JSON and answers JSON, as an accepted run does, and one looks
at neither. The third is no server at all but a floor: a protocol that answers the same bytes to
whatever comes. All answer a body of the same size.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from libs.web.problem import Handler
from libs.web.server import serve

ANSWER = {
    "run_id": "8e2fb646-676d-4208-b2ae-aaa13620acb2",
    "pipeline_logging_id": "8e2fb646-676d-4208-b2ae-aaa13620acb2",
    "tenant_id": "acme_cloud",
    "pipeline_id": "ones",
    "status": "RUNNING",
    "retry_of": None,
}
BYTES = json.dumps(ANSWER).encode()
HEAD = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def of_bytes(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=202, body=BYTES, content_type="application/json")


async def of_json(request: web.Request) -> web.Response:
    await request.json()
    return web.json_response(ANSWER, status=202)


@asynccontextmanager
async def aiohttp_post(accept: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/api/v1/pipelines/run/{config_id}", accept)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@asynccontextmanager
async def constant() -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Constant, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Constant(asyncio.Protocol):
    """Knows of a request only where its body of JSON ends; the next comes when it is answered."""

    _all = (HEAD % len(BYTES)).encode() + BYTES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self._transport.write(self._all)

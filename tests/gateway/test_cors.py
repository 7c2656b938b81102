"""Pages of other sites: those that are named may call, and no others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from libs.web.app import About, begin, create_app
from services.gateway.cors import Cors

OURS, THEIRS = "https://app.example.com", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}


@asynccontextmanager
async def gateway(*origins: str) -> AsyncIterator["TestClient[web.Request, web.Application]"]:
    async def nothing() -> list[str]:
        return []

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await begin(request, response)
        await response.write(b"data: x\n\n")
        return response

    cors = Cors(origins)
    about = About("gateway", "0", "test")
    app = create_app(about, nothing, [web.get("/stream", stream)], cors.layers)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/stream", "/nothing"])
async def test_every_answer_may_be_read_by_a_named_origin(path: str) -> None:
    async with gateway(OURS) as client:
        answer = await client.get(path, headers={"Origin": OURS})
        assert answer.headers["Access-Control-Allow-Origin"] == OURS
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_tells_methods_and_headers() -> None:
    async with gateway(OURS) as client:
        answer = await client.options("/health", headers={"Origin": OURS, **PREFLIGHT})
        assert answer.status == 204
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        for name in ("X-API-Key", "Idempotency-Key", "If-Match", "Content-Type"):
            assert name in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("headers", [{"Origin": THEIRS}, {}], ids=["another", "none"])
async def test_to_others_nothing_is_said(headers: dict[str, str]) -> None:
    async with gateway(OURS) as client:
        for answer in (
            await client.get("/health", headers=headers),
            await client.options("/health", headers={**headers, **PREFLIGHT}),
        ):
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
            assert answer.headers["Vary"] == "Origin"


async def test_a_star_names_all_and_nothing_named_is_none() -> None:
    async with gateway("*") as client:
        answer = await client.get("/health", headers={"Origin": THEIRS})
        assert answer.headers["Access-Control-Allow-Origin"] == THEIRS
    async with gateway() as client:
        answer = await client.get("/health", headers={"Origin": OURS})
        assert not {"Vary", "Access-Control-Allow-Origin"} & set(answer.headers)

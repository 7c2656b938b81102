"""What every service's HTTP side promises, over a real connection."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from io import StringIO

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from libs.telemetry import logs
from libs.telemetry.context import bind
from libs.telemetry.trace import continue_trace, new_trace, parse
from libs.web.app import About, answer, create_app
from libs.web.body import parse_model, text_of
from libs.web.server import serve

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    count: int = 0


@pytest.fixture
def waiting() -> list[str]:
    return []


@pytest.fixture
async def url(waiting: list[str]) -> AsyncIterator[str]:
    async def waiting_for() -> Sequence[str]:
        return waiting

    async def echo(request: web.Request) -> web.Response:
        return answer(parse_model(text_of(await request.read()), Body).model_dump())

    async def fail(_: web.Request) -> web.Response:
        raise RuntimeError("secret-canary")

    routes = [web.post("/echo", echo), web.get("/fail", fail)]
    app = create_app(About("gateway", "1.2.3", "development"), waiting_for, routes)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_health_says_what_runs(url: str, client: aiohttp.ClientSession) -> None:
    for path in ("/health", "/healthz"):
        async with client.get(url + path) as response:
            body = await response.json()
            assert body["service"] == "convergence-data-pipeline"
            assert (body["status"], body["version"]) == ("healthy", "1.2.3")


async def test_readiness_says_what_is_missing(
    url: str, client: aiohttp.ClientSession, waiting: list[str]
) -> None:
    waiting.append("Pub/Sub at 127.0.0.1:8085")
    async with client.get(f"{url}/readyz") as response:
        assert response.status == 503
        assert (await response.json())["waiting_for"] == waiting
    waiting.clear()
    async with client.get(f"{url}/readyz") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "line", ["OPTIONS *", "GET http://host", "POST http://host", "CONNECT h:1"]
)
async def test_what_is_no_path_is_answered_as_what_leads_nowhere_is(url: str, line: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"X-Request-ID" in head
    assert json.loads(body)["code"] == "not_found"
    writer.close()


async def test_what_is_possible_at_a_path_is_said(url: str, client: aiohttp.ClientSession) -> None:
    async with client.delete(f"{url}/fail") as response:
        assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("method", "path", "data", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/echo", None, 405, "method_not_allowed"),
        ("POST", "/echo", b"{", 400, "invalid_json"),
        ("POST", "/echo", b"\xff", 400, "invalid_encoding"),
        ("POST", "/echo", b"[" * 2000, 400, "too_deep"),
        ("POST", "/echo", b"[" * 60 + b"]" * 60, 400, "too_deep"),
        ("POST", "/echo", b'{"count": "x", "extra": 1}', 400, "invalid_request"),
        ("POST", "/echo", b" " * (1 << 20) + b"{}", 413, "body_too_large"),
        ("GET", "/fail", None, 500, "internal_error"),
    ],
    ids=["path", "method", "json", "utf-8", "open", "deep", "fields", "large", "our fault"],
)
async def test_what_goes_wrong_is_a_problem_document(  # noqa: PLR0913, PLR0917  a table's columns
    url: str,
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    data: bytes | None,
    status: int,
    code: str,
) -> None:
    headers = {"traceparent": TRACE}
    async with client.request(method, url + path, data=data, headers=headers) as response:
        assert response.content_type == "application/problem+json"
        body = await response.json(content_type=None)
        assert (response.status, body["status"], body["code"]) == (status, status, code)
        assert body["detail"]
        assert "canary" not in json.dumps(body)
        assert body["trace_id"] == TRACE.split("-")[1]
        if code == "invalid_request":
            assert [e["pointer"] for e in body["errors"]] == ["/name", "/count", "/extra"]


def test_a_trace_is_continued_or_begun() -> None:
    child = continue_trace(TRACE)
    assert child.trace_id == TRACE.split("-")[1]
    assert child.span_id != TRACE.split("-")[2]
    assert parse(str(new_trace())) is not None
    for bad in ("", "00-0-0-00", TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)):
        assert parse(bad) is None


def test_a_log_line_has_the_documented_shape_and_no_secret() -> None:
    stream = StringIO()
    logs.configure("gateway", "INFO", stream)
    key = "acme_cloud_api_" + "a1B2" * 12 + "z"
    with bind(tenant_id="acme_cloud", run_id="r1", trace_id="t1", step_id=""):
        logging.getLogger("test").info("key %s given", key)
        logging.getLogger("test").warning("flushed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {
        "timestamp",
        "severity",
        "name",
        "msg",
        "service",
        "tenant_id",
        "run_id",
        "trace_id",
    } == (first.keys())
    assert key not in stream.getvalue()
    assert (first["service"], second["severity"]) == ("gateway", "WARNING")

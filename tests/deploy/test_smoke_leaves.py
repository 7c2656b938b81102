"""The smoke test sees its tenants off however it ends, and names whom it could not."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from libs.web.server import serve

ROOT = Path(__file__).parents[2]
Change = Callable[["Gateway", str], "web.Response | None"]


def said(status: int, **body: Any) -> web.Response:
    return web.json_response(body, status=status)


def as_usual(_: "Gateway", __: str) -> None:
    return None


@dataclass(slots=True)
class Gateway:
    """Answers as the real one does, but for what a test changes."""

    change: Change = as_usual
    there: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    running: asyncio.Event = field(default_factory=asyncio.Event)
    never: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        if request.path.endswith("/onboard"):
            name = (await request.json())["tenant_id"]
            self.there.add(name)
            return self.change(self, what) or said(201, api_key=f"key-of-{name}")
        if changed := self.change(self, what):
            return changed
        if request.method == "DELETE":
            self.there.discard(request.path.rpartition("/")[2])
            return said(200)
        name = request.headers.get("X-API-Key", "").removeprefix("key-of-")
        if "/runs/" in request.path:
            self.running.set()
            await self.never.wait()
        stored = {"action": "CREATED", "run_id": "run", "tenant_id": name}
        return said(200, **stored)

    @asynccontextmanager
    async def smoke(self, *arguments: str) -> "AsyncIterator[asyncio.subprocess.Process]":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner, port = await serve(app, host="127.0.0.1", port=0)
        try:
            yield await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "deploy.smoke", "--tenants", "3"),
                *("--url", f"http://127.0.0.1:{port}", *arguments),
                cwd=ROOT,
                env={**os.environ, "ADMIN_API_KEY": "cvadm_any"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        finally:
            self.never.set()
            await runner.cleanup()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode, out.decode() + err.decode()


def failing(part: str, status: int) -> Change:
    return lambda _, what: said(status, detail="not now") if part in what else None


@pytest.mark.parametrize(
    "part", ["POST /api/v1/tenants/onboard", "/tenants/me", "/credentials", "/pipelines/run/"]
)
async def test_nobody_is_left_behind_when_a_step_fails(part: str) -> None:
    gateway = Gateway(failing(part, 504))
    async with gateway.smoke() as process:
        code, text = await ended(process)
    assert (code, gateway.there) == (1, set()), text
    assert "failed: " in text
    assert "3 of 3 offboarded" in text
    assert "left behind" not in text


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_nobody_is_left_behind_when_it_is_interrupted(sent: signal.Signals) -> None:
    gateway = Gateway()
    async with gateway.smoke() as process:
        async with asyncio.timeout(120):
            await gateway.running.wait()
        assert len(gateway.there) == 3
        process.send_signal(sent)
        code, text = await ended(process)
    assert (code, gateway.there) == (130, set()), text
    assert "left behind" not in text


async def test_whom_it_cannot_see_off_it_names() -> None:
    gateway = Gateway(
        lambda _, what: said(503, detail="not now") if "DELETE" in what or "/me" in what else None
    )
    async with gateway.smoke() as process:
        code, text = await ended(process)
    assert code == 1
    assert f"left behind: {', '.join(sorted(gateway.there))}" in text
    assert "see each off by DELETE http" in text


async def test_whom_it_keeps_it_names_too() -> None:
    gateway = Gateway(failing("/me", 503))
    async with gateway.smoke("--keep") as process:
        code, text = await ended(process)
    assert (code, len(gateway.there)) == (1, 3)
    assert f"kept: {', '.join(sorted(gateway.there))}" in text


async def test_who_was_refused_is_not_seen_off() -> None:
    gateway = Gateway(failing("/onboard", 401))
    async with gateway.smoke() as process:
        code, text = await ended(process)
    assert (code, "left behind" in text) == (1, False)
    assert "0 of 0 offboarded" in text

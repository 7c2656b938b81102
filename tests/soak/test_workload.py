"""The soak's clients against a gateway that decides once under each key."""

import random
from collections.abc import AsyncIterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.clock import system_clock
from tests.soak import regular
from tests.soak.pace import moments
from tests.soak.regular import Regular
from tests.soak.workload import Tenant, Workload

FULL = {"code": "queue_full"}
QUOTA = {"code": "quota_exceeded"}
COMPLETED = {"status": "COMPLETED"}


class Deciding:
    """Decides in turn for each new key, says the same for ever under an old one."""

    def __init__(self, *decisions: tuple[int, dict[str, str]]) -> None:
        self._decisions = list(decisions)
        self._answers = count(1)
        self.decided: dict[str, tuple[int, dict[str, str]]] = {}
        self.shown: dict[str, dict[str, Any]] = {}
        """Runs that did not just complete."""

    async def submit(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        if key not in self.decided:
            self.decided[key] = self._decisions.pop(0)
        if next(self._answers) == 1:
            return web.Response(status=503)
        status, body = self.decided[key]
        return web.json_response(body, status=status)

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(self.shown.get(request.match_info["run"], COMPLETED))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


async def serve(deciding: Deciding) -> TestServer:
    app = web.Application()
    app.router.add_post("/api/v1/pipelines/run/{pipeline:.*}", deciding.submit)
    app.router.add_get("/api/v1/pipelines/runs/{run}", deciding.show)
    server = TestServer(app)
    await server.start_server()
    return server


def work_at(server: TestServer, session: aiohttp.ClientSession, *tenants: Tenant) -> Workload:
    url = str(server.make_url("")).rstrip("/")
    return Workload([url], [*tenants], 0, random.Random(1), session, pause=0)


@pytest.mark.parametrize(
    ("end", "accepted", "refused"),
    [((202, {"run_id": "r"}), ["r"], 0), ((429, QUOTA), [], 1)],
    ids=["until it is accepted", "until its quota is used up"],
)
async def test_a_run_that_found_a_full_queue_is_asked_for_under_another_key(
    session: aiohttp.ClientSession,
    end: tuple[int, dict[str, str]],
    accepted: list[str],
    refused: int,
) -> None:
    deciding = Deciding((429, FULL), (429, FULL), end)
    tenant = Tenant("acme", "key", daily=1, demand=1)
    server = await serve(deciding)
    async with server:
        await work_at(server, session, tenant).run()
    assert [*deciding.decided.values()] == [(429, FULL), (429, FULL), end]
    assert ([*tenant.accepted], tenant.refused) == (accepted, refused)


async def test_a_load_that_found_a_full_queue_is_asked_for_under_another_key(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    deciding = Deciding((429, FULL), (202, {"run_id": "r"}))
    server = await serve(deciding)
    one = Regular("regular_0", "key", tmp_path, system_clock)
    async with server:
        assert await regular._load_once(one, work_at(server, session), 1) == "COMPLETED"
    assert len(deciding.decided) == 2


@pytest.mark.parametrize(
    ("code", "ended", "refused"),
    [("queue_full", {"next": "COMPLETED"}, 0), ("quota_exceeded", {}, 1)],
)
async def test_a_refusal_that_is_known_only_after_the_202_is_heeded(
    session: aiohttp.ClientSession, code: str, ended: dict[str, str], refused: int
) -> None:
    deciding = Deciding((202, {"run_id": "late"}), (202, {"run_id": "next"}))
    deciding.shown["late"] = {"status": "REJECTED", "error": {"code": code}}
    tenant = Tenant("acme", "key", daily=1, demand=1)
    server = await serve(deciding)
    async with server:
        work = work_at(server, session, tenant)
        await work.run()
        assert await work.wait_for_ends(60) < 60
    assert (tenant.ended, tenant.refused) == (ended, refused)
    assert [*tenant.accepted] == [*ended]


def test_whatever_is_to_happen_does_so_within_the_time_there_is() -> None:
    for seed in range(100):
        found = [*moments(14, 1200.0, random.Random(seed))]
        pauses = [then - before for before, then in pairwise([0.0, *found, 1200.0])]
        assert min(pauses) > 0
        assert max(pauses) < 3 * min(pauses) * (1 + 1e-9)

"""How many runs a second of one core the gateway accepts, beside a bare aiohttp POST.

python -m tests.bench.bench_gateway [requests]

The bus is scripted at its boundary; all that stands in front of an endpoint is there,
limits and the audit trail too, and each request has its log line. Beside it are two bare
handlers of aiohttp: one that takes JSON and answers JSON, as an accepted run does, and one
that looks at neither. All servers live in this process, on uvloop and with the garbage
collector as services have them, and take turns; the load comes from a process of its own, so
that this one's processor time is the servers' alone. All answer a body of the same size.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import cast

import aiohttp
import uvloop
from aiohttp import web

from contracts.envelope import Envelope, Wire
from contracts.message import Message
from libs.bus.message import Emit
from libs.bus.publisher import Publisher
from libs.service import spare_what_stays
from libs.settings import GatewaySettings
from libs.telemetry import logs
from libs.web.problem import Handler
from libs.web.server import serve
from services.gateway.app import in_front
from services.gateway.cors import Cors
from services.gateway.limits import Limits
from services.gateway.trail import Trail
from tests.api.threads import ExampleRequester
from tests.bench.figures import Figure, Findings
from tests.gateway.edges import KEY, M, edge_on, once_for, serving

REQUESTS = 4_000
AT_ONCE = 32
ROUNDS = 9
BODY = {"date": "2026-03-14", "trigger_by": "bench"}
ANSWER = {
    "run_id": "8e2fb646-676d-4208-b2ae-aaa13620acb2",
    "pipeline_logging_id": "8e2fb646-676d-4208-b2ae-aaa13620acb2",
    "tenant_id": "acme_cloud",
    "pipeline_id": "ones",
    "status": "RUNNING",
    "retry_of": None,
}
BYTES = json.dumps(ANSWER).encode()
KEY_VARIABLE = "BENCH_API_KEY"


async def of_bytes(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=202, body=BYTES, content_type="application/json")


async def of_json(request: web.Request) -> web.Response:
    await request.json()
    return web.json_response(ANSWER, status=202)


async def bare(accept: Handler) -> tuple[str, Callable[[], Awaitable[None]]]:
    app = web.Application()
    app.router.add_post("/api/v1/pipelines/run/{config_id}", accept)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    return f"http://127.0.0.1:{port}", runner.cleanup


@asynccontextmanager
async def gateway() -> AsyncIterator[str]:
    """Limits count, and are too wide to be met."""
    settings = GatewaySettings(rate_limit_address=10**9, rate_limit_tenant=10**9)
    limits = Limits(settings)
    edge = edge_on(settings=settings, requester=Forgetful(), limits=limits)
    trail = Trail(Silent(), edge.auth.remembered)
    chain = in_front(Cors(()), limits, trail, once_for(edge.auth))
    async with serving(edge, chain) as url:
        yield url


class Forgetful(ExampleRequester):
    """Has one answer to each kind of question, and keeps nothing of what it was asked.

    What it took or kept would count as the gateway's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, Message | None] = {}

    async def ask(self, question: Message, *answers: type[M], id_: str = "", **_: object) -> M:
        kind = question.wire_type
        if kind not in self._answers:
            self._answers[kind] = await self.answer(question, answers, id_)
        return cast("M", self._answers[kind])


class Silent(Publisher):
    """Where the bus would begin."""

    def __init__(self) -> None: ...

    async def send(
        self, *emits: Emit, cause: Envelope | None = None, reply_to: str = "", seed: str = ""
    ) -> Sequence[Wire]:
        del emits, cause, reply_to, seed
        return ()


async def load(url: str, requests: int) -> list[float]:
    """How long each request took, in milliseconds."""
    took: list[float] = []
    left = iter(range(requests))
    path, headers = f"{url}/api/v1/pipelines/run/ones", {"X-API-Key": os.environ[KEY_VARIABLE]}

    async def one(session: aiohttp.ClientSession) -> None:
        for _ in left:
            started = time.perf_counter()
            async with session.post(path, json=BODY, headers=headers) as response:
                await response.read()
                assert response.status == 202, await response.text()
            took.append((time.perf_counter() - started) * 1000)

    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(one(session) for _ in range(AT_ONCE)))
    return took


async def under_load(url: str, requests: int) -> tuple[float, list[float]]:
    """Requests a second of this process's processor time, and how long each took."""
    loader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bench_gateway", "--load", url, str(requests)),
        env={**os.environ, KEY_VARIABLE: KEY.text},
        stdout=asyncio.subprocess.PIPE,
    )
    began = time.process_time()
    said, _ = await loader.communicate()
    return requests / (time.process_time() - began), json.loads(said)


async def measure(requests: int) -> None:
    servers = {accept: await bare(accept) for accept in (of_json, of_bytes)}
    async with gateway() as url:
        spare_what_stays()
        beside: dict[Handler, list[float]] = {accept: [] for accept in servers}
        ours: list[float] = []
        latencies: list[float] = []
        for _ in range(ROUNDS):
            for accept, (bare_url, _) in servers.items():
                beside[accept].append((await under_load(bare_url, requests))[0])
            rate, took = await under_load(url, requests)
            ours.append(rate)
            latencies += took
    for _, stop in servers.values():
        await stop()
    what = "accept a run, of one core"
    figures = [
        Figure(what, "/s", ours, "bare aiohttp POST of JSON", beside[of_json], 0.5),
        Figure(what, "/s", ours, "bare aiohttp POST of bytes", beside[of_bytes]),
        *(
            Figure(f"accept a run, {AT_ONCE} at once, {name}", "ms", [value], more_is_better=False)
            for name, value in percentiles(latencies).items()
        ),
    ]
    Findings("gateway", figures).keep()
    for figure in figures:
        print(figure)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100)
    return {"P50": cuts[49], "P95": cuts[94], "P99": cuts[98]}


def main() -> None:
    if sys.argv[1:2] == ["--load"]:
        took = asyncio.run(load(sys.argv[2], int(sys.argv[3])))
        sys.stdout.write(json.dumps(took))
        return
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        logs.configure("gateway", "INFO", nowhere)
        runner.run(measure(requests))


if __name__ == "__main__":
    main()

"""How many runs a second the gateway accepts, beside a bare aiohttp POST on the same core.

python -m tests.bench.bench_gateway [requests]

The bus is scripted at its boundary. Both servers have one process and one load
generator each, take turns in the same run, and answer a body of the same size.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import quantiles

import aiohttp
from aiohttp import web

from libs.settings import GatewaySettings
from libs.web.server import serve
from tests.api.threads import ExampleRequester
from tests.bench.figures import Figure, Findings
from tests.gateway.edges import KEY, edge_on, serving

REQUESTS = 2_000
AT_ONCE = 32
ROUNDS = 5
BODY = {"date": "2026-03-14", "trigger_by": "bench"}
ANSWER = b"x" * 250


async def bare() -> tuple[str, Callable[[], Awaitable[None]]]:
    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=202, body=ANSWER, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/v1/pipelines/run/{config_id}", accept)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    return f"http://127.0.0.1:{port}", runner.cleanup


async def load(url: str, requests: int) -> tuple[float, list[float]]:
    """Requests a second, and how long each took in milliseconds."""
    took: list[float] = []
    left = iter(range(requests))
    path, headers = f"{url}/api/v1/pipelines/run/ones", {"X-API-Key": KEY.text}

    async def one(session: aiohttp.ClientSession) -> None:
        for _ in left:
            started = time.perf_counter()
            async with session.post(path, json=BODY, headers=headers) as response:
                await response.read()
                assert response.status == 202, await response.text()
            took.append((time.perf_counter() - started) * 1000)

    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        started = time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(AT_ONCE)))
        return requests / (time.perf_counter() - started), took


async def main(requests: int) -> None:
    bare_url, stop = await bare()
    unlimited = GatewaySettings(rate_limit_address=0, rate_limit_tenant=0)
    async with serving(edge_on(settings=unlimited, requester=ExampleRequester())) as url:
        rates: dict[str, list[float]] = {"bare": [], "gateway": []}
        latencies: list[float] = []
        for _ in range(ROUNDS):
            rates["bare"].append((await load(bare_url, requests))[0])
            rate, took = await load(url, requests)
            rates["gateway"].append(rate)
            latencies += took
    await stop()
    figures = [
        Figure("accept a run", "/s", rates["gateway"], "bare aiohttp POST", rates["bare"], aim=0.5),
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


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS))

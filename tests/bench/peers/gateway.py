"""A run accepted by our gateway, and by FastAPI and Starlette, which publish nothing."""

import json
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

from libs.service import spare_what_stays
from tests.bench import bench_gateway
from tests.bench.bench_gateway import REQUESTS, WARM_UP, asked, in_loop, under_load
from tests.bench.figures import Figure, Findings
from tests.bench.peers.peer import answered, running, tool
from tests.gateway.edges import KEY
from tests.stack import free_port

ROUNDS = 5
OVER_FASTAPI = 2.0
AIMS = {"FastAPI on uvicorn": OVER_FASTAPI}
UVICORN = ("uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
GRANIAN = ("granian", "--loop", "uvloop", "--interface", "asgi", "--no-ws")
PEERS = {
    "FastAPI on uvicorn": (UVICORN, "by_fastapi"),
    "Starlette on uvicorn": (UVICORN, "by_starlette"),
    "Starlette on granian": (GRANIAN, "by_starlette"),
}


def measured(folder: Path) -> Findings:
    with ExitStack() as peers:
        urls = {}
        for name, ((server, *options), app) in PEERS.items():
            port = free_port()
            argv = [tool("fastapi", server), f"http_servers:{app}", "--port", str(port)]
            argv += [*options, "--log-level", "warning"]
            peers.enter_context(running(argv, {"API_KEY": KEY.text}, folder / f"{name}.log"))
            urls[name] = f"http://127.0.0.1:{port}"
            answered(f"{urls[name]}/cpu")
        return in_loop(_in_turns(urls))


async def _in_turns(urls: dict[str, str]) -> Findings:
    theirs: dict[str, list[float]] = {name: [] for name in urls}
    ours: list[float] = []
    async with bench_gateway.gateway() as url:
        spare_what_stays()
        for at in (url, *urls.values()):
            await asked(at, WARM_UP)
        for _ in range(ROUNDS):
            for name, other in urls.items():
                before = _cpu(other)
                await asked(other, REQUESTS)
                theirs[name].append(REQUESTS / (_cpu(other) - before))
            ours.append((await under_load(url, REQUESTS))[0])
    figures = [
        Figure("accept a run, of one core", "/s", ours, name, rates, AIMS.get(name))
        for name, rates in theirs.items()
    ]
    return Findings("gateway-beside-peers", figures)


def _cpu(url: str) -> float:
    with urlopen(f"{url}/cpu", timeout=10) as answer:  # noqa: S310  ours
        return float(json.load(answer))

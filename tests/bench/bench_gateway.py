"""How many runs a second of one core the gateway accepts, beside a bare aiohttp POST.

python -m tests.bench.bench_gateway [requests]

The bus is scripted at its boundary, but for one gateway that publishes to the local Pub/Sub; all
that stands in front of an endpoint is there, limits and the audit trail too, and each request has
its log line. Beside it are the servers of `tests.bench.bare`. All live in this process, on uvloop
and with the garbage collector as services have them, and take turns; the load comes from a process
of its own, so that this one's processor time is the servers' alone.

Once more with every request's span exported, once with one in a hundred, and once with requests
that arrive at a pace which all can keep: there it is how long an answer takes that counts, each
timed from when it was due.
"""

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast
from unittest.mock import patch

import aiohttp
import uvloop
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from contracts.envelope import Envelope, Wire
from contracts.message import Message, Service
from contracts.topology import Topology, topology
from libs.bus.admin import PubSubAdmin
from libs.bus.message import Emit, Outgoing
from libs.bus.publisher import Publisher
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.randomness import random_uuid
from libs.service import spare_what_stays
from libs.settings import GatewaySettings
from libs.telemetry import logs, otel
from libs.telemetry.exporting import Exporting
from libs.testing.processes import emulator
from services.gateway.app import in_front
from services.gateway.cors import Cors
from services.gateway.limits import Limits
from services.gateway.trail import Trail
from tests.api.threads import ExampleRequester
from tests.bench.bare import aiohttp_post, constant, of_bytes, of_json
from tests.bench.figures import Figure, Findings, percentiles
from tests.bench.profiling import profiled
from tests.gateway.edges import KEY, M, edge_on, once_for, serving

REQUESTS = 4_000
AT_ONCE = 32
ROUNDS = 9
WARM_UP = 500
"""Requests that do not count: connections are opened, and modules loaded."""
PACE, PACED_ROUNDS = 2_000, 5
"""Requests a second."""
SAMPLED = 0.01
SAMPLING = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": str(SAMPLED)}
OF_JSON, PUBLISHED, WITH_SPANS, SLOWER = 0.5, 0.6, 0.45, 1 / 2.5
PROJECT = "convergence-local"
BODY = {"date": "2026-03-14", "trigger_by": "bench"}
KEY_VARIABLE = "BENCH_API_KEY"
BARE = "bare aiohttp POST of JSON"
BESIDE = {
    BARE: lambda: aiohttp_post(of_json),
    "bare aiohttp POST of bytes": lambda: aiohttp_post(of_bytes),
    "a raw protocol's constant answer": constant,
}
T = TypeVar("T")


@asynccontextmanager
async def gateway(publisher: Publisher | None = None) -> AsyncIterator[str]:
    """Limits count, and are too wide to be met."""
    settings = GatewaySettings(rate_limit_address=10**9, rate_limit_tenant=10**9)
    limits, publisher = Limits(settings), publisher or Silent()
    edge = edge_on(settings=settings, requester=Forgetful(publisher), limits=limits)
    trail = Trail(publisher, edge.auth.remembered)
    chain = in_front(Cors(()), limits, trail, once_for(edge.auth))
    async with serving(edge, chain) as url:
        yield url


class Forgetful(ExampleRequester):
    """Has one answer to each kind of question, and keeps nothing of what it was asked.

    What it took or kept would count as the gateway's.
    """

    def __init__(self, publisher: Publisher) -> None:
        super().__init__()
        self._sending = publisher
        self._answers: dict[str, Message | None] = {}

    async def ask(self, question: Message, *answers: type[M], id_: str = "", **_: object) -> M:
        await self._sending.send(Outgoing(question, id_ or random_uuid()), reply_to="bench")
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


class Encoded(SpanExporter):
    """Does everything that an export does but for sending it."""

    spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


@asynccontextmanager
async def publishing() -> AsyncIterator[Publisher]:
    """To the local Pub/Sub, a process of its own, to which nobody listens."""
    with emulator("pubsub") as pubsub:
        host = f"127.0.0.1:{pubsub.ports['grpc']}"
        with patch.dict(os.environ, {"PUBSUB_EMULATOR_HOST": host}):
            PubSubAdmin(PROJECT).apply(Topology(topology().topics))
        transport = PubSubTransport(PubSubSettings(project_id=PROJECT, emulator_host=host))
        yield Publisher(Service.GATEWAY, transport)
        await transport.close()


async def load(url: str, requests: int, pace: float) -> list[float]:
    """How long each request took, in milliseconds: at a pace, or as fast as it goes for 0."""
    took: list[float] = []
    left = iter(range(requests))
    path, headers = f"{url}/api/v1/pipelines/run/ones", {"X-API-Key": os.environ[KEY_VARIABLE]}
    began = time.perf_counter()

    async def one(session: aiohttp.ClientSession, due: float) -> None:
        async with session.post(path, json=BODY, headers=headers) as response:
            await response.read()
            assert response.status == 202, await response.text()
        took.append((time.perf_counter() - due) * 1000)

    async def many(session: aiohttp.ClientSession) -> None:
        for number in left:
            due = began + number / pace if pace else time.perf_counter()
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            await one(session, due)

    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(many(session) for _ in range(AT_ONCE)))
    return took


async def asked(url: str, requests: int, pace: float = 0) -> list[float]:
    """How long each request took, of a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.bench_gateway", "--load", url]
    loader = await asyncio.to_thread(  # not uvloop's way: a fork, at which gRPC complains
        subprocess.run,
        [*argv, str(requests), str(pace)],
        env={**os.environ, KEY_VARIABLE: KEY.text},
        stdout=subprocess.PIPE,
        check=False,
    )
    if loader.returncode:
        raise SystemExit("the load did not get the answers that it wanted")
    return list(map(float, json.loads(loader.stdout)))


async def under_load(url: str, requests: int) -> tuple[float, list[float]]:
    """Requests a second of this process's processor time, and how long each took."""
    began = time.process_time()
    took = await asked(url, requests)
    return requests / (time.process_time() - began), took


async def with_spans(url: str, requests: int, share: float = 1.0) -> float:
    """The same, until the last span is exported: of all requests, or of those that are sampled."""
    exported = Encoded()
    with patch.dict(os.environ, SAMPLING if share == SAMPLED else {}):
        otel.start(Exporting("gateway", exported, InMemoryMetricReader()))
    began = time.process_time()
    await asked(url, requests)
    await asyncio.to_thread(otel.shutdown)
    spread = math.sqrt(requests * share * (1 - share))
    if abs(exported.spans - requests * share) > 5 * spread:
        raise SystemExit(f"{exported.spans} spans of {requests} requests were exported")
    return requests / (time.process_time() - began)


async def measure(requests: int) -> None:
    async with (
        AsyncExitStack() as bare,
        publishing() as publisher,
        gateway(publisher) as loud,
        gateway() as url,
    ):
        others = {name: await bare.enter_async_context(server()) for name, server in BESIDE.items()}
        spare_what_stays()
        figures = await at_full_speed(url, loud, others, requests)
        figures += await at_a_pace((url, loud, others[BARE]), requests)
        with profiled("accepting a run") as profiles:
            await asked(loud, requests)
    Findings("gateway", figures, profiles=profiles).keep()
    for figure in figures:
        print(figure)


async def at_full_speed(url: str, loud: str, others: dict[str, str], requests: int) -> list[Figure]:
    beside: dict[str, list[float]] = {name: [] for name in others}
    ours, published, with_all, with_some, latencies = (list[float]() for _ in range(5))
    for at in (url, loud, *others.values()):
        await asked(at, WARM_UP)
    for _ in range(ROUNDS):
        for name, other in others.items():
            beside[name].append((await under_load(other, requests))[0])
        rate, took = await under_load(url, requests)
        ours.append(rate)
        latencies += took
        published.append((await under_load(loud, requests))[0])
        with_all.append(await with_spans(url, requests))
        with_some.append(await with_spans(url, requests, SAMPLED))
    what, of_bare = "accept a run, of one core", beside.pop(BARE)
    told = f"{what}, its command and audit event published"
    return [
        Figure(what, "/s", ours, BARE, of_bare, OF_JSON),
        *(Figure(what, "/s", ours, name, rates) for name, rates in beside.items()),
        Figure(told, "/s", published, BARE, of_bare, PUBLISHED),
        Figure(f"{what}, every span exported", "/s", with_all, BARE, of_bare, WITH_SPANS),
        Figure(f"{what}, {SAMPLED * 100:g} % of spans sampled", "/s", with_some, BARE, of_bare),
        *(
            Figure(f"accept a run, {AT_ONCE} at once, {name}", "ms", [value], more_is_better=False)
            for name, value in percentiles(latencies).items()
        ),
    ]


async def at_a_pace(servers: tuple[str, str, str], requests: int) -> list[Figure]:
    sides: tuple[list[float], ...] = ([], [], [])
    for _ in range(PACED_ROUNDS):
        for side, at in zip(sides, servers, strict=True):
            took = await asked(at, WARM_UP + requests, PACE)
            side.append(percentiles(took[WARM_UP:])["P99"])
    what = f"accept a run, {PACE:,} a second, P99"
    ours, published, others = sides
    return [
        Figure(what, "ms", ours, "bare aiohttp", others, SLOWER, more_is_better=False),
        Figure(f"{what}, published", "ms", published, "bare aiohttp", others, more_is_better=False),
    ]


def in_loop(work: Coroutine[None, None, T]) -> T:
    """As services run: on uvloop, with a log."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        logs.configure("gateway", "INFO", nowhere)
        return runner.run(work)


def main() -> None:
    if sys.argv[1:2] == ["--load"]:
        took = asyncio.run(load(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
        sys.stdout.write(json.dumps(took))
        return
    in_loop(measure(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS))


if __name__ == "__main__":
    main()

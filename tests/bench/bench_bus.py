"""Our bus beside Google's clients and beside bare stubs, on the same emulator in the same run.

    python -m tests.bench.bench_bus [--messages 20000] [--rounds 3]

CPU is this process's own, all its threads, until the last acknowledgement has gone;
the emulator's share is left out. Ours runs on uvloop, as the services do, and so does
what it can hardly go below: the generated client and the bare stub, which are no aim.
"A command through the whole bus" is all of it over such a subscription: envelope,
model, middleware, handler.
"""

import argparse
import asyncio
import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import uvloop
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from contracts.envelope import Envelope, Wire, seal
from contracts.identifiers import RunId, TenantId
from contracts.message import Service
from contracts.runs import CancelRunV1
from contracts.topology import SubscriptionSpec
from libs.bus.message import Context, Received
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.bus.transport import FlowControl, Verdict
from libs.testing.processes import emulator
from tests.bench import floors
from tests.bench.figures import Figure, Findings
from tests.bench.profiling import profiled

PROJECT = "bench"
Found = dict[str, tuple[float, float]]
Rounds = list[Found]
BODY = b"x" * 1024
HOP_MS = 5.0
AIMS = {"publish": 4.0, "consume": 5.0}
OURS, HIGH_LEVEL = "ours", "Google's high-level client"
FLOORS = {
    f"the generated client, batches of {floors.BATCH}": floors.generated,
    f"a bare stub, batches of {floors.BATCH}": floors.bare,
}
ALONE, ALONE_OF = "a bare stub, one message a call", 10
"""One message of so many is published by a call of its own: calls take long."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_bus")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    found: dict[str, Rounds] = defaultdict(list)
    handled = []
    with emulator("pubsub") as running:
        os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{running.ports['grpc']}"
        for _ in range(chosen.rounds):
            found[HIGH_LEVEL].append(high_level(chosen.messages))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found[OURS].append(runner.run(our_bus(chosen.messages)))
                handled.append(runner.run(whole_bus(chosen.messages))[1])
                for name, client in FLOORS.items():
                    found[name].append(runner.run(floor(client, chosen.messages)))
                found[ALONE].append(runner.run(one_a_call(chosen.messages // ALONE_OF)))
        with (
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            profiled("a command through the whole bus") as profiles,
        ):
            runner.run(whole_bus(chosen.messages))
    figures = [
        one
        for name in AIMS
        for what, unit, index in (("messages a second", "/s", 0), ("client CPU", "µs", 1))
        for one in beside_each(f"{name}: {what}", unit, found, (name, index))
    ]
    hop = figure("one hop, publish to handler, P50", "ms", found, HIGH_LEVEL, ("hop", 0))
    figures += [hop, Figure("… by itself", "ms", hop.rounds, aim=HOP_MS, more_is_better=False)]
    figures.append(Figure("a command through the whole bus", "µs", handled, more_is_better=False))
    Findings("bus", figures, profiles=profiles).keep()
    for one in figures:
        print(one)


def beside_each(
    name: str, unit: str, found: Mapping[str, Rounds], at: tuple[str, int]
) -> Iterator[Figure]:
    yield figure(name, unit, found, HIGH_LEVEL, at)
    for other in (*FLOORS, ALONE):
        if at[0] in found[other][0]:
            yield figure(f"… beside {other}", unit, found, other, at)


def figure(
    name: str, unit: str, found: Mapping[str, Rounds], other: str, at: tuple[str, int]
) -> Figure:
    ours, theirs = ([one[at[0]][at[1]] for one in found[whose]] for whose in (OURS, other))
    aim = AIMS.get(at[0]) if (unit, other) == ("/s", HIGH_LEVEL) else None
    return Figure(name, unit, ours, other, theirs, aim=aim, more_is_better=unit == "/s")


def topic_with_subscription() -> tuple[str, str]:
    name = f"t{uuid4().hex[:8]}"
    topic = f"projects/{PROJECT}/topics/{name}"
    PublisherClient().create_topic(name=topic)
    with SubscriberClient() as subscriber:
        subscriber.create_subscription(name=topic.replace("topics", "subscriptions"), topic=topic)
    return name, topic


class Meter:
    """Messages per second and CPU microseconds per message."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """The last message has come."""
        self._wall = time.perf_counter() - self._wall

    def read(self) -> tuple[float, float]:
        """Everything is done and settled."""
        cpu = time.process_time() - self._cpu
        return self._count / self._wall, cpu / self._count * 1e6


def high_level(count: int) -> Found:
    name, topic = topic_with_subscription()
    publisher, subscriber = PublisherClient(), SubscriberClient()
    meter = Meter(count)
    for future in [publisher.publish(topic, BODY) for _ in range(count)]:
        future.result()
    meter.stop()
    published = meter.read()
    seen, done = [0], threading.Event()

    def take(message: Any) -> None:
        message.ack()
        seen[0] += 1
        if seen[0] == count:
            done.set()

    meter = Meter(count)
    path = subscriber.subscription_path(PROJECT, name)
    pulling = subscriber.subscribe(path, callback=take)
    done.wait(120)
    meter.stop()
    pulling.cancel()
    pulling.result()
    consumed = meter.read()
    pulling = subscriber.subscribe(path, callback=take)
    hops = []
    for _ in range(100):
        before, started = seen[0], time.perf_counter()
        publisher.publish(topic, b"x").result()
        wait_until(partial(more_than, seen, before))
        hops.append((time.perf_counter() - started) * 1000)
    pulling.cancel()
    pulling.result()
    return {"publish": published, "consume": consumed, "hop": (statistics.median(hops), 0)}


def more_than(seen: list[int], before: int) -> bool:
    return seen[0] > before


def wait_until(check: Callable[[], bool]) -> None:
    while not check():
        time.sleep(0.0002)


async def our_bus(count: int) -> Found:
    name, _ = topic_with_subscription()
    where = os.environ["PUBSUB_EMULATOR_HOST"]
    transport = PubSubTransport(PubSubSettings(project_id=PROJECT, emulator_host=where))
    meter = Meter(count)
    await transport.publish(name, [Wire({}, BODY)] * count)
    meter.stop()
    published = meter.read()
    seen, done, news = [0], asyncio.Event(), asyncio.Event()

    async def take(_: Received) -> Verdict:
        seen[0] += 1
        news.set()
        if seen[0] == count:
            done.set()
        return Verdict.ACK

    meter = Meter(count)
    spec = SubscriptionSpec(name, name)
    pulling = transport.subscribe(spec.name, take, FlowControl())
    await done.wait()
    meter.stop()
    await pulling.drain(1)
    consumed = meter.read()
    pulling = transport.subscribe(spec.name, take, FlowControl())
    hops = []
    for _ in range(100):
        news.clear()
        started = time.perf_counter()
        await transport.publish(name, [Wire({}, b"x")])
        await news.wait()
        hops.append((time.perf_counter() - started) * 1000)
    await pulling.drain(1)
    await transport.close()
    return {"publish": published, "consume": consumed, "hop": (statistics.median(hops), 0)}


async def whole_bus(count: int) -> tuple[float, float]:
    """Commands to a handler that does nothing, through everything a service puts around it."""
    name, _ = topic_with_subscription()
    settings = PubSubSettings(project_id=PROJECT, emulator_host=os.environ["PUBSUB_EMULATOR_HOST"])
    sender = PubSubTransport(settings)
    await sender.publish(name, [command(number) for number in range(count)])
    await sender.close()
    seen, done, router = [0], asyncio.Event(), Router()

    async def take(_: CancelRunV1, __: Context) -> None:
        seen[0] += 1
        if seen[0] == count:
            done.set()

    router.on(CancelRunV1)(take)
    options = BusOptions("bench", [SubscriptionSpec(name, name)])
    bus = Bus(Service.SCHEDULER, router, PubSubTransport(settings), options)
    meter = Meter(count)
    await bus.start()
    await done.wait()
    meter.stop()
    await bus.drain(1)
    return meter.read()


async def floor(client: Callable[[], floors.Opened], count: int) -> Found:
    name, topic = topic_with_subscription()
    async with client() as opened:
        meter = Meter(count)
        await floors.publish(opened, topic, [BODY] * count)
        meter.stop()
        published = meter.read()
        meter = Meter(count)
        path = f"projects/{PROJECT}/subscriptions/{name}"
        await floors.consume(opened, path, count, meter.stop)
        return {"publish": published, "consume": meter.read()}


async def one_a_call(count: int) -> Found:
    _, topic = topic_with_subscription()
    async with floors.bare() as opened:
        meter = Meter(count)
        await floors.publish(opened, topic, [BODY] * count, batch=1)
        meter.stop()
        return {"publish": meter.read()}


def command(number: int) -> Wire:
    tenant = TenantId(f"tenant_{number % 100}")
    message = CancelRunV1(tenant_id=tenant, run_id=RunId(str(uuid4())), requested_by="bench")
    envelope = Envelope(
        id=str(uuid4()),
        type=message.wire_type,
        kind=message.kind,
        source="gateway",
        time=datetime.now(UTC),
        tenant_id=tenant,
    )
    return seal(envelope, message)


if __name__ == "__main__":
    main()

"""How every service process lives: settings, logs, bus, health page, orderly end."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from contracts.message import Message, Service
from contracts.platform import CheckServiceV1, ServiceStatusV1
from contracts.topology import SubscriptionSpec, durable_subscriptions
from libs.bus.message import Context
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.bus.sink import BatchBounds
from libs.bus.transport import Transport
from libs.settings import VERSION, ServiceSettings
from libs.telemetry import logs, otel
from libs.web.app import About, Layer, create_app
from libs.web.server import run, serve

LOG = logging.getLogger(__name__)
CHECK_SECONDS = 3.0

Check = Callable[[], Awaitable[None]]
"""Raises, saying what is missing, unless a dependency can be used."""
Closer = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Parts:
    """What a service's composition root has built."""

    router: Router
    checks: Sequence[Check] = ()
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    """Run while the service does; one that fails ends the service."""
    when_stopping: Sequence[Closer] = ()
    """While calls are still being answered: what ends those that would go on."""
    before_drain: Sequence[Closer] = ()
    """When no call is left, and the bus still sends and receives."""
    closers: Sequence[Closer] = ()
    routes: Sequence[web.RouteDef] = ()
    layers: Sequence[Layer] = ()


@dataclass(slots=True)
class Process:
    """What a composition root may use before its parts exist."""

    service: Service
    settings: ServiceSettings
    router: Router = field(default_factory=Router)
    subscriptions: Sequence[SubscriptionSpec] | None = None
    batches: BatchBounds = field(default_factory=BatchBounds)
    transport: Transport | None = None
    _bus: Bus | None = None

    @property
    def bus(self) -> Bus:
        """Made at first use, when the router has its sink."""
        if self._bus is None:
            subscriptions = self.subscriptions
            if subscriptions is None:
                subscriptions = durable_subscriptions(self.service)
            options = BusOptions(
                instance=self.settings.instance,
                subscriptions=subscriptions,
                max_failures=self.settings.max_failures,
                batches=self.batches,
            )
            transport = self.transport or connect(self.settings)
            self._bus = Bus(self.service, self.router, transport, options)
        return self._bus


def connect(settings: ServiceSettings) -> Transport:
    return PubSubTransport(
        PubSubSettings(
            project_id=settings.gcp_project_id, emulator_host=settings.pubsub_emulator_host
        )
    )


class Readiness:
    """What a service waits for, asked at most once in a while."""

    def __init__(self, process: Process, checks: Sequence[Check]) -> None:
        self._process = process
        self._checks = checks

    async def waiting_for(self) -> list[str]:
        missing = list(self._process.bus.waiting_for)
        answers = await asyncio.gather(*(self._ask(check) for check in self._checks))
        return missing + [answer for answer in answers if answer]

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except TimeoutError:
            return f"{check.__qualname__} to answer within {CHECK_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001  whatever is wrong is what it waits for
            return str(error) or type(error).__name__
        return ""


def answer_checks(process: Process, readiness: Readiness) -> None:
    """Tell a gateway that asks whether this service could do its part right now."""

    async def on_check(check: CheckServiceV1, _: Context) -> Sequence[Message]:
        bus = process.bus
        waiting = list(bus.waiting_for) if check.brief else await readiness.waiting_for()
        return [
            ServiceStatusV1(
                service=process.service,
                instance=process.settings.instance,
                ready=not waiting,
                waiting_for=tuple(waiting),
                version=VERSION,
            )
        ]

    process.router.on(CheckServiceV1)(on_check)


Build = Callable[[Process], Coroutine[Any, Any, Parts]]


def run_service(process: Process, build: Build) -> None:
    """Run until SIGTERM or SIGINT, then drain within the grace period."""
    settings, service = process.settings, process.service
    logs.configure(service.value, settings.log_level.value)
    otel.configure(service.value, settings.otel_exporter_otlp_endpoint)
    run(lambda stop: _live(process, build, stop))
    otel.shutdown()


def spare_what_stays() -> None:
    """What is loaded by now stays: looking through it again stalls the loop for nothing.

    What comes later is mostly state without cycles, so it is looked through more seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


async def _live(process: Process, build: Build, stop: asyncio.Event) -> None:
    settings = process.settings
    parts = await _built(process, build, stop)
    if parts is None:
        return
    readiness = Readiness(process, parts.checks)
    if process.service is not Service.GATEWAY:
        answer_checks(process, readiness)
    about = About(process.service.value, VERSION, settings.environment.value)
    app = create_app(about, readiness.waiting_for, parts.routes, parts.layers)
    async with AsyncExitStack() as stack:
        for closer in parts.closers:
            stack.push_async_callback(closer)
        grace = settings.shutdown_grace_seconds
        runner, _ = await serve(app, host=settings.host, port=settings.port, grace=grace / 2)
        spare_what_stays()
        await process.bus.start()
        stack.push_async_callback(runner.cleanup)
        await _until(stop, parts)
        LOG.info("stopping: finishing what has begun")
        ends_at = asyncio.get_running_loop().time() + grace
        for closer in parts.when_stopping:
            await closer()
        await runner.cleanup()  # answers what was asked, which takes the bus
        for closer in parts.before_drain:
            await closer()
        left = ends_at - asyncio.get_running_loop().time()
        await process.bus.drain(max(left, 0.0))


async def _built(process: Process, build: Build, stop: asyncio.Event) -> Parts | None:
    """Wait for the parts, which may wait for the world; None when told to stop before."""
    building, stopped = asyncio.create_task(build(process)), asyncio.create_task(stop.wait())
    await asyncio.wait({building, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not building.done():
        building.cancel()
        await asyncio.gather(building, return_exceptions=True)
        return None
    return building.result()


async def _until(stop: asyncio.Event, parts: Parts) -> None:
    stopped = asyncio.create_task(stop.wait())
    tasks = [asyncio.create_task(work()) for work in parts.background]
    done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopped, *tasks):
        task.cancel()
    await asyncio.gather(stopped, *tasks, return_exceptions=True)
    for task in done - {stopped}:
        task.result()

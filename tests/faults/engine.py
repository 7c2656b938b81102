"""The scheduler and any number of executors as real processes, with the test as the rest.

Leaner than the whole platform: it is for killing executors often. The test publishes
what the gateway and the tenant service would, and ticks.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from uuid import uuid4

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Message, Service
from contracts.pipelines import ConfigSavedV1, SaveConfigV1
from contracts.runs import (
    AttemptStartedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRequestedV1,
    SubmitRunV1,
)
from contracts.steps import StepCompletedV1, StepStartedV1
from contracts.tenants import LimitsPart, TenantOnboardedV1
from contracts.ticks import TickJob, TickV1
from contracts.topology import instance_subscriptions, topology
from libs.bus.admin import PubSubAdmin
from libs.bus.message import Context
from libs.bus.publisher import Publisher
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import EmulatorProcess, emulator
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.faults.forked import start

PROJECT = "convergence-local"
HEARD = (
    ConfigSavedV1,
    RunRequestedV1,
    RunQueuedV1,
    RunFinishedV1,
    AttemptStartedV1,
    StepStartedV1,
    StepCompletedV1,
)
MANY = LimitsPart(daily=100_000, monthly=100_000, concurrent=10_000)


@dataclass(slots=True)
class Engine:
    """Processes under test, and what was heard of them."""

    environment: Mapping[str, str]
    logs: Path
    warehouse: Warehouse
    bus: Bus
    tenants: Publisher
    scheduler: Publisher
    """What it says comes beside what the scheduler under test says."""
    emulators: dict[str, EmulatorProcess] = field(default_factory=dict)
    processes: dict[str, ForkServerProcess] = field(default_factory=dict)
    heard: list[Message] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    counts: Counter[type[Message]] = field(default_factory=Counter)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def start(self, name: str, module: str) -> None:
        self.processes[name] = start(module, self.environment, self.logs / f"{name}.log")

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int | None:
        """End a process as a crash would, or ask it to end; returns its exit code."""
        process = self.processes[name]
        if process.is_alive() and process.pid:
            os.kill(process.pid, how)
        process.join(60)
        return process.exitcode

    def ask_for_faults(self, plans: Mapping[str, Mapping[str, float]]) -> None:
        for name, emulated in self.emulators.items():
            emulated.ask_for(**plans.get(name, {}))

    async def on_event(self, message: Message, context: Context) -> None:
        """Each fact once, however often it is published."""
        async with self.news:
            if context.envelope.id in self.ids:
                return
            self.ids.add(context.envelope.id)
            self.heard.append(message)
            self.counts[type(message)] += 1
            self.news.notify_all()

    async def onboard(self, tenant: str) -> TenantId:
        name = TenantId(tenant)
        await self.warehouse.ensure(Dataset(tenant, "", {}))
        await self.tenants.send(
            TenantOnboardedV1(
                tenant_id=name,
                company_name=tenant,
                admin_email="a@b.c",
                plan="SCALE",
                limits=MANY,
                datasets=(tenant,),
                created_at=datetime.now(UTC),
                requested_by="test",
            )
        )
        return name

    async def save(self, tenant: TenantId, config: str, source: str) -> None:
        command = SaveConfigV1(
            tenant_id=tenant, config_id=ConfigId(config), source=source, requested_by="test"
        )
        await self.bus.requester.ask(command, ConfigSavedV1, within=60)

    async def submit(self, tenant: TenantId, config: str, **parameters: int) -> RunId:
        run_id = RunId(str(uuid4()))
        command = SubmitRunV1(
            tenant_id=tenant,
            run_id=run_id,
            config_id=ConfigId(config),
            run_date=date(2026, 1, 31),
            parameters=dict(parameters),
        )
        await self.bus.publisher.send(command)
        return run_id

    async def wait_for(self, count: int, kind: type[Message], within: float) -> list[Message]:
        """Wait until so many different runs have said such a thing."""
        async with asyncio.timeout(within), self.news:
            await self.news.wait_for(lambda: len(self.runs_of(kind)) >= count)
        return [message for message in self.heard if isinstance(message, kind)]

    def runs_of(self, kind: type[Message]) -> set[str]:
        return {str(m.run_id) for m in self.heard if isinstance(m, kind)}  # type: ignore[attr-defined]

    async def tick(self, every: float) -> None:
        while True:
            await self.bus.publisher.send(TickV1(job=TickJob.TRIGGER))
            await asyncio.sleep(every)


@asynccontextmanager
async def engine(directory: Path, *, executors: int, **settings: str) -> AsyncIterator[Engine]:
    """Emulators, a scheduler, executors `executor-0` …, and a clock."""
    with ExitStack() as stack:
        pubsub, storage, bigquery = (
            stack.enter_context(emulator(name, state_dir=directory / name, control=True))
            for name in ("pubsub", "storage", "bigquery")
        )
        rest, pubsub_host = bigquery.ports["rest"], f"127.0.0.1:{pubsub.ports['grpc']}"
        environment = {
            "PUBSUB_EMULATOR_HOST": pubsub_host,
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{storage.ports['http']}",
            "BIGQUERY_ENDPOINT": f"http://127.0.0.1:{rest}",
            "BIGQUERY_STORAGE_ENDPOINT": f"127.0.0.1:{bigquery.ports['grpc']}",
            "KMS_ENDPOINT": "127.0.0.1:9",
            "PORT": "0",
            **settings,
        }
        await _prepare(environment)
        found = _engine(directory, environment)
        found.emulators |= {"pubsub": pubsub, "storage": storage, "bigquery": bigquery}
        await found.bus.start()
        try:
            found.start("scheduler", "services.scheduler")
            for number in range(executors):
                found.start(f"executor-{number}", "services.executor")
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(found.tick(0.5))
                yield found
                ticking.cancel()
        finally:
            for name in found.processes:
                found.kill(name)
            await found.bus.drain(1)
            await found.warehouse.close()


async def _prepare(environment: Mapping[str, str]) -> None:
    before = os.environ.get("PUBSUB_EMULATOR_HOST")
    os.environ["PUBSUB_EMULATOR_HOST"] = environment["PUBSUB_EMULATOR_HOST"]
    try:
        await asyncio.to_thread(lambda: PubSubAdmin(PROJECT).apply(topology()))
    finally:
        os.environ.pop("PUBSUB_EMULATOR_HOST")
        if before is not None:
            os.environ["PUBSUB_EMULATOR_HOST"] = before
    bucket = Bucket(
        BucketSettings(
            PROJECT, f"{PROJECT}-convergence-ledger", environment["STORAGE_EMULATOR_HOST"]
        )
    )
    await bucket.ensure()
    await bucket.close()


def _engine(directory: Path, environment: Mapping[str, str]) -> Engine:
    transport = PubSubTransport(
        PubSubSettings(project_id=PROJECT, emulator_host=environment["PUBSUB_EMULATOR_HOST"])
    )
    router = Router()
    instance = f"i{uuid4().hex[:8]}"
    options = BusOptions(instance=instance, subscriptions=instance_subscriptions(instance))
    found = Engine(
        environment=environment,
        logs=directory,
        warehouse=Warehouse.connect(
            WarehouseSettings(PROJECT, endpoint=environment["BIGQUERY_ENDPOINT"])
        ),
        bus=Bus(Service.GATEWAY, router, transport, options),
        tenants=Publisher(Service.TENANT, transport),
        scheduler=Publisher(Service.SCHEDULER, transport),
    )
    router.on(*HEARD)(found.on_event)
    return found

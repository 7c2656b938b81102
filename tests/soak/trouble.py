"""What goes wrong while the tenants work."""

import asyncio
import itertools
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp

from contracts.catalogue import topic_of
from contracts.envelope import Wire
from contracts.message import Service
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.testing.processes import full_disk
from tests.soak.pace import paced
from tests.stack import Stack

STOPPED_SECONDS = 7.0
"""Longer than the leases of the stack under test."""
FULL_SECONDS = 2.0
KEPT_BY = ("pubsub", "storage")
"""Emulators whose disk can be full. BigQuery's database gives up at its first failed write."""
EMULATORS = ("pubsub", "storage", "bigquery", "kms", "secret_manager")
FAULTS = {
    "pubsub": {"duplicate": 0.05, "drop": 0.002, "error_rate": 0.01, "delay_seconds": 0.005},
    "storage": {"error_rate": 0.03, "delay_seconds": 0.005},
    "bigquery": {"error_rate": 0.03, "lose_answers": 0.01},
}
TO_SCHEDULER = {"ce-source": "gateway", "ce-kind": "command", "ce-to": "scheduler"}
POISON = (
    {**TO_SCHEDULER, "ce-type": "run.submit.v1"},
    {**TO_SCHEDULER, "ce-type": "run.submit.v9"},
    {"ce-source": "scheduler", "ce-kind": "event", "ce-type": "run.requested.v9"},
)
"""The last as a newer scheduler would say it: gateways hear it too, and pass over it."""
GIVES_UP = {"scheduler"}
"""Who must bury each poison message, or whose audit_log subscription must have."""


@dataclass(slots=True)
class Trouble:
    """Kills, pauses, faults and poison, at random but repeatable for a seed."""

    stack: Stack
    chance: random.Random
    project: str
    session: aiohttp.ClientSession
    done: Counter[str] = field(default_factory=Counter)
    poisoned: list[str] = field(default_factory=list)

    async def run(self, seconds: float, kills: int, poison: int) -> None:
        """Return when the last fault is over and everything may recover."""
        services = itertools.cycle(self._services())
        events = ["kill"] * kills + ["stop"] * max(1, kills // 20)
        events += ["emulator"] * max(1, kills // 10) + ["poison"] * poison
        events += ["full"] * max(1, kills // 40)
        self.chance.shuffle(events)
        async with asyncio.TaskGroup() as group:
            async for event in paced(events, seconds, self.chance):
                await self._set_faults(FAULTS)
                match event:
                    case "kill":
                        self._kill(next(services))
                    case "stop":
                        group.create_task(self._stop(self.chance.choice(self._services())))
                    case "emulator":
                        await self._kill_emulator()
                    case "full":
                        group.create_task(self._fill_disk(self.chance.choice(KEPT_BY)))
                    case "poison":
                        await self._poison()
        await self._set_faults({name: {} for name in FAULTS})

    def _services(self) -> list[str]:
        return [name for name in self.stack.pids() if name != "ticks"]

    def _kill(self, name: str) -> None:
        self.stack.kill(name)
        self.done["services killed"] += 1

    async def _stop(self, name: str) -> None:
        """Pause a process past its leases, as a machine that swaps would."""
        pid = self.stack.pids()[name]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(STOPPED_SECONDS)
            os.kill(pid, signal.SIGCONT)
            self.done["services paused past their leases"] += 1

    async def _kill_emulator(self) -> None:
        name = self.chance.choice(EMULATORS)
        with suppress(ProcessLookupError):
            os.kill(self.stack.emulators()[name], signal.SIGKILL)
            self.done["emulators killed"] += 1

    async def _fill_disk(self, emulator: str) -> None:
        pid = self.stack.emulators()[emulator]
        with suppress(ProcessLookupError):
            with full_disk(pid):
                await asyncio.sleep(FULL_SECONDS)
            self.done["disks full"] += 1

    async def _set_faults(self, plans: dict[str, dict[str, float]]) -> None:
        for name, plan in plans.items():
            port = self.stack.ports()[name]["control"]
            with suppress(aiohttp.ClientError, TimeoutError):
                url = f"http://127.0.0.1:{port}/faults"
                async with self.session.put(url, json=plan) as answer:
                    answer.raise_for_status()

    async def _poison(self) -> None:
        id_ = f"poison-{uuid4()}"
        attributes = {"ce-id": id_, **self.chance.choice(POISON)}
        topic = topic_of(Service(attributes["ce-source"]))
        host = f"127.0.0.1:{self.stack.ports()['pubsub']['grpc']}"
        transport = PubSubTransport(PubSubSettings(project_id=self.project, emulator_host=host))
        await transport.publish(topic, [Wire(attributes, b'{"no": "sense"')])
        await transport.close()
        self.poisoned.append(id_)
        self.done["poison messages"] += 1

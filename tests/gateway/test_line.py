"""A gateway that hears nothing trusts nothing that it remembers of keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.message import Service
from contracts.platform import CheckServiceV1, ServiceStatusV1
from contracts.topology import durable_subscriptions, instance_subscriptions, topology
from libs.bus.memory import MemoryTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from services.gateway import line
from services.gateway.line import Line
from tests.gateway.door import visiting

PROMISED_SECONDS = 2.0


class Network(MemoryTransport):
    """Delivers nothing while it is down, and says nothing of it."""

    def __init__(self) -> None:
        super().__init__(topology())
        self.down = False

    async def publish(self, topic: str, wires: Any) -> None:
        if self.down:
            await asyncio.Event().wait()
        await super().publish(topic, wires)


@dataclass
class Watched:
    network: Network = field(default_factory=Network)
    cuts: int = 0
    checks: list[CheckServiceV1] = field(default_factory=list)

    def cut_off(self) -> None:
        self.cuts += 1


@asynccontextmanager
async def watching() -> AsyncIterator[Watched]:
    """A gateway's line to one other service."""
    found, router = Watched(), Router()

    @router.on(CheckServiceV1)
    async def on_check(check: CheckServiceV1, _: object) -> list[ServiceStatusV1]:
        found.checks.append(check)
        service = Service.SCHEDULER
        return [ServiceStatusV1(service=service, instance="one", ready=True, version="1")]

    other = Bus(
        Service.SCHEDULER,
        router,
        found.network,
        BusOptions("one", durable_subscriptions(Service.SCHEDULER)),
    )
    gateway = Bus(
        Service.GATEWAY,
        Router(),
        found.network,
        BusOptions("gateway-one", instance_subscriptions("gateway-one")),
    )
    for bus in (other, gateway):
        await bus.start()
    watch = asyncio.create_task(Line(gateway, found.cut_off).watch())
    try:
        yield found
    finally:
        watch.cancel()
        for bus in (gateway, other):
            await bus.drain(0)


async def until(check: object, within: float = PROMISED_SECONDS) -> None:
    assert callable(check)
    async with asyncio.timeout(within):
        while not check():  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.005)


async def test_silence_is_noticed_sooner_than_a_revocation_is_to_count() -> None:
    assert line.SILENT_SECONDS + line.PATIENCE_SECONDS < PROMISED_SECONDS
    async with watching() as found:
        await until(lambda: len(found.checks) > 1)
        assert found.cuts == 0
        found.network.down = True
        await until(lambda: found.cuts)
        found.network.down = False
        asked = len(found.checks)
        await until(lambda: len(found.checks) > asked + 1)
        cuts = found.cuts
        await until(lambda: len(found.checks) > asked + 3)
        assert found.cuts == cuts


async def test_a_sign_of_life_costs_nobody_a_look_at_what_it_depends_on() -> None:
    async with watching() as found:
        await until(lambda: found.checks)
        assert all(check.brief for check in found.checks)


async def test_a_pull_that_breaks_off_is_a_cut() -> None:
    async with watching() as found:
        await until(lambda: found.checks)
        for name, on_break in found.network.on_break.items():
            before = found.cuts
            on_break()
            assert found.cuts == before + ("gateway-one" in name)


@pytest.mark.parametrize("how", ["hears nothing", "hears late"])
async def test_a_revocation_counts_although_its_event_is_not_heard(how: str) -> None:
    async with visiting() as visitor:
        tenants = visitor.door.tenants
        key = tenants.issue("acme")
        assert (await visitor.call(key)).status == 200
        assert (await visitor.call(key)).status == 200
        assert tenants.asked == 1
        tenants.revoke(key)
        tenants.silent = how == "hears nothing"
        visitor.door.auth.forget_all()
        expected = (
            (503, "authentication_unavailable") if tenants.silent else (401, "invalid_api_key")
        )
        assert await visitor.code(key) == expected


async def test_an_answer_from_before_the_cut_is_not_kept() -> None:
    async with visiting() as visitor:
        tenants = visitor.door.tenants
        key = tenants.issue("acme")
        tenants.gate.clear()
        asking = asyncio.create_task(visitor.call(key))
        await tenants.begun.wait()
        tenants.revoke(key)
        visitor.door.auth.forget_all()
        tenants.gate.set()
        assert (await asking).status == 401

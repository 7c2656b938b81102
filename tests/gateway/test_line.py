"""A gateway that hears nothing trusts nothing that it remembers of keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from contracts.message import Service
from contracts.platform import CheckServiceV1, ServiceStatusV1
from contracts.topology import durable_subscriptions, instance_subscriptions, topology
from libs.bus.memory import MemoryTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.bus.transport import Break
from services.gateway import auth, line
from services.gateway.keys import ApiKey
from services.gateway.line import Line
from tests.gateway.door import START, Visitor, visiting

PROMISED_SECONDS = 2.0
UNANSWERED = (503, "authentication_unavailable")


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
    doubts: int = 0
    outlasts: int = 0
    checks: list[CheckServiceV1] = field(default_factory=list)

    def cut_off(self) -> None:
        self.cuts += 1

    def doubt(self) -> None:
        self.doubts += 1

    def outlast(self) -> None:
        self.outlasts += 1


def answering(service: Service, found: Watched) -> Bus:
    """Another service, which gives signs of life."""
    router = Router()

    @router.on(CheckServiceV1)
    async def on_check(check: CheckServiceV1, _: object) -> list[ServiceStatusV1]:
        found.checks.append(check)
        return [ServiceStatusV1(service=service, instance="one", ready=True, version="1")]

    options = BusOptions("one", durable_subscriptions(service))
    return Bus(service, router, found.network, options)


@asynccontextmanager
async def watching(*services: Service) -> AsyncIterator[Watched]:
    """A gateway's line to others."""
    found = Watched()
    others = [answering(service, found) for service in services]
    gateway = Bus(
        Service.GATEWAY,
        Router(),
        found.network,
        BusOptions("gateway-one", instance_subscriptions("gateway-one")),
    )
    for bus in (*others, gateway):
        await bus.start()
    watch = asyncio.create_task(Line(gateway, found.cut_off, found.doubt, found.outlast).watch())
    try:
        yield found
    finally:
        watch.cancel()
        for bus in (gateway, *others):
            await bus.drain(0)


async def until(check: object) -> None:
    assert callable(check)
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.005)


async def test_silence_is_noticed_sooner_than_a_revocation_is_to_count() -> None:
    assert line.SILENT_SECONDS + line.PATIENCE_SECONDS < PROMISED_SECONDS
    async with watching(Service.TENANT) as found:
        await until(lambda: len(found.checks) > 1)
        assert (found.cuts, found.doubts) == (0, 0)
        found.network.down = True
        await until(lambda: found.cuts)
        found.network.down = False
        asked = len(found.checks)
        await until(lambda: len(found.checks) > asked + 1)
        cuts = found.cuts
        await until(lambda: len(found.checks) > asked + 3)
        assert found.cuts == cuts


async def test_a_sign_of_life_costs_nobody_a_look_at_what_it_depends_on() -> None:
    async with watching(Service.TENANT) as found:
        await until(lambda: found.checks)
        assert all(check.brief for check in found.checks)


@pytest.mark.parametrize("others", [(Service.SCHEDULER,), ()], ids=["scheduler", "nobody"])
async def test_who_hears_others_or_itself_is_not_cut_off(others: tuple[Service, ...]) -> None:
    """The tenant service may be down: then nobody can revoke, and nothing is forgotten."""
    async with watching(*others) as found:
        await until(lambda: found.outlasts > 1)
        assert (found.cuts, found.doubts) == (0, 0)
        found.network.down = True
        await until(lambda: found.cuts)


async def test_only_the_pull_that_tells_of_keys_counts_when_it_breaks_off() -> None:
    async with watching(Service.TENANT) as found:
        await until(lambda: found.checks)
        for name, on_break in found.network.on_break.items():
            before = found.cuts, found.doubts
            tells = name == "convergence-gateway-gateway-one-from-tenant-v1"
            on_break(Break.ENDED)
            assert (found.cuts, found.doubts) == (before[0], before[1] + tells)
            on_break(Break.LASTING)
            assert (found.cuts, found.doubts) == (before[0] + tells, before[1] + tells)
        assert found.cuts == 1


@asynccontextmanager
async def remembering() -> AsyncIterator[tuple[Visitor, ApiKey]]:
    """A door that has let a key in."""
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme")
        assert (await visitor.call(key)).status == 200
        yield visitor, key


async def test_a_doubted_key_still_opens_and_is_asked_for_again() -> None:
    async with remembering() as (visitor, key):
        tenants, door = visitor.door.tenants, visitor.door
        tenants.silent = True
        door.auth.doubt_all()
        assert (await visitor.call(key)).status == 200
        assert (await visitor.call(key)).status == 200
        tenants.silent = False
        tenants.revoke(key)
        assert (await visitor.call(key)).status == 200
        await until(lambda: not door.auth.asking)
        asked = tenants.asked
        assert (await visitor.call(key)).status == 401
        assert tenants.asked == asked


async def test_keys_go_on_while_the_tenant_service_is_down_for_long() -> None:
    async with remembering() as (visitor, key):
        tenants, door = visitor.door.tenants, visitor.door
        tenants.silent = True
        for _ in range(10):
            door.wait(minutes=1, seconds=1)
            door.auth.outlast_all()
            assert (await visitor.call(key)).status == 200
        assert await visitor.code(tenants.issue("acme")) == UNANSWERED
        tenants.silent = False
        tenants.revoke(key)
        assert (await visitor.call(key)).status == 200
        await until(lambda: not door.auth.asking)
        assert (await visitor.call(key)).status == 401


async def test_keys_do_not_go_on_for_ever() -> None:
    async with remembering() as (visitor, key):
        tenants, door = visitor.door.tenants, visitor.door
        tenants.silent = True
        door.wait(minutes=62)
        door.auth.outlast_all()
        assert await visitor.code(key) == UNANSWERED


@pytest.mark.parametrize("how", ["a pull broke off", "an answer was late"])
async def test_a_key_outlasts_only_while_the_tenant_service_is_down(how: str) -> None:
    """What nobody answers for another reason is not trusted."""
    async with remembering() as (visitor, key):
        tenants, door = visitor.door.tenants, visitor.door
        door.auth.outlast_all()
        tenants.silent = True
        door.wait(minutes=1, seconds=1)
        if how == "a pull broke off":
            door.auth.doubt_all()
        assert await visitor.code(key) == UNANSWERED


async def test_a_key_that_expires_meanwhile_opens_nothing() -> None:
    async with visiting() as visitor:
        tenants, door = visitor.door.tenants, visitor.door
        key = tenants.issue("acme", expires_at=START + timedelta(minutes=1))
        assert (await visitor.call(key)).status == 200
        tenants.silent = True
        door.wait(minutes=1, seconds=1)
        door.auth.outlast_all()
        assert (await visitor.call(key)).status == 401


async def test_doubted_keys_leave_room_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MOST_ASKING_AGAIN", 1)
    async with visiting() as visitor:
        tenants = visitor.door.tenants
        doubted = [tenants.issue("acme") for _ in range(3)]
        for key in doubted:
            assert (await visitor.call(key)).status == 200
        visitor.door.auth.doubt_all()
        tenants.gate.clear()
        for key in doubted:
            assert (await visitor.call(key)).status == 200
        assert tenants.asked == len(doubted) + 1
        tenants.gate.set()
        assert (await visitor.call(tenants.issue("acme"))).status == 200


async def test_who_goes_on_waits_for_room_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes anew is told to come again; a stream would end for good."""
    monkeypatch.setattr(auth, "MOST_ASKING", 1)
    async with visiting() as visitor:
        tenants = visitor.door.tenants
        first, streaming, new = (tenants.issue("acme") for _ in range(3))
        tenants.gate.clear()
        asking = asyncio.create_task(visitor.call(first))
        await tenants.begun.wait()
        request = make_mocked_request("GET", "/", headers={"X-API-Key": streaming.text})
        still = asyncio.create_task(visitor.door.auth.still(request))
        await until(lambda: len(visitor.door.auth.asking) > 1)
        assert await visitor.code(new) == UNANSWERED
        assert tenants.asked == 1
        tenants.gate.set()
        assert (await asking).status == 200
        await still
        assert tenants.asked == 2


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
        expected = UNANSWERED if tenants.silent else (401, "invalid_api_key")
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

"""What an instance hears for itself has no dead letters: what it cannot use is passed over."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from contracts.catalogue import topic_of
from contracts.envelope import Wire
from contracts.identifiers import RunId, TenantId
from contracts.message import Service
from contracts.runs import RunCancelRequestedV1
from contracts.topology import DAY_SECONDS, SubscriptionSpec
from libs.bus.errors import PermanentError
from libs.bus.message import Context
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from tests.libs.bus.brokers import Broker
from tests.libs.bus.listening import until

NUMBERS = itertools.count(1)
TENANT = TenantId("acme")
TOPIC = topic_of(Service.SCHEDULER)
GOOD = {
    "ce-type": RunCancelRequestedV1.wire_type,
    "ce-kind": "event",
    "ce-source": "scheduler",
}
Handle = Callable[[RunCancelRequestedV1, Context], Awaitable[None]]


@asynccontextmanager
async def hearing(broker: Broker, handle: Handle) -> AsyncIterator[Bus]:
    """A gateway instance that hears the scheduler, as it does for itself."""
    await broker.topic(TOPIC)
    spec = SubscriptionSpec(
        f"own-{next(NUMBERS)}",
        TOPIC,
        retention_seconds=600,
        expires_after_seconds=DAY_SECONDS,
        min_backoff_seconds=0,
        max_backoff_seconds=1,
    )
    await broker.transport.ensure_subscription(spec)
    router = Router()
    router.on(RunCancelRequestedV1)(handle)
    options = BusOptions("gateway-1", [spec], max_failures=3)
    bus = Bus(Service.GATEWAY, router, broker.another(), options)
    await bus.start()
    yield bus
    await asyncio.wait_for(bus.drain(1), 60)


def event(by: str) -> RunCancelRequestedV1:
    run_id = RunId("00000000-0000-4000-8000-000000000001")
    return RunCancelRequestedV1(tenant_id=TENANT, run_id=run_id, attempt=1, requested_by=by)


def as_wire(data: bytes, **changes: str) -> Wire:
    return Wire({**GOOD, "ce-tenantid": "acme", **changes}, data, "acme")


@pytest.mark.parametrize(
    "unusable",
    [
        as_wire(b"{}", **{"ce-type": "run.invented.v9"}),
        as_wire(b"{"),
        as_wire(event("x").encode(), **{"ce-tenantid": "other"}),
    ],
    ids=["of a newer service", "no JSON", "of another tenant"],
)
async def test_what_cannot_be_read_blocks_nothing_behind_it(broker: Broker, unusable: Wire) -> None:
    heard: list[str] = []

    async def handle(message: RunCancelRequestedV1, _: Context) -> None:
        heard.append(message.requested_by)

    async with hearing(broker, handle) as bus:
        sent = [unusable, as_wire(event("after").encode())]
        await broker.transport.publish(TOPIC, sent)
        await until(lambda: heard == ["after"])
        assert bus.waiting_for == ()


@pytest.mark.parametrize(
    ("error", "tries"), [(PermanentError("never"), 1), (KeyError("a mistake"), 3)], ids=str
)
async def test_what_cannot_be_handled_is_left_after_its_tries(
    broker: Broker, error: Exception, tries: int
) -> None:
    heard: list[str] = []

    async def handle(message: RunCancelRequestedV1, _: Context) -> None:
        heard.append(message.requested_by)
        if message.requested_by == "bad":
            raise error

    async with hearing(broker, handle):
        sent = [as_wire(event(by).encode()) for by in ("bad", "after")]
        await broker.transport.publish(TOPIC, sent)
        await until(lambda: "after" in heard)
        assert heard == ["bad"] * tries + ["after"]

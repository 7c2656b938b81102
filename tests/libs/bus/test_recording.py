"""What is to be recorded is acknowledged when it is, and not before."""

import asyncio
from collections.abc import Sequence

from contracts.catalogue import topic_of
from contracts.envelope import Envelope, Wire, seal
from contracts.identifiers import TenantId
from contracts.message import Kind, Service
from contracts.tenants import TenantResumedV1
from contracts.topology import SubscriptionSpec
from libs.bus.memory import MemoryTransport
from libs.bus.router import Delivery, Router
from libs.bus.service import Bus, BusOptions
from libs.clock import system_clock
from tests.libs.bus.listening import until

HEARD = SubscriptionSpec("heard", topic_of(Service.TENANT))


def said(number: int) -> Wire:
    message = TenantResumedV1(tenant_id=TenantId("acme"), requested_by="ann")
    source, now = Service.TENANT.value, system_clock()
    envelope = Envelope(
        f"m-{number}", message.wire_type, Kind.EVENT, source, now, message.tenant_id
    )
    return seal(envelope, message)


class Recording:
    """Batches that were asked to be recorded; what becomes of them is said by a test."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_end = asyncio.Event()
        self.fails = 0

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.asked.append([one.envelope.id for one in deliveries])
        if self.fails:
            self.fails -= 1
            raise OSError
        await self.may_end.wait()


async def started(transport: MemoryTransport, recording: Recording) -> Bus:
    router = Router()
    router.record_all(recording)
    bus = Bus(Service.AUDIT_LOG, router, transport, BusOptions("audit-log-1", [HEARD]))
    await bus.start()
    return bus


async def test_what_was_being_recorded_when_it_stopped_comes_to_the_next() -> None:
    transport, first, second = MemoryTransport(), Recording(), Recording()
    transport.add(HEARD)
    bus = await started(transport, first)
    await transport.publish(HEARD.topic, [said(1), said(2)])
    await until(lambda: first.asked)
    await bus.drain(0)
    second.may_end.set()
    bus = await started(transport, second)
    await until(lambda: {name for batch in second.asked for name in batch} == {"m-1", "m-2"})
    await bus.drain(1)


async def test_what_could_not_be_recorded_comes_again_and_what_was_does_not() -> None:
    transport, recording = MemoryTransport(), Recording()
    transport.add(HEARD)
    recording.fails = 1
    recording.may_end.set()
    bus = await started(transport, recording)
    await transport.publish(HEARD.topic, [said(1)])
    await until(lambda: recording.asked == [["m-1"], ["m-1"]])
    await bus.drain(1)
    later = Recording()
    bus = await started(transport, later)
    await transport.publish(HEARD.topic, [said(2)])
    await until(lambda: later.asked)
    assert later.asked == [["m-2"]]
    later.may_end.set()
    await bus.drain(1)

"""A subscription without order hands over messages of one key side by side."""

import asyncio

from contracts.envelope import Wire
from libs.bus.message import Received
from libs.bus.transport import FlowControl, Verdict
from libs.testing.processes import emulator
from tests.libs.bus.brokers import PubSubBroker

MANY = 20


async def test_messages_of_one_key_are_handled_at_once_where_order_does_not_matter() -> None:
    with emulator("pubsub") as running:
        broker = PubSubBroker(running.ports["grpc"])
        spec = await broker.subscription()
        begun, all_there = 0, asyncio.Event()

        async def waits_for_all(_: Received) -> Verdict:
            nonlocal begun
            begun += 1
            if begun == MANY:
                all_there.set()
            await all_there.wait()
            return Verdict.ACK

        sent = [Wire({}, str(number).encode(), "same-key") for number in range(MANY)]
        await broker.transport.publish(spec.topic, sent)
        pulling = broker.transport.subscribe(spec.name, waits_for_all, FlowControl(in_order=False))
        async with asyncio.timeout(60):
            await all_there.wait()
        await pulling.drain(1)
        await broker.transport.close()

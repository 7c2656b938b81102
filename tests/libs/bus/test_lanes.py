"""A receiver that raises costs nobody a lane: its message is given back, and the rest goes on."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from contracts.envelope import Wire
from contracts.message import Service
from contracts.topology import SubscriptionSpec
from libs.bus.errors import PermanentError, PublishRefusedError
from libs.bus.lanes import Lanes
from libs.bus.memory import MemoryTransport
from libs.bus.message import Received
from libs.bus.middleware.dead_letter import DeadLetters
from libs.bus.publisher import Publisher
from libs.bus.router import Delivery
from libs.bus.transport import FlowControl, Receiver, Verdict
from tests.libs.bus.listening import Listener, until, wire

NOW = datetime(2026, 3, 14, tzinfo=UTC)
MOST_BYTES = 3000


def received(text: str, key: str) -> Received:
    return Received("sub", text, NOW, {}, text.encode(), key)


class Broker:
    """Keeps what it is told of each message."""

    def __init__(self, receiver: Receiver) -> None:
        self.settled: list[tuple[str, Verdict]] = []
        self.lanes = Lanes(receiver, self._settle)

    async def _settle(self, message: Received, verdict: Verdict) -> None:
        await asyncio.sleep(0)
        self.settled.append((message.message_id, verdict))


async def broken(message: Received) -> Verdict:
    if message.data.startswith(b"bad"):
        raise PublishRefusedError("sub-dead", "too large")
    return Verdict.ACK


@pytest.mark.parametrize("key", ["key", ""], ids=["ordered", "unordered"])
async def test_what_its_receiver_raises_on_is_given_back(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(broken)
    broker.lanes.put(received("bad", key))
    await until(lambda: broker.settled)
    assert broker.settled == [("bad", Verdict.NACK)]
    assert "a receiver of sub failed: PublishRefusedError" in caplog.text
    broker.lanes.put(received("good", key))
    await until(lambda: len(broker.settled) == 2)
    assert broker.settled[1] == ("good", Verdict.ACK)
    await broker.lanes.drain(1)


async def test_what_waits_behind_it_is_given_back_and_its_lane_goes_on() -> None:
    broker = Broker(broken)
    for text in ("bad", "behind", "last"):
        broker.lanes.put(received(text, "key"))
    await until(lambda: len(broker.settled) == 3)
    assert broker.settled == [(text, Verdict.NACK) for text in ("bad", "behind", "last")]
    for text in ("behind", "last"):
        broker.lanes.put(received(text, "key"))
    await until(lambda: len(broker.settled) == 5)
    assert broker.settled[3:] == [("behind", Verdict.ACK), ("last", Verdict.ACK)]
    await broker.lanes.drain(1)


class Narrow(MemoryTransport):
    """Refuses a message whose attributes and body are too large together."""

    async def publish(self, topic: str, wires: Sequence[Wire]) -> None:
        large = tuple(one for one in wires if _size(one) > MOST_BYTES)
        await super().publish(topic, [one for one in wires if one not in large])
        if large:
            raise PublishRefusedError(topic, "too large", large)


def _size(one: Wire) -> int:
    return len(one.data) + sum(len(name) + len(value) for name, value in one.attributes.items())


async def test_a_letter_that_its_reason_makes_too_large_blocks_nothing() -> None:
    transport = Narrow()
    spec = SubscriptionSpec("sub", "topic", dead_letter_topic="sub-dead")
    letters = SubscriptionSpec("letters", "sub-dead")
    for one in (spec, letters):
        await transport.ensure_subscription(one)
    heard: list[bytes] = []

    async def then(_: Delivery) -> None:
        raise PermanentError("unreachable: nothing here can be read")

    dead = DeadLetters(
        transport, Publisher(Service.SCHEDULER, transport), then, spec, max_failures=3
    )

    async def receive(message: Received) -> Verdict:
        heard.append(message.data[:6])
        return await dead(message)

    kept = Listener()
    running = transport.subscribe("sub", receive, FlowControl())
    keeping = transport.subscribe("letters", kept, FlowControl())
    large = "large " + "x" * (MOST_BYTES - 50)
    await transport.publish("topic", [wire(large, "key"), wire("behind", "key")])
    await until(lambda: len(kept.got) == 2)
    assert heard == [b"large ", b"behind"]
    assert len(large) > len(kept.texts[0])
    assert kept.got[0].attributes["dead-body-bytes"] == str(len(large))
    assert kept.texts[1] == "behind"
    assert "dead-body-bytes" not in kept.got[1].attributes
    await asyncio.gather(running.drain(1), keeping.drain(1))

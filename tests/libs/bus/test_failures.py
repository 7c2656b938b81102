"""A message is a dead letter for what it does to handlers, not for what befalls consumers."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.catalogue import topic_of
from contracts.envelope import Wire
from contracts.identifiers import RunId, TenantId
from contracts.message import Service
from contracts.runs import CancelRunV1
from contracts.topology import (
    MAX_DELIVERY_ATTEMPTS,
    SubscriptionSpec,
    dead_letters_of,
)
from libs.bus.errors import BusyError, NotYetError
from libs.bus.memory import MemoryTransport
from libs.bus.message import Context, Received
from libs.bus.middleware import dead_letter
from libs.bus.middleware import retry as middleware
from libs.bus.middleware.dead_letter import DeadLetters, read
from libs.bus.middleware.retry import HELD_TRIES, TRIES, retry
from libs.bus.publisher import Publisher
from libs.bus.router import Delivery, Router
from libs.bus.service import Bus, BusOptions
from libs.bus.transport import FlowControl, Verdict
from libs.outages import OutageError
from libs.slotlog.bucket import StorageUnavailableError
from libs.testing.processes import EmulatorProcess
from libs.vault.vault import KmsUnavailableError
from libs.warehouse.errors import UnavailableError
from tests.libs.bus.brokers import PubSubBroker
from tests.libs.bus.listening import Listener, until

MOST = 3
SPEC = SubscriptionSpec("sub", "topic", dead_letter_topic="sub-dead")
COMMAND = CancelRunV1(
    tenant_id=TenantId("acme"),
    run_id=RunId("00000000-0000-4000-8000-000000000001"),
    requested_by="test",
)
GOOD = {
    "ce-type": CancelRunV1.wire_type,
    "ce-kind": "command",
    "ce-source": "gateway",
    "ce-to": "scheduler",
    "ce-tenantid": "acme",
}
NOW = datetime(2026, 3, 14, tzinfo=UTC)
MESSAGE = Received("sub", "7", NOW, GOOD, COMMAND.encode(), "acme")
OUTAGES = [
    StorageUnavailableError("ledger", "no answer"),
    UnavailableError("a query", "no answer"),
    KmsUnavailableError("no answer"),
]


class Failing:
    """A handler that raises what it is told to, until there is nothing left."""

    def __init__(self, errors: Iterator[Exception]) -> None:
        self._errors = errors
        self.transport = MemoryTransport()
        publisher = Publisher(Service.SCHEDULER, self.transport)
        self.receive = DeadLetters(self.transport, publisher, self, SPEC, max_failures=MOST)

    async def __call__(self, _: Delivery) -> None:
        for error in self._errors:
            raise error

    @property
    def letters(self) -> list[Wire]:
        return [wire for topic, wire in self.transport.published if topic == "sub-dead"]


@pytest.mark.parametrize("error", [KeyError("a mistake"), NotYetError("it")], ids=str)
async def test_what_fails_here_too_often_is_a_dead_letter(error: Exception) -> None:
    failing = Failing(itertools.repeat(error))
    said = [await failing.receive(MESSAGE) for _ in range(MOST)]
    assert said == [Verdict.NACK, Verdict.NACK, Verdict.ACK]
    assert type(error).__name__ in failing.letters[0].attributes["dead-reason"]


async def test_deliveries_that_others_were_killed_in_are_no_failures() -> None:
    failing = Failing(iter([KeyError("a mistake")]))
    often = replace(MESSAGE, attempt=MOST * 10)
    assert [await failing.receive(often) for _ in range(2)] == [Verdict.NACK, Verdict.ACK]
    assert failing.letters == []


@pytest.mark.parametrize("error", [*OUTAGES, BusyError("enough to do")], ids=repr)
async def test_an_outage_makes_no_dead_letters(error: Exception) -> None:
    failing = Failing(itertools.chain([error] * MOST * 10, iter([])))
    said = [await failing.receive(MESSAGE) for _ in range(MOST * 10 + 1)]
    assert said == [Verdict.NACK] * MOST * 10 + [Verdict.ACK]
    assert failing.letters == []


async def test_what_fails_when_the_broker_is_about_to_give_it_up_keeps_its_reason() -> None:
    failing = Failing(iter([OUTAGES[0]]))
    nearly = replace(MESSAGE, attempt=MAX_DELIVERY_ATTEMPTS - 5)
    assert await failing.receive(nearly) is Verdict.ACK
    (letter,) = failing.letters
    assert letter.attributes["dead-reason"].startswith("StorageUnavailableError")


async def test_failures_are_remembered_of_so_many_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_letter, "REMEMBERED", 2)
    failing = Failing(itertools.repeat(KeyError("a mistake")))
    for number in (1, 1, 2, 3, 1):
        await failing.receive(replace(MESSAGE, message_id=str(number)))
    assert failing.letters == []


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (OUTAGES[0], HELD_TRIES),
        (BusyError("enough to do"), TRIES),
        (NotYetError("it"), TRIES),
        (KeyError("x"), 1),
    ],
    ids=repr,
)
async def test_a_message_is_held_through_an_outage_for_a_while(
    error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "LONGEST_WAIT", 0.0)
    tried: list[Delivery] = []

    async def fail(delivery: Delivery) -> None:
        tried.append(delivery)
        raise error

    with pytest.raises(type(error)):
        await retry(fail)(read(MESSAGE))
    assert len(tried) == tries


@pytest.mark.parametrize("times", [MOST * 4])
async def test_a_consumer_that_ends_more_often_than_messages_may_fail_loses_none(
    pubsub: EmulatorProcess, times: int
) -> None:
    broker = PubSubBroker(pubsub.ports["grpc"])
    name, topic = "ended-again-and-again", topic_of(Service.GATEWAY)
    dead = dead_letters_of(name)
    for one in (topic, dead):
        await broker.topic(one)
    commands = SubscriptionSpec(
        name, topic, dead_letter_topic=dead, max_backoff_seconds=0, min_backoff_seconds=0
    )
    letters = SubscriptionSpec(f"{dead}-read", dead)
    for spec in (commands, letters):
        await broker.transport.ensure_subscription(spec)
    kept = Listener()
    broker.transport.subscribe(letters.name, kept, FlowControl())
    await broker.transport.publish(topic, [Wire(GOOD, COMMAND.encode(), "acme")])
    for _ in range(times):
        await ended_in_the_middle(broker, name)
    handled: list[int] = []

    async def handle(_: CancelRunV1, context: Context) -> None:
        handled.append(context.attempt)
        if len(handled) == 1:
            raise KeyError

    router = Router()
    router.on(CancelRunV1)(handle)
    options = BusOptions("one", [commands], max_failures=MOST)
    bus = Bus(Service.SCHEDULER, router, broker.another(), options)
    await bus.start()
    await until(lambda: len(handled) == 2)
    await bus.drain(5)
    # A stream that has just ended may still be given the message, which then counts for nobody.
    first, second = handled
    assert times < first < second
    assert kept.got == []
    await broker.transport.close()


async def ended_in_the_middle(broker: PubSubBroker, subscription: str) -> None:
    """A consumer that takes the message and is told to stop before it is handled."""
    begun = asyncio.Event()

    async def receive(_: Received) -> Verdict:
        begun.set()
        await asyncio.Event().wait()
        return Verdict.ACK

    transport = broker.another()
    running = transport.subscribe(subscription, receive, FlowControl())
    await begun.wait()
    await running.drain(0)
    await transport.close()


def test_an_outage_is_what_it_is_called() -> None:
    assert all(isinstance(error, OutageError) for error in OUTAGES)

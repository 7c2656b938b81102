"""The same promises on Pub/Sub and in memory: order, redelivery, dead letters, answers."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.audit import DeadLetterPart, MessageAbandonedV1
from contracts.catalogue import topic_of
from contracts.envelope import Wire
from contracts.examples import example_part
from contracts.identifiers import RunId, TenantId
from contracts.message import Message, Service
from contracts.platform import CommandRefusedV1
from contracts.quota import GetQuotaV1, QuotaV1
from contracts.runs import CancelRunV1, RunCancelRequestedV1
from contracts.topology import SubscriptionSpec, dead_letters_of
from libs.bus.errors import NoAnswerError, PermanentError, RefusedError, RetryableError
from libs.bus.message import Context, Outgoing, Received
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.bus.transport import FlowControl, Transport, Verdict
from libs.patience import if_waited_for
from libs.testing.processes import EmulatorProcess
from tests.libs.bus.brokers import Broker, MemoryBroker
from tests.libs.bus.listening import Listener, until, wire

NUMBERS = itertools.count(1)


async def test_messages_of_a_key_come_in_order(broker: Broker) -> None:
    spec = await broker.subscription()
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    sent = [wire(f"{key}{number}", key) for number in range(50) for key in "abc"]
    await broker.transport.publish(spec.topic, sent)
    await until(lambda: len(listener.got) == 150)
    for key in "abc":
        mine = [text for text in listener.texts if text.startswith(key)]
        assert mine == [f"{key}{number}" for number in range(50)]
    await running.drain(1)


async def test_a_rejected_message_comes_again_before_those_behind_it(broker: Broker) -> None:
    spec = await broker.subscription()
    refused = iter([True])
    listener = Listener(
        lambda r: Verdict.NACK if r.data == b"2" and next(refused, False) else Verdict.ACK
    )
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await broker.transport.publish(spec.topic, [wire(str(n), "key") for n in range(1, 5)])
    await until(lambda: listener.texts[-1:] == ["4"])
    assert listener.texts == ["1", "2", "2", "3", "4"]
    await running.drain(1)


async def test_only_what_a_subscription_selects_reaches_it(broker: Broker) -> None:
    spec = await broker.subscription(("colour", "red"))
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    wires = [Wire({"colour": c}, c.encode()) for c in ("blue", "red", "green")]
    await broker.transport.publish(spec.topic, [*wires, Wire({"colour": "red"}, b"last")])
    await until(lambda: len(listener.got) == 2)
    assert sorted(listener.texts) == ["last", "red"]
    await running.drain(1)


async def test_draining_finishes_what_has_begun_and_leaves_the_rest(broker: Broker) -> None:
    spec = await broker.subscription()
    begun, go = asyncio.Event(), asyncio.Event()
    done: list[bytes] = []

    async def slow(received: Received) -> Verdict:
        begun.set()
        await go.wait()
        done.append(received.data)
        return Verdict.ACK

    running = broker.transport.subscribe(spec.name, slow, FlowControl())
    await broker.transport.publish(spec.topic, [wire(str(n), "key") for n in range(3)])
    await begun.wait()
    draining = asyncio.create_task(running.drain(5))
    await asyncio.sleep(0)
    go.set()
    await draining
    assert done == [b"0"]
    listener = Listener()
    again = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: listener.texts == ["1", "2"])
    await again.drain(1)


TENANT = TenantId("acme")
QUESTION = GetQuotaV1(tenant_id=TENANT)
QUOTA = example_part(QuotaV1).model_copy(update={"tenant_id": TENANT})
Handle = Callable[[Any, Context], Awaitable[Sequence[Message] | None]]


def cancel() -> CancelRunV1:
    run_id = RunId(f"00000000-0000-4000-8000-{next(NUMBERS):012d}")
    return CancelRunV1(tenant_id=TENANT, run_id=run_id, requested_by="test")


def asked(command: CancelRunV1) -> RunCancelRequestedV1:
    return RunCancelRequestedV1(
        tenant_id=TENANT, run_id=command.run_id, attempt=1, requested_by="test"
    )


@dataclass(slots=True)
class Pair:
    """A scheduler with one handler, and a gateway that asks it."""

    gateway: Bus
    scheduler: Bus
    dead: Listener
    told: list[DeadLetterPart]

    async def drain(self) -> None:
        await asyncio.gather(self.gateway.drain(1), self.scheduler.drain(1))


async def pair(broker: Broker, handle: Handle, *handled: type[Message]) -> Pair:
    await broker.topic(topic_of(Service.GATEWAY))
    await broker.topic(topic_of(Service.SCHEDULER))
    name = f"commands-{next(NUMBERS)}"
    await broker.topic(dead_letters_of(name))
    commands = SubscriptionSpec(
        name,
        topic_of(Service.GATEWAY),
        dead_letter_topic=dead_letters_of(name),
        retention_seconds=600,
    )
    heard = SubscriptionSpec(f"{name}-heard", topic_of(Service.SCHEDULER), retention_seconds=600)
    letters = SubscriptionSpec(f"{name}-letters", dead_letters_of(name), retention_seconds=600)
    for spec in (commands, heard, letters):
        await broker.transport.ensure_subscription(spec)
    dead = Listener()
    broker.transport.subscribe(letters.name, dead, FlowControl())
    router = Router()
    router.on(*(handled or (CancelRunV1,)))(handle)
    scheduler = Bus(
        Service.SCHEDULER,
        router,
        broker.another(),
        BusOptions("scheduler-1", [commands], max_failures=3),
    )
    told: list[DeadLetterPart] = []
    listening = Router()

    async def on_given_up(event: MessageAbandonedV1, _: Context) -> None:
        told.append(event.letter)

    listening.on(MessageAbandonedV1)(on_given_up)
    gateway = Bus(Service.GATEWAY, listening, broker.another(), BusOptions("gateway-1", [heard]))
    await asyncio.gather(gateway.start(), scheduler.start())
    return Pair(gateway, scheduler, dead, told)


async def test_a_command_is_answered_by_the_event_it_led_to(broker: Broker) -> None:
    async def handle(command: CancelRunV1, _: Context) -> Sequence[Message]:
        return [asked(command)]

    both = await pair(broker, handle)
    command = cancel()
    answer = await both.gateway.requester.ask(command, RunCancelRequestedV1, within=60)
    assert answer == asked(command)
    await both.drain()


async def test_a_refusal_reaches_whoever_asked(broker: Broker) -> None:
    async def handle(_: CancelRunV1, __: Context) -> Sequence[Message]:
        return [CommandRefusedV1(tenant_id=TENANT, code="run_ended", detail="too late")]

    both = await pair(broker, handle)
    with pytest.raises(RefusedError, match="too late"):
        await both.gateway.requester.ask(cancel(), RunCancelRequestedV1, within=60)
    await both.drain()


async def test_silence_is_told_from_an_answer(broker: Broker) -> None:
    async def handle(_: CancelRunV1, __: Context) -> None:
        return None

    both = await pair(broker, handle)
    with pytest.raises(NoAnswerError, match=r"run\.cancel\.v1"):
        await both.gateway.requester.ask(cancel(), RunCancelRequestedV1, within=0.3)
    await both.drain()


async def test_what_a_question_waits_for_is_not_begun_once_nobody_waits(broker: Broker) -> None:
    """Others wait for it too: a thread, a query of the warehouse."""
    begun, gone, done = asyncio.Queue[float](), asyncio.Event(), []

    async def handle(question: GetQuotaV1, _: Context) -> Sequence[Message]:
        begun.put_nowait(time.monotonic())
        await gone.wait()
        if_waited_for(lambda: done.append(question))()
        return [QUOTA]

    both = await pair(broker, handle, GetQuotaV1)
    asking = asyncio.create_task(both.gateway.requester.ask(QUESTION, QuotaV1, within=60))
    await begun.get()
    gone.set()
    assert await asking == QUOTA
    gone.clear()
    impatient = asyncio.create_task(both.gateway.requester.ask(QUESTION, QuotaV1, within=1))
    came = await begun.get()
    with pytest.raises(NoAnswerError, match=r"quota\.get\.v1"):
        await impatient
    await until(lambda: time.monotonic() > came + 1)
    gone.set()
    assert await both.gateway.requester.ask(QUESTION, QuotaV1, within=60) == QUOTA
    await both.drain()
    assert done == [QUESTION, QUESTION]
    assert begun.qsize() == 1
    assert both.dead.got == []


async def test_only_a_question_is_left(broker: Broker) -> None:
    """A command says nothing of until when; if it did, it would be done all the same."""
    heard: list[Message] = []

    async def handle(message: Message, _: Context) -> Sequence[Message]:
        heard.append(message)
        return [asked(message)] if isinstance(message, CancelRunV1) else [QUOTA]

    both = await pair(broker, handle, CancelRunV1, GetQuotaV1)
    late, later, last = cancel(), cancel(), cancel()
    sent = await both.gateway.publisher.send(
        Outgoing(late, within=1e-6), Outgoing(QUESTION, within=1e-6), reply_to="gateway-1"
    )
    assert ["ce-expirytime" in wire.attributes for wire in sent] == [False, True]
    (wire,) = await both.gateway.publisher.send(later)
    told = {**wire.attributes, "ce-id": "late", "ce-expirytime": wire.attributes["ce-time"]}
    await both.gateway.publisher.send(Wire(told, wire.data, wire.ordering_key))
    await both.gateway.requester.ask(last, RunCancelRequestedV1, within=60)
    await both.drain()
    assert heard == [late, later, later, last]


async def test_a_handler_that_runs_out_of_time_by_itself_has_failed(broker: Broker) -> None:
    tries = itertools.count(1)

    async def handle(_: GetQuotaV1, __: Context) -> Sequence[Message]:
        if next(tries) < 3:
            raise TimeoutError
        return [QUOTA]

    both = await pair(broker, handle, GetQuotaV1)
    assert await both.gateway.requester.ask(QUESTION, QuotaV1, within=60) == QUOTA
    await both.drain()


async def test_what_gives_way_for_a_moment_is_tried_again(broker: Broker) -> None:
    tries = itertools.count(1)

    async def handle(command: CancelRunV1, _: Context) -> Sequence[Message]:
        if next(tries) < 3:
            raise RetryableError("not yet", delay=0.01)
        return [asked(command)]

    both = await pair(broker, handle)
    await both.gateway.requester.ask(cancel(), RunCancelRequestedV1, within=60)
    assert both.dead.got == []
    await both.drain()


async def test_what_can_never_work_is_a_dead_letter_with_its_reason(broker: Broker) -> None:
    async def handle(command: CancelRunV1, _: Context) -> Sequence[Message]:
        if command.requested_by == "nobody":
            raise PermanentError("nobody may not ask")
        return [asked(command)]

    both = await pair(broker, handle)
    bad = cancel().model_copy(update={"requested_by": "nobody"})
    await both.gateway.publisher.send(bad)
    await both.gateway.requester.ask(cancel(), RunCancelRequestedV1, within=60)
    await until(lambda: both.dead.got)
    letter = both.dead.got[0]
    assert letter.data == bad.encode()
    assert letter.attributes["dead-reason"] == "PermanentError: nobody may not ask"
    assert letter.attributes["dead-service"] == "scheduler"
    await until(lambda: both.told)
    assert [told.model_dump(exclude={"message_id", "subscription"}) for told in both.told] == [
        {
            "service": "scheduler",
            "message_type": "run.cancel.v1",
            "tenant_id": TENANT,
            "reason": "PermanentError: nobody may not ask",
            "error": "PermanentError",
            "attempt": 1,
        }
    ]
    (told,) = both.told
    assert told.message_id == letter.attributes["ce-id"]
    assert told.subscription == letter.attributes["dead-subscription"]
    await both.drain()


@pytest.mark.parametrize(
    ("changes", "data", "reason"),
    [
        ({}, b"{", "json_invalid"),
        ({}, b'{"tenant_id":"acme","run_id":"secret-canary"}', "run_id"),
        ({"ce-type": "run.cancel.v9"}, b"{}", "run.cancel.v9"),
        ({"ce-kind": "gossip"}, b"{}", "ce-kind"),
        ({"ce-type": ""}, b"{}", "ce-type"),
        ({"ce-tenantid": "other"}, cancel().encode(), "ce-tenantid"),
    ],
    ids=["no JSON", "bad field", "unknown version", "bad kind", "no type", "foreign tenant"],
)
async def test_poison_is_set_aside_and_blocks_nothing(
    broker: Broker, changes: dict[str, str], data: bytes, reason: str
) -> None:
    async def handle(command: CancelRunV1, _: Context) -> Sequence[Message]:
        return [asked(command)]

    both = await pair(broker, handle)
    good = {"ce-type": "run.cancel.v1", "ce-kind": "command", "ce-source": "gateway"}
    poison = Wire({**good, "ce-tenantid": "acme", **changes}, data, "acme")
    await broker.transport.publish(topic_of(Service.GATEWAY), [poison])
    await both.gateway.requester.ask(cancel(), RunCancelRequestedV1, within=60)
    await until(lambda: both.dead.got)
    assert reason in both.dead.got[0].attributes["dead-reason"]
    assert "canary" not in both.dead.got[0].attributes["dead-reason"]
    await until(lambda: both.told)
    assert both.told[0].reason == both.dead.got[0].attributes["dead-reason"]
    await both.drain()


def test_both_transports_are_transports(pubsub: EmulatorProcess) -> None:
    found: list[Transport] = [MemoryBroker().transport]
    where = f"127.0.0.1:{pubsub.ports['grpc']}"

    async def make() -> None:
        settings = PubSubSettings(project_id="p", emulator_host=where)
        found.append(PubSubTransport(settings))

    asyncio.run(make())
    assert [transport.waiting_for for transport in found] == [(), ()]

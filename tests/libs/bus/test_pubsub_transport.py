"""What only a real broker shows: flow control, leases, order over failures, recovery."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.pubsub_v1.types import pubsub as types

from contracts.catalogue import topic_of
from contracts.envelope import Wire
from contracts.identifiers import RunId, TenantId
from contracts.message import Message, Service
from contracts.runs import CancelRunV1, RunCancelRequestedV1
from contracts.topology import SubscriptionSpec
from libs.bus import pubsub_subscribe
from libs.bus.errors import PublishRefusedError
from libs.bus.message import Context, Received
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.bus.transport import Break, FlowControl, Verdict
from libs.testing.processes import EmulatorProcess, emulator
from tests.libs.bus.brokers import PubSubBroker
from tests.libs.bus.listening import Listener, until, wire
from tests.stack import free_port

TENANT = TenantId("acme")
RUN = RunId("00000000-0000-4000-8000-000000000001")
PROMISED_SECONDS = 2.0


@pytest.fixture(scope="module")
def pubsub() -> Iterator[EmulatorProcess]:
    with emulator("pubsub", control=True) as running:
        yield running


@pytest.fixture
async def broker(pubsub: EmulatorProcess) -> AsyncIterator[PubSubBroker]:
    found = PubSubBroker(pubsub.ports["grpc"])
    yield found
    await found.transport.close()


@contextmanager
def failing(pubsub: EmulatorProcess, share: float) -> Iterator[None]:
    """Let a share of all calls fail until the block ends."""
    pubsub.ask_for(error_rate=share)
    try:
        yield
    finally:
        pubsub.ask_for()


async def test_a_pull_that_breaks_off_is_told_at_once() -> None:
    breaks: list[tuple[Break, str]] = []
    with emulator("pubsub") as pubsub:
        broker = PubSubBroker(pubsub.ports["grpc"])
        spec, listener = await broker.subscription(), Listener()
        running = broker.transport.subscribe(
            spec.name,
            listener,
            FlowControl(),
            lambda how: breaks.append((how, running.waiting_for)),
        )
        await broker.transport.publish(spec.topic, [wire("before")])
        await until(lambda: listener.texts == ["before"])
        assert (breaks, running.waiting_for) == ([], "")
        pubsub.kill()
        await until(lambda: breaks)
        (how, reason) = breaks[0]
        assert (how, reason.startswith("Pub/Sub at ")) == (Break.ENDED, True)
        await until(lambda: len(breaks) > 1)
        assert breaks[1][0] is Break.LASTING
        await running.drain(0)
        await broker.transport.close()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


def test_a_pull_that_stays_broken_is_told_sooner_than_a_key_is_promised_to_end() -> None:
    assert pubsub_subscribe.REOPENED_SECONDS < PROMISED_SECONDS


class Ending:
    """A channel on which the first pull ends at once and in order, as Google's do now and then."""

    def __init__(self, *, opens_again: bool) -> None:
        self._opens_again = opens_again
        self.pulls = 0

    def stream_stream(self, *_: object, **__: object) -> Callable[[object], "Ending"]:
        return lambda _: self

    def unary_unary(self, *_: object, **__: object) -> None:
        raise AssertionError

    def cancel(self) -> None:
        """As a call of gRPC has it."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        self.pulls += 1
        if self.pulls > 1 and self._opens_again:
            yield types.StreamingPullResponse.pb()()
            await asyncio.Event().wait()


def pulling(
    channel: Ending,
) -> tuple[pubsub_subscribe.StreamingSubscription, list[Break]]:
    """And what it tells of its breaks."""
    breaks: list[Break] = []
    running = pubsub_subscribe.StreamingSubscription(
        channel, "p/s", Listener(), FlowControl(), "here", on_break=breaks.append
    )
    return running, breaks


async def test_a_pull_that_is_open_again_soon_is_no_lasting_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pubsub_subscribe, "REOPENED_SECONDS", 60.0)
    running, breaks = pulling(Ending(opens_again=True))
    await until(lambda: breaks and not running.waiting_for)
    assert breaks == [Break.ENDED]
    assert running._lasting is None  # nothing will say so later
    await running.drain(0)


async def test_a_pull_that_is_not_open_again_soon_is_a_lasting_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pubsub_subscribe, "REOPENED_SECONDS", 0.3)
    running, breaks = pulling(Ending(opens_again=False))
    await until(lambda: len(breaks) > 1)
    assert breaks == [Break.ENDED, Break.LASTING]
    await running.drain(0)


class Gated:
    """Holds every message until it is told to let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.go = asyncio.Event()
        self.most = 0

    async def __call__(self, received: Received) -> Verdict:
        self.begun.append(received.data.decode())
        self.most = max(self.most, len(self.begun) - len(self.done))
        await self.go.wait()
        await asyncio.sleep(0)
        self.done.append(received.data.decode())
        return Verdict.ACK


# Flow control


@pytest.mark.parametrize(
    ("flow", "most"),
    [(FlowControl(max_messages=5), 5), (FlowControl(max_bytes=5_000), 6)],
    ids=["messages", "bytes"],
)
async def test_no_more_is_handed_over_than_may_be_open(
    broker: PubSubBroker, flow: FlowControl, most: int
) -> None:
    spec = await broker.subscription()
    free = SubscriptionSpec(f"{spec.name}-free", spec.topic, retention_seconds=600)
    await broker.transport.ensure_subscription(free)
    held, listener = Gated(), Listener()
    running = [
        broker.transport.subscribe(spec.name, held, flow),
        broker.transport.subscribe(free.name, listener, FlowControl()),
    ]
    texts = [f"{number:<900}" for number in range(60)]
    await broker.transport.publish(spec.topic, [wire(text) for text in texts])
    await until(lambda: len(listener.got) == 60)  # whoever is free has them all
    await until(lambda: len(held.begun) >= 5)
    assert len(held.begun) <= most
    held.go.set()
    await until(lambda: sorted(held.done) == sorted(texts))
    assert held.most <= most
    await asyncio.gather(*(one.drain(1) for one in running))


# Leases


async def test_what_is_still_handled_is_not_delivered_again_and_what_a_dead_process_held_is(
    broker: PubSubBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub_subscribe, "LEASE_SECONDS", 10)  # Pub/Sub's least
    monkeypatch.setattr(pubsub_subscribe, "EXTEND_SECONDS", 3.0)
    kept, lost = await broker.subscription(), await broker.subscription()
    for spec in (kept, lost):
        await broker.transport.publish(spec.topic, [wire("slow")])
    slow = Gated()
    working = broker.transport.subscribe(kept.name, slow, FlowControl())
    await until(lambda: slow.begun == ["slow"])
    assert broker.pull_and_die(lost.name) == b"slow"
    rival, for_kept, for_lost = broker.another(), Listener(), Listener()
    pulls = [
        rival.subscribe(kept.name, for_kept, FlowControl()),
        rival.subscribe(lost.name, for_lost, FlowControl()),
    ]
    await until(lambda: for_lost.texts == ["slow"])
    slow.go.set()
    await until(lambda: slow.done == ["slow"])
    await asyncio.gather(*(one.drain(1) for one in (working, *pulls)))
    await rival.close()
    assert (slow.begun, for_kept.texts) == (["slow"], [])


# Order over failures


async def test_a_key_goes_on_in_order_after_its_publish_failed(
    broker: PubSubBroker, pubsub: EmulatorProcess
) -> None:
    spec = await broker.subscription()
    with failing(pubsub, 1.0):
        sending = [
            asyncio.create_task(broker.transport.publish(spec.topic, [wire(str(n), "key")]))
            for n in range(20)
        ]
        await until(lambda: broker.transport.waiting_for)
        assert not any(task.done() for task in sending)
    await asyncio.gather(*sending)
    assert broker.transport.waiting_for == ()
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: len(listener.got) == 20)
    assert listener.texts == [str(n) for n in range(20)]
    await running.drain(1)


async def test_a_refused_message_fails_alone_and_its_key_goes_on(broker: PubSubBroker) -> None:
    spec = await broker.subscription()
    bad = Wire({"x" * 300: "too long a name"}, b"bad", "key")
    answers = await asyncio.gather(
        broker.transport.publish(spec.topic, [wire("1", "key")]),
        broker.transport.publish(spec.topic, [bad]),
        broker.transport.publish(spec.topic, [wire("2", "key")]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), PublishRefusedError, type(None)]
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: len(listener.got) == 2)
    assert listener.texts == ["1", "2"]
    await running.drain(1)


async def test_a_message_that_cannot_be_written_fails_alone(broker: PubSubBroker) -> None:
    spec = await broker.subscription()
    broken = Wire({"who": "\udcff"}, b"broken", "key")
    with pytest.raises(PublishRefusedError, match="cannot be written") as refused:
        await broker.transport.publish(spec.topic, [wire("1", "key"), broken, wire("2", "key")])
    assert refused.value.wires == (broken,)
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: len(listener.got) == 2)
    assert listener.texts == ["1", "2"]
    await running.drain(1)


async def test_nobody_waits_for_what_could_not_be_sent(
    broker: PubSubBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = await broker.subscription()
    await broker.transport.publish(spec.topic, [wire("1")])
    batcher = broker.transport._topics[spec.topic]
    real, errors = batcher._call, [OSError("no such thing")]

    async def failing_once(request: object, timeout: float) -> object:  # noqa: ASYNC109  as gRPC has it
        if errors:
            raise errors.pop()
        return await real(request, timeout=timeout)

    monkeypatch.setattr(batcher, "_call", failing_once)
    async with asyncio.timeout(60):
        with pytest.raises(OSError, match="no such thing"):
            await broker.transport.publish(spec.topic, [wire("2")])
        await broker.transport.publish(spec.topic, [wire("3")])


async def test_what_is_published_with_refused_messages_is_durable_when_they_are_told(
    broker: PubSubBroker,
) -> None:
    spec = await broker.subscription()
    bad = [Wire({"x" * 300: "too long a name"}, body, "key") for body in (b"bad", b"worse")]
    with pytest.raises(PublishRefusedError) as caught:
        await broker.transport.publish(
            spec.topic, [bad[0], wire("1", "key"), bad[1], wire("2", "other")]
        )
    assert caught.value.wires == tuple(bad)
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: len(listener.got) == 2)
    assert sorted(listener.texts) == ["1", "2"]
    await running.drain(1)


async def test_calls_that_fail_now_and_then_lose_nothing_and_keep_the_order(
    broker: PubSubBroker, pubsub: EmulatorProcess
) -> None:
    spec = await broker.subscription()
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: not running.waiting_for)
    with failing(pubsub, 0.3):
        for number in range(30):
            await broker.transport.publish(
                spec.topic, [wire(f"{key}{number}", key) for key in "ab"]
            )
    await until(lambda: len(set(listener.texts)) == 60)
    for key in "ab":
        firsts = list(dict.fromkeys(text for text in listener.texts if text[0] == key))
        assert firsts == [f"{key}{number}" for number in range(30)]
    await running.drain(1)


# Recovery


async def test_a_lost_broker_is_said_and_waited_for(tmp_path: Path) -> None:
    port = free_port()
    with emulator("pubsub", state_dir=tmp_path, port=port) as first:
        broker = PubSubBroker(port)
        spec = await broker.subscription()
        listener = Listener()
        running = broker.transport.subscribe(spec.name, listener, FlowControl())
        await broker.transport.publish(spec.topic, [wire("before")])
        await until(lambda: listener.texts == ["before"])
        first.kill()
        await until(lambda: running.waiting_for)
        assert str(port) in running.waiting_for
        sending = asyncio.create_task(broker.transport.publish(spec.topic, [wire("during")]))
        await until(lambda: broker.transport.waiting_for)
        with emulator("pubsub", state_dir=tmp_path, port=port):
            await sending
            await until(lambda: "during" in listener.texts)
            await until(lambda: not running.waiting_for and not broker.transport.waiting_for)
            await running.drain(1)
            await broker.transport.close()


async def test_a_missing_subscription_is_named_and_waited_for(pubsub: EmulatorProcess) -> None:
    broker = PubSubBroker(pubsub.ports["grpc"])
    spec = SubscriptionSpec("late-one", "late-topic")
    listener = Listener()
    running = broker.transport.subscribe(spec.name, listener, FlowControl())
    await until(lambda: running.waiting_for == "subscription late-one")
    await broker.topic("late-topic")
    await broker.transport.ensure_subscription(spec)
    await broker.transport.publish("late-topic", [wire("hello")])
    await until(lambda: listener.texts == ["hello"])
    await running.drain(1)
    await broker.transport.close()


async def test_a_question_outlives_the_loss_of_its_broker(tmp_path: Path) -> None:
    """Both buses say that they wait, and go on by themselves."""

    async def on_cancel(command: CancelRunV1, _: Context) -> list[Message]:
        return [
            RunCancelRequestedV1(
                tenant_id=TENANT, run_id=command.run_id, attempt=1, requested_by="test"
            )
        ]

    port = free_port()
    with emulator("pubsub", state_dir=tmp_path, port=port) as first:
        broker = PubSubBroker(port)
        specs = [
            SubscriptionSpec("commands", topic_of(Service.GATEWAY), retention_seconds=600),
            SubscriptionSpec("heard", topic_of(Service.SCHEDULER), retention_seconds=600),
        ]
        for spec in specs:
            await broker.topic(spec.topic)
            await broker.transport.ensure_subscription(spec)
        router = Router()
        router.on(CancelRunV1)(on_cancel)
        scheduler = Bus(Service.SCHEDULER, router, broker.another(), BusOptions("s", specs[:1]))
        gateway = Bus(Service.GATEWAY, Router(), broker.another(), BusOptions("g", specs[1:]))
        await asyncio.gather(scheduler.start(), gateway.start())
        await until(lambda: not scheduler.waiting_for and not gateway.waiting_for)
        first.kill()
        await until(lambda: scheduler.waiting_for and gateway.waiting_for)
        command = CancelRunV1(tenant_id=TENANT, run_id=RUN, requested_by="test")
        asking = asyncio.create_task(
            gateway.requester.ask(command, RunCancelRequestedV1, within=60)
        )
        await until(lambda: len(gateway.waiting_for) >= 1)
        with emulator("pubsub", state_dir=tmp_path, port=port):
            assert (await asking).run_id == RUN
            await until(lambda: not scheduler.waiting_for and not gateway.waiting_for)
            await asyncio.gather(scheduler.drain(1), gateway.drain(1))
            await broker.transport.close()

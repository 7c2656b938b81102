"""Google's own client against the Pub/Sub emulator."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from aiohttp import web
from google.api_core.exceptions import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServiceUnavailable,
)
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeStatus
from google.pubsub_v1.types import DeadLetterPolicy, PubsubMessage, RetryPolicy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.topology import topology
from libs.bus.admin import Action, PubSubAdmin
from libs.local_cloud import pubsub_subscription
from libs.local_cloud.faults import FaultPlan, Faults
from libs.local_cloud.pubsub_broker import Broker
from libs.local_cloud.pubsub_filter import compile_filter
from libs.local_cloud.pubsub_lanes import Consumer, Item, Waiting
from libs.local_cloud.pubsub_store import Store
from libs.local_cloud.pubsub_wire import MESSAGE, SUBSCRIPTION, TOPIC
from libs.local_cloud.rpc import RpcError
from libs.testing.processes import EmulatorProcess, emulator
from libs.web.server import serve
from tests.libs.local_cloud.pubsub_backends import (
    GAPS,
    OFFICIAL,
    Clients,
    backend,
    backends,
    first_to_receive,
    texts,
)
from tests.stack import free_port


@pytest.fixture(scope="module", params=backends())
def where(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with backend(request.param) as port:
        yield request.param, port


@pytest.fixture
def clients(
    where: tuple[str, int], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Clients]:
    name, port = where
    case = request.node.name.replace(f"{OFFICIAL}-", "").replace(f"[{OFFICIAL}]", "")
    if name == OFFICIAL and (gap := GAPS.get(case)):
        request.applymarker(pytest.mark.xfail(reason=gap, strict=True))
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    found = Clients()
    yield found
    found.close()


# Resources


def test_resources_are_made_once_and_missed_when_gone(clients: Clients) -> None:
    topic = clients.topic()
    with pytest.raises(AlreadyExists):
        clients.publisher.create_topic(name=topic)
    subscription = clients.subscription(topic)
    clients.publisher.delete_topic(topic=topic)
    found = clients.subscriber.get_subscription(subscription=subscription)
    assert found.topic == "_deleted-topic_"
    with pytest.raises(NotFound):
        clients.publish(topic, "late")


def test_a_deleted_topic_leaves_its_subscription_what_it_has(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "kept")
    clients.publisher.delete_topic(topic=topic)
    assert texts(clients.pull(subscription)) == ["kept"]


def test_an_update_changes_what_its_mask_names(clients: Clients) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, labels={"a": "1"}, ack_deadline_seconds=20)
    found = clients.subscriber.update_subscription(
        request={
            "subscription": {"name": name, "ack_deadline_seconds": 60, "labels": {"b": "2"}},
            "update_mask": {"paths": ["labels"]},
        }
    )
    assert (dict(found.labels), found.ack_deadline_seconds) == ({"b": "2"}, 20)
    assert clients.subscriber.get_subscription(subscription=name) == found


@pytest.mark.parametrize(
    "paths",
    [["filter"], ["enable_message_ordering"], ["nonsense"], []],
    ids=["filter", "ordering", "unknown", "nothing"],
)
def test_what_cannot_be_updated_is_refused(clients: Clients, paths: list[str]) -> None:
    name = clients.subscription(clients.topic())
    with pytest.raises(InvalidArgument):
        clients.subscriber.update_subscription(
            request={"subscription": {"name": name}, "update_mask": {"paths": paths}}
        )


def test_lists_come_in_pages(clients: Clients) -> None:
    topic = clients.topic()
    made = sorted(clients.subscription(topic) for _ in range(5))
    pages = clients.publisher.list_topic_subscriptions(
        request={"topic": topic, "page_size": 2}
    ).pages
    sizes, found = [], []
    for page in pages:
        sizes.append(len(page.subscriptions))
        found += page.subscriptions
    assert (sizes, sorted(found)) == ([2, 2, 1], made)


@pytest.mark.parametrize("name", ["x", "projects/p/topics/goog1", "projects/p/subscriptions/abc"])
def test_bad_topic_names_are_refused(clients: Clients, name: str) -> None:
    with pytest.raises(InvalidArgument):
        clients.publisher.create_topic(name=name)


@pytest.mark.parametrize(
    "options",
    [
        {"ack_deadline_seconds": 5},
        {"ack_deadline_seconds": 601},
        {"filter": "attributes.x =="},
        {"message_retention_duration": timedelta(seconds=1)},
        {"retry_policy": RetryPolicy(minimum_backoff=timedelta(seconds=601))},
    ],
    ids=["short-deadline", "long-deadline", "filter", "retention", "retry-policy"],
)
def test_bad_subscriptions_are_refused(clients: Clients, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        clients.subscription(clients.topic(), **options)


def test_a_missing_dead_letter_topic_is_refused(clients: Clients) -> None:
    policy = DeadLetterPolicy(dead_letter_topic="projects/p/topics/missing")
    with pytest.raises(NotFound):
        clients.subscription(clients.topic(), dead_letter_policy=policy)


@pytest.mark.parametrize(
    "message",
    [
        PubsubMessage(),
        PubsubMessage(data=b"x", attributes={"": "nameless"}),
        PubsubMessage(data=b"x", attributes={"k": "v" * 1025}),
        PubsubMessage(data=b"x", attributes={"k" * 257: "v"}),
        PubsubMessage(data=b"x", ordering_key="k" * 1025),
        PubsubMessage(data=b"x" * 10_000_001),
    ],
    ids=["empty", "nameless", "value", "key", "ordering-key", "size"],
)
def test_bad_messages_are_refused(clients: Clients, message: PubsubMessage) -> None:
    with pytest.raises(InvalidArgument):
        clients.publisher.api.publish(topic=clients.topic(), messages=[message])


# Delivery


def test_a_message_arrives_as_it_was_sent(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    before = datetime.now(UTC) - timedelta(seconds=2)
    (id_,) = clients.publish(topic, "hello", key="k", colour="red")
    (one,) = clients.pull(subscription)
    assert texts([one]) == ["hello"]
    assert (one.message.message_id, one.message.ordering_key) == (id_, "k")
    assert dict(one.message.attributes) == {"colour": "red"}
    published: Any = one.message.publish_time  # wrapped, this is a datetime
    assert before < published < datetime.now(UTC) + timedelta(seconds=2)
    assert one.delivery_attempt == 0


def test_a_pull_waits_for_the_first_message(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    later = threading.Timer(0.3, clients.publish, (topic, "at last"))
    later.start()
    assert texts(clients.pull(subscription)) == ["at last"]
    later.join()


def test_only_what_a_filter_selects_is_delivered(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, filter='attributes."ce-kind" = "event"')
    clients.publish(topic, "no", **{"ce-kind": "query"})
    clients.publish(topic, "yes", **{"ce-kind": "event"})
    assert texts(clients.pull(subscription)) == ["yes"]
    assert clients.pull_now(subscription) == []


def test_a_lease_that_ends_brings_the_message_back(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "again")
    (first,) = clients.pull(subscription)
    clients.lease(subscription, first, 1)
    (second,) = clients.pull(subscription)
    assert texts([second]) == ["again"]
    assert second.ack_id != first.ack_id


def test_what_is_rejected_comes_again_counted_until_it_is_buried(clients: Clients) -> None:
    topic, dead = clients.topic(), clients.topic()
    policy = DeadLetterPolicy(dead_letter_topic=dead, max_delivery_attempts=5)
    subscription = clients.subscription(topic, dead_letter_policy=policy)
    graves = clients.subscription(dead)
    clients.publish(topic, "poison")
    for attempt in range(1, 6):
        (one,) = clients.pull(subscription)
        assert one.delivery_attempt == attempt
        clients.reject(subscription, one)
    (buried,) = clients.pull(graves)
    attributes = buried.message.attributes
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert subscription.endswith(attributes["CloudPubSubDeadLetterSourceSubscription"])
    assert clients.pull_now(subscription) == []


def test_nothing_is_lost_when_the_dead_letter_topic_is_gone(clients: Clients) -> None:
    topic, dead = clients.topic(), clients.topic()
    policy = DeadLetterPolicy(dead_letter_topic=dead, max_delivery_attempts=5)
    subscription = clients.subscription(topic, dead_letter_policy=policy)
    clients.publisher.delete_topic(topic=dead)
    clients.publish(topic, "poison")
    for _ in range(6):
        (one,) = clients.pull(subscription)
        clients.reject(subscription, one)
    assert texts(clients.pull(subscription)) == ["poison"]


def test_a_backoff_holds_a_message_back(clients: Clients) -> None:
    topic = clients.topic()
    policy = RetryPolicy(minimum_backoff=timedelta(seconds=1), maximum_backoff=timedelta(seconds=2))
    subscription = clients.subscription(topic, retry_policy=policy)
    clients.publish(topic, "later")
    (one,) = clients.pull(subscription)
    before = time.monotonic()
    clients.reject(subscription, one)
    assert texts(clients.pull(subscription)) == ["later"]
    assert time.monotonic() - before >= 1


def test_a_detached_subscription_refuses_to_be_pulled(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "dropped")
    clients.publisher.detach_subscription(request={"subscription": subscription})
    assert clients.subscriber.get_subscription(subscription=subscription).detached
    with pytest.raises(FailedPrecondition):
        clients.pull_now(subscription)


# Ordering keys


def test_a_key_is_redelivered_in_order(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "1", "2", "3", key="k")
    first, second, _ = received = clients.pull(subscription)
    assert texts(received) == ["1", "2", "3"]
    clients.acknowledge(subscription, first)
    clients.reject(subscription, second)
    assert texts(clients.pull(subscription)) == ["2", "3"]


def test_what_was_acknowledged_too_early_follows_what_failed(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "1", "2", key="k")
    first, second = clients.pull(subscription)
    clients.acknowledge(subscription, second)
    clients.reject(subscription, first)
    assert texts(clients.pull(subscription)) == ["1", "2"]


def test_a_key_waits_while_part_of_it_is_out(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "a1", "a2", key="a")
    clients.publish(topic, "b1", key="b")
    (out,) = clients.pull(subscription, 1)
    assert texts([out]) == ["a1"]
    assert texts(clients.pull_now(subscription)) == ["b1"]
    clients.acknowledge(subscription, out)
    assert texts(clients.pull(subscription)) == ["a2"]


def test_a_key_stays_with_one_stream(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    room = {"max_outstanding_messages": 2}
    with clients.stream(subscription, **room) as one, clients.stream(subscription, **room) as other:
        clients.publish(topic, *"abcd")
        held = [(stream, stream.next(), stream.next()) for stream in (one, other)]
        for stream, *received in held:  # both are full, so both are open
            stream.acknowledge(*received)
        clients.publish(topic, "1", key="k")
        holder = first_to_receive(one, other)
        idle = other if holder is one else one
        first = holder.next()
        clients.publish(topic, "2", key="k")
        second = holder.next()
        assert texts([first, second]) == ["1", "2"]
        assert idle.is_quiet


# Streams


def test_the_high_level_client_streams_everything_once(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    got: list[str] = []
    done = threading.Event()

    def take(message: Any) -> None:
        got.append(message.data.decode())
        message.ack()
        if len(got) >= 300:
            done.set()

    streaming = clients.subscriber.subscribe(subscription, callback=take)
    for number in range(300):
        clients.publisher.publish(topic, str(number).encode())
    assert done.wait(60)
    streaming.cancel()
    streaming.result(timeout=60)
    assert sorted(got, key=int) == [str(number) for number in range(300)]


def test_a_stream_holds_no_more_than_it_asked_for(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, *"12345")
    with clients.stream(subscription, max_outstanding_messages=2) as stream:
        first, second = stream.next(), stream.next()
        # Another consumer gets the rest, so the rest was not given to the stream.
        assert len(clients.pull(subscription, 2)) == 2
        assert stream.is_quiet
        stream.acknowledge(first, second)
        assert texts([stream.next()]) == ["5"]


def test_a_stream_ends_with_its_subscription(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "opened")
    with clients.stream(subscription) as stream:
        assert texts([stream.next()]) == ["opened"]
        clients.subscriber.delete_subscription(subscription=subscription)
        assert stream.end() is grpc.StatusCode.NOT_FOUND


def test_a_bad_stream_deadline_is_refused(clients: Clients) -> None:
    subscription = clients.subscription(clients.topic())
    with clients.stream(subscription, stream_ack_deadline_seconds=5) as stream:
        assert stream.end() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_seek_frees_a_full_stream(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, retain_acked_messages=True)
    since = datetime.now(UTC) - timedelta(seconds=5)
    clients.publish(topic, "1")
    with clients.stream(subscription, max_outstanding_messages=1) as stream:
        assert texts([stream.next()]) == ["1"]
        clients.subscriber.seek(request={"subscription": subscription, "time": since})
        assert texts([stream.next()]) == ["1"]


# Exactly once


def test_an_exactly_once_acknowledgement_is_confirmed(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_exactly_once_delivery=True)
    confirmed: list[Any] = []
    done = threading.Event()

    def take(message: Any) -> None:
        confirmed.append(message.ack_with_response())
        done.set()

    streaming = clients.subscriber.subscribe(subscription, callback=take)
    clients.publish(topic, "once")
    assert done.wait(60)
    assert confirmed[0].result(timeout=60) is AcknowledgeStatus.SUCCESS
    streaming.cancel()
    streaming.result(timeout=60)


def test_an_exactly_once_acknowledgement_that_is_late_fails_for_good(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_exactly_once_delivery=True)
    clients.publish(topic, "once")
    (one,) = clients.pull(subscription)
    clients.acknowledge(subscription, one)
    with pytest.raises(InvalidArgument) as caught:
        clients.acknowledge(subscription, one)
    assert caught.value.metadata == {one.ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}


# Snapshots and seeks


def test_a_seek_brings_back_what_a_snapshot_held(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "0", "1", "2")
    (done,) = clients.pull(subscription, 1)
    clients.acknowledge(subscription, done)
    snapshot = clients.snapshot(subscription)
    clients.publish(topic, "3")
    assert len(clients.collect(subscription, 3)) == 3
    clients.subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
    assert sorted(texts(clients.collect(subscription, 3))) == ["1", "2", "3"]


def test_a_seek_in_time_replays_and_purges(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, retain_acked_messages=True)
    since = datetime.now(UTC) - timedelta(seconds=5)
    clients.publish(topic, "1", "2")
    assert len(clients.collect(subscription, 2)) == 2
    clients.subscriber.seek(request={"subscription": subscription, "time": since})
    assert sorted(texts(clients.pull(subscription))) == ["1", "2"]
    ahead = datetime.now(UTC) + timedelta(hours=1)
    clients.subscriber.seek(request={"subscription": subscription, "time": ahead})
    assert clients.pull_now(subscription) == []


def test_a_seek_replays_only_what_the_filter_selects(clients: Clients) -> None:
    topic = clients.topic(message_retention_duration=timedelta(hours=1))
    since = datetime.now(UTC) - timedelta(seconds=5)
    clients.publish(topic, "no", kind="a")
    clients.publish(topic, "yes", kind="b")
    subscription = clients.subscription(topic, filter='attributes.kind = "b"')
    clients.subscriber.seek(request={"subscription": subscription, "time": since})
    assert texts(clients.pull(subscription)) == ["yes"]
    assert clients.pull_now(subscription) == []


# Push


async def test_a_push_is_repeated_until_it_is_accepted(clients: Clients) -> None:
    posts: list[Any] = []
    accepted = asyncio.Event()

    async def endpoint(request: web.Request) -> web.Response:
        posts.append(await request.json())
        if len(posts) < 3:
            return web.Response(status=500)
        accepted.set()
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post("/in", endpoint)])
    runner, port = await serve(app, host="127.0.0.1", port=0)
    topic = clients.topic()
    clients.subscription(topic, push_config={"push_endpoint": f"http://127.0.0.1:{port}/in"})
    clients.publish(topic, "hello")
    async with asyncio.timeout(60):
        await accepted.wait()
    assert {post["message"]["data"] for post in posts} == {"aGVsbG8="}
    await runner.cleanup()


# Our emulator alone: what it keeps, and the faults it can be asked for


def test_what_was_answered_survives_kill_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with emulator("pubsub", state_dir=tmp_path, port=port) as first:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
        clients = Clients()
        topic = clients.topic()
        subscription = clients.subscription(topic)
        clients.publish(topic, *(str(number) for number in range(100)))
        snapshot = clients.snapshot(subscription)
        clients.acknowledge(subscription, *(received := clients.pull(subscription, 10)))
        first.kill()
        with emulator("pubsub", state_dir=tmp_path, port=port):
            left = clients.pull(subscription, 1000)
            assert len(left) == 100 - len(received)
            clients.subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
            assert len(clients.pull(subscription, 1000)) == 100
    clients.close()


@pytest.fixture(scope="module")
def faulty() -> Iterator[EmulatorProcess]:
    with emulator("pubsub", control=True) as found:
        yield found


@pytest.fixture
def broken(faulty: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Clients of an emulator whose faults a test may set; none are left behind."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{faulty.ports['grpc']}")
    found = Clients()
    yield found
    faulty.ask_for()
    found.close()


def test_errors_can_be_asked_for(broken: Clients, faulty: EmulatorProcess) -> None:
    topic = broken.topic()
    faulty.ask_for(error_rate=1.0)
    with pytest.raises(ServiceUnavailable):
        broken.publisher.api.publish(topic=topic, messages=[PubsubMessage(data=b"x")], retry=None)
    faulty.ask_for()
    broken.publish(topic, "well again")


@pytest.mark.parametrize("key", ["", "k"], ids=["unordered", "ordered"])
def test_duplicates_can_be_asked_for(broken: Clients, faulty: EmulatorProcess, key: str) -> None:
    topic = broken.topic()
    subscription = broken.subscription(topic, enable_message_ordering=bool(key))
    broken.publish(topic, "1", "2", key=key)
    faulty.ask_for(duplicate=1.0)
    received = broken.pull(subscription)
    assert texts(received) == ["1", "1", "2", "2"]
    broken.acknowledge(subscription, *received)
    assert broken.pull_now(subscription) == []


def test_delays_can_be_asked_for(broken: Clients, faulty: EmulatorProcess) -> None:
    topic = broken.topic()
    faulty.ask_for(delay_seconds=0.5)
    before = datetime.now(UTC)
    broken.publish(topic, "slowly")
    assert datetime.now(UTC) - before >= timedelta(seconds=0.5)


def test_the_topology_is_applied_once(clients: Clients) -> None:
    del clients  # for the endpoint that it has set
    admin = PubSubAdmin(f"project-{uuid4().hex[:8]}")
    wanted = topology()
    first = admin.apply(wanted)
    assert {change.action for change in first} == {
        Action.CREATE_TOPIC,
        Action.CREATE_SUBSCRIPTION,
    }
    assert len(first) == len(wanted.topics) + len(wanted.subscriptions)
    assert admin.apply(wanted) == []


# The broker without its process: what stays in memory and on disk

TOPIC_NAME, SUB_NAME = "projects/p/topics/t", "projects/p/subscriptions/s"


@pytest.fixture
def broker() -> Iterator[Broker]:
    store = Store(None)
    made = Broker(store, Faults())
    made.save_topic(TOPIC(name=TOPIC_NAME))
    yield made
    store.close()


def stored(broker: Broker) -> int:
    broker.store.flush()
    return int(broker.store._db.execute("select count(*) from message").fetchone()[0])


@pytest.mark.parametrize("key", ["", "k"], ids=["unordered", "ordered"])
async def test_a_backlog_is_read_back_page_by_page_in_order(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(pubsub_subscription, "IN_MEMORY", 5)
    monkeypatch.setattr(pubsub_subscription, "PAGE", 3)
    broker.add_subscription(
        SUBSCRIPTION(name=SUB_NAME, topic=TOPIC_NAME, enable_message_ordering=bool(key))
    )
    state, consumer = broker.subscriptions[SUB_NAME], Consumer(max_messages=4, lease=60)
    got: list[str] = []
    for number in range(50):
        broker.publish(TOPIC_NAME, [MESSAGE(data=f"{number}".encode(), ordering_key=key)])
        assert state._waiting.count <= 5
        if number % 10 == 0:
            got += drained(state, consumer)
    while received := drained(state, consumer):
        got += received
    assert got == [str(number) for number in range(50)]
    assert stored(broker) == 0


def drained(state: Any, consumer: Consumer) -> list[str]:
    received = state.take(10, consumer)
    state.acknowledge([one.ack_id for one in received])
    return texts(received)


async def test_lost_deliveries_come_when_their_lease_ends_and_nothing_overtakes_them(
    broker: Broker,
) -> None:
    broker.add_subscription(
        SUBSCRIPTION(name=SUB_NAME, topic=TOPIC_NAME, enable_message_ordering=True)
    )
    state, consumer = broker.subscriptions[SUB_NAME], Consumer(lease=0.1)
    broker.publish(TOPIC_NAME, [MESSAGE(data=b"1", ordering_key="k")])
    broker.publish(TOPIC_NAME, [MESSAGE(data=b"2", ordering_key="k")])
    broker.faults.plan = FaultPlan(drop=1)
    assert state.take(10, consumer) == []
    broker.faults.plan = FaultPlan()
    assert state.take(10, consumer) == []
    async with asyncio.timeout(60):
        await state.changed()
    assert texts(state.take(10, consumer)) == ["1", "2"]


async def test_nothing_is_kept_for_nobody(broker: Broker) -> None:
    broker.publish(TOPIC_NAME, [MESSAGE(data=b"unread")])
    assert stored(broker) == 0
    broker.add_subscription(SUBSCRIPTION(name=SUB_NAME, topic=TOPIC_NAME, filter="attributes:a"))
    broker.publish(TOPIC_NAME, [MESSAGE(data=b"x"), MESSAGE(data=b"y", attributes={"a": ""})])
    assert stored(broker) == 1
    broker.delete_subscription(broker.subscriptions[SUB_NAME])
    assert stored(broker) == 0


async def test_a_topic_that_retains_keeps_what_is_acknowledged(broker: Broker) -> None:
    topic = TOPIC(name=TOPIC_NAME)
    topic.message_retention_duration.seconds = 600
    broker.save_topic(topic)
    broker.publish(TOPIC_NAME, [MESSAGE(data=b"x")])
    broker.sweep()
    assert stored(broker) == 1
    broker.save_topic(TOPIC(name=TOPIC_NAME))
    broker.sweep()
    assert stored(broker) == 0


class Lanes(RuleBasedStateMachine):
    """Whatever consumers do, a key is out with one of them, in order, and nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = Waiting()
        self.consumers = [Consumer(), Consumer()]
        self.out: list[Item] = []
        self.published = 0
        self.done: set[int] = set()

    @rule(key=st.sampled_from(["", "a", "b"]))
    def publish(self, key: str) -> None:
        self.published += 1
        self.waiting.add(Item(self.published, key, 1, None))

    @rule(who=st.integers(0, 1))
    def take(self, who: int) -> None:
        item = self.waiting.next(self.consumers[who])
        if item is not None:
            item.consumer = self.consumers[who]
            item.is_acked = False
            self.out.append(item)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), at_once=st.booleans())
    def acknowledge(self, data: st.DataObject, at_once: bool) -> None:  # noqa: FBT001  drawn
        item = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.done |= {one.id for one in self.waiting.settle(item, at_once=at_once)}

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        item = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        later = self.waiting.recall(item)
        self.out = [one for one in self.out if one not in later]
        self.waiting.put_back([item, *later])

    @invariant()
    def a_key_is_with_one_consumer_in_order(self) -> None:
        for key in "ab":
            of_key = [one for one in self.out if one.key == key]
            assert len({id(one.consumer) for one in of_key}) <= 1
            assert [one.id for one in of_key] == sorted(one.id for one in of_key)

    def teardown(self) -> None:
        for _ in range(self.published + 1):
            for who in (0, 1):
                self.take(who)
            for item in self.out:
                self.done |= {one.id for one in self.waiting.settle(item, at_once=False)}
            self.out.clear()
        assert self.done == set(range(1, self.published + 1))


TestLanes = Lanes.TestCase
TestLanes.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# Filters


@pytest.mark.parametrize(
    ("source", "selected", "not_selected"),
    [
        ("attributes:a", {"a": ""}, {"b": ""}),
        ('attributes."ce-kind" = "event"', {"ce-kind": "event"}, {"ce-kind": "Event"}),
        ('attributes.a != "x"', {}, {"a": "x"}),
        ('hasPrefix(attributes.a, "run.")', {"a": "run.x"}, {"a": "ran"}),
        ("NOT attributes:a AND attributes:b", {"b": "1"}, {"a": "1", "b": "1"}),
        ("-attributes:a", {}, {"a": ""}),
        ('attributes.a="1" OR (attributes:b AND NOT attributes:c)', {"b": ""}, {"b": "", "c": ""}),
        ("attributes:attributes-of", {"attributes-of": ""}, {"attributes": ""}),
        ("attributes:1st", {"1st": ""}, {"st": ""}),
        (r'attributes.a = "\"\\\x41\u00e9\n\101"', {"a": '"\\Aé\nA'}, {"a": "A"}),
    ],
)
def test_filters_select(
    source: str, selected: dict[str, str], not_selected: dict[str, str]
) -> None:
    chosen = compile_filter(source)
    assert chosen(selected)
    assert not chosen(not_selected)


@pytest.mark.parametrize(
    "source",
    [
        "attributes",
        "attributes.a=",
        "attributes.a = b",
        'attributes.a = "1" AND attributes:b OR attributes:c',
        'attributes."open = "x',
        'hasPrefix(attributes.a "x")',
        "(",
        "attributes:a attributes:b",
        'attributes.a = "\\U00110000"',
        f"attributes:{'a' * 256}",
    ],
)
def test_bad_filters_are_refused(source: str) -> None:
    with pytest.raises(RpcError) as caught:
        compile_filter(source)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT

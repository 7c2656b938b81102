"""Google's own client against the Pub/Sub emulator."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from aiohttp import web
from google.api_core.exceptions import AlreadyExists, InvalidArgument, NotFound, ServiceUnavailable
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, PubsubMessage, RetryPolicy

from contracts.topology import topology
from libs.bus.admin import Action, PubSubAdmin
from libs.local_cloud.pubsub_filter import compile_filter
from libs.local_cloud.rpc import RpcError
from libs.testing.processes import EmulatorProcess, emulator
from libs.web.server import serve


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorProcess]:
    with emulator("pubsub", control=True) as found:
        yield found


@pytest.fixture
def clients(running: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator["Clients"]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{running.ports['grpc']}")
    found = Clients()
    yield found
    found.subscriber.close()


class Clients:
    def __init__(self) -> None:
        self.publisher = PublisherClient()
        self.subscriber = SubscriberClient()

    def topic(self) -> str:
        name: str = self.publisher.topic_path("p", f"t{uuid4().hex}")
        self.publisher.create_topic(name=name)
        return name

    def subscription(self, topic: str, **options: Any) -> str:
        name: str = self.subscriber.subscription_path("p", f"s{uuid4().hex}")
        self.subscriber.create_subscription(request={"name": name, "topic": topic, **options})
        return name

    def publish(self, topic: str, *texts: str, key: str = "") -> None:
        messages = [PubsubMessage(data=t.encode(), ordering_key=key) for t in texts]
        self.publisher.api.publish(topic=topic, messages=messages)

    def pull(self, subscription: str, most: int = 10) -> Any:
        return self.subscriber.pull(
            subscription=subscription, max_messages=most, timeout=5
        ).received_messages


def texts(received: Any) -> list[str]:
    return [one.message.data.decode() for one in received]


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


def test_bad_requests_are_refused(clients: Clients) -> None:
    topic = clients.topic()
    with pytest.raises(InvalidArgument, match="deadline"):
        clients.subscription(topic, ack_deadline_seconds=5)
    with pytest.raises(InvalidArgument, match="filter"):
        clients.subscription(topic, filter="attributes.x ==")
    with pytest.raises(InvalidArgument, match="empty"):
        clients.publish(topic, "")


def test_what_is_not_acknowledged_comes_again_counted(clients: Clients) -> None:
    topic, dead = clients.topic(), clients.topic()
    policy = DeadLetterPolicy(dead_letter_topic=dead, max_delivery_attempts=5)
    subscription = clients.subscription(topic, dead_letter_policy=policy)
    graves = clients.subscription(dead)
    clients.publish(topic, "poison")
    for attempt in range(1, 6):
        (one,) = clients.pull(subscription)
        assert one.delivery_attempt == attempt
        clients.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=[one.ack_id], ack_deadline_seconds=0
        )
    (buried,) = clients.pull(graves)
    attributes = buried.message.attributes
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert subscription.endswith(attributes["CloudPubSubDeadLetterSourceSubscription"])


def test_a_key_is_redelivered_in_order(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "1", "2", "3", key="k")
    received = clients.pull(subscription)
    assert texts(received) == ["1", "2", "3"]
    clients.subscriber.acknowledge(subscription=subscription, ack_ids=[received[0].ack_id])
    clients.subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[received[1].ack_id], ack_deadline_seconds=0
    )
    assert texts(clients.pull(subscription)) == ["2", "3"]


def test_a_backoff_holds_a_message_back(clients: Clients) -> None:
    topic = clients.topic()
    policy = RetryPolicy(minimum_backoff={"seconds": 1}, maximum_backoff={"seconds": 2})
    subscription = clients.subscription(topic, retry_policy=policy)
    clients.publish(topic, "later")
    (one,) = clients.pull(subscription)
    clients.subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[one.ack_id], ack_deadline_seconds=0
    )
    now = clients.subscriber.pull(
        request={"subscription": subscription, "max_messages": 1, "return_immediately": True}
    )
    assert texts(now.received_messages) == []
    assert texts(clients.pull(subscription)) == ["later"]


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
    assert done.wait(20)
    streaming.cancel()
    streaming.result(timeout=10)
    assert sorted(got, key=int) == [str(number) for number in range(300)]


def test_a_seek_brings_back_what_a_snapshot_held(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "1", "2")
    snapshot = clients.subscriber.snapshot_path("p", f"n{uuid4().hex}")
    clients.subscriber.create_snapshot(name=snapshot, subscription=subscription)
    received = clients.pull(subscription)
    clients.subscriber.acknowledge(
        subscription=subscription, ack_ids=[one.ack_id for one in received]
    )
    clients.subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
    assert sorted(texts(clients.pull(subscription))) == ["1", "2"]


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
    async with asyncio.timeout(10):
        await accepted.wait()
    assert {post["message"]["data"] for post in posts} == {"aGVsbG8="}
    await runner.cleanup()


def test_published_messages_survive_kill_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with emulator("pubsub", state_dir=tmp_path) as first:
        port = first.ports["grpc"]
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
        clients = Clients()
        topic = clients.topic()
        subscription = clients.subscription(topic)
        clients.publish(topic, *(str(number) for number in range(100)))
        received = clients.pull(subscription, 10)
        clients.subscriber.acknowledge(
            subscription=subscription, ack_ids=[one.ack_id for one in received]
        )
        first.kill()
        with emulator("pubsub", state_dir=tmp_path, port=port):
            left = clients.pull(subscription, 1000)
            assert len(left) == 100 - len(received)


def test_faults_can_be_asked_for(clients: Clients, running: EmulatorProcess) -> None:
    topic = clients.topic()
    ask_for(running, error_rate=1.0)
    try:
        with pytest.raises(ServiceUnavailable):
            clients.publisher.api.publish(
                topic=topic, messages=[PubsubMessage(data=b"x")], retry=None
            )
    finally:
        ask_for(running, error_rate=0.0)
    clients.publish(topic, "well again")


def ask_for(running: EmulatorProcess, **plan: float) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.ports['control']}/faults",
        data=json.dumps(plan).encode(),
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310  our own loopback port


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


@pytest.mark.parametrize(
    ("source", "selected"),
    [
        ("attributes:a", {"a": ""}),
        ('attributes."ce-kind" = "event"', {"ce-kind": "event"}),
        ('attributes.a != "x"', {"a": "y"}),
        ('hasPrefix(attributes.a, "run.")', {"a": "run.x"}),
        ("NOT attributes:a AND attributes:b", {"b": "1"}),
        ('attributes.a="1" OR (attributes:b AND NOT attributes:c)', {"b": "1"}),
    ],
)
def test_filters_select(source: str, selected: dict[str, str]) -> None:
    chosen = compile_filter(source)
    assert chosen(selected)
    assert not chosen({"a": "x", "c": "1"}) or source == "attributes:a"


@pytest.mark.parametrize(
    "source",
    ["attributes", "attributes.a=", 'attributes.a = "1" AND attributes:b OR attributes:c', "("],
)
def test_bad_filters_are_refused(source: str) -> None:
    with pytest.raises(RpcError) as caught:
        compile_filter(source)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT

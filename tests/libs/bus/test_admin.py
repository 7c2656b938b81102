"""The topology command: what it sees, what it changes, what it leaves alone."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from contracts.message import Service
from contracts.topology import (
    Clause,
    SubscriptionSpec,
    TopicSpec,
    Topology,
    durable_subscriptions,
    instance_subscriptions,
    topology,
)
from libs.bus.admin import Action, PubSubAdmin
from libs.bus.errors import TopologyError
from libs.testing.processes import EmulatorProcess, emulator

TOPIC = TopicSpec("convergence-a-v1", "a")
DEAD = TopicSpec("convergence-b-from-a-v1-dead", "b")
SPEC = SubscriptionSpec(
    "convergence-b-from-a-v1", TOPIC.name, (Clause("ce-to", "b"),), dead_letter_topic=DEAD.name
)
SMALL = Topology((TOPIC, DEAD), (SPEC,))


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorProcess]:
    with emulator("pubsub") as found:
        yield found


@pytest.fixture
def project(running: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{running.ports['grpc']}")
    return f"project-{uuid4().hex[:8]}"


def seen(project: str, name: str) -> SubscriptionSpec:
    """What Pub/Sub says about a subscription, in our own words."""
    found = SubscriberClient().get_subscription(
        subscription=f"projects/{project}/subscriptions/{name}"
    )
    return SubscriptionSpec(
        name=name,
        topic=found.topic.rpartition("/")[2],
        ordered=found.enable_message_ordering,
        dead_letter_topic=found.dead_letter_policy.dead_letter_topic.rpartition("/")[2],
        ack_deadline_seconds=found.ack_deadline_seconds,
        min_backoff_seconds=found.retry_policy.minimum_backoff.seconds,
        max_backoff_seconds=found.retry_policy.maximum_backoff.seconds,
        max_delivery_attempts=found.dead_letter_policy.max_delivery_attempts,
        retention_seconds=int(found.message_retention_duration.total_seconds()),
        expires_after_seconds=found.expiration_policy.ttl.seconds,
    )


def test_the_second_time_there_is_nothing_to_do(project: str) -> None:
    admin = PubSubAdmin(project)
    first = admin.apply(topology())
    assert len(first) == len(topology().topics) + len(topology().subscriptions)
    assert admin.diff(topology()) == admin.apply(topology()) == []


@pytest.mark.parametrize("spec", durable_subscriptions(Service.SCHEDULER), ids=lambda s: s.name)
def test_a_subscription_is_made_as_it_is_specified(project: str, spec: SubscriptionSpec) -> None:
    PubSubAdmin(project).apply(topology())
    assert seen(project, spec.name) == replace(spec, any_of=())


def test_looking_changes_nothing(project: str) -> None:
    admin = PubSubAdmin(project)
    assert admin.diff(SMALL) == admin.diff(SMALL) != []


@pytest.mark.parametrize(
    ("field", "was"),
    [
        ("ack_deadline_seconds", {"ack_deadline_seconds": 99}),
        ("retry_policy", {"min_backoff_seconds": 5}),
        ("dead_letter_policy", {"max_delivery_attempts": 7}),
        ("dead_letter_policy", {"dead_letter_topic": ""}),
        ("message_retention_duration", {"retention_seconds": 3600}),
        ("expiration_policy", {"expires_after_seconds": 86_400}),
    ],
)
def test_what_can_change_is_changed_and_nothing_else(
    project: str, field: str, was: dict[str, object]
) -> None:
    admin = PubSubAdmin(project)
    admin.apply(replace(SMALL, subscriptions=(replace(SPEC, **was),)))  # type: ignore[arg-type]  # names and values are paired above
    (change,) = admin.apply(SMALL)
    assert (change.action, change.fields) == (Action.UPDATE_SUBSCRIPTION, (field,))
    assert admin.diff(SMALL) == []
    assert seen(project, SPEC.name) == replace(SPEC, any_of=())


@pytest.mark.parametrize(
    ("field", "was"),
    [
        ("filter", {"any_of": (Clause("ce-to", "c"),)}),
        ("enable_message_ordering", {"ordered": False}),
        ("topic", {"topic": DEAD.name}),
    ],
)
def test_what_pubsub_cannot_change_is_said_and_left(
    project: str, field: str, was: dict[str, object]
) -> None:
    admin = PubSubAdmin(project)
    admin.apply(replace(SMALL, subscriptions=(replace(SPEC, **was),)))  # type: ignore[arg-type]  # names and values are paired above
    (change,) = admin.apply(SMALL)
    assert (change.action, change.fields) == (Action.RECREATE_SUBSCRIPTION, (field,))
    assert admin.diff(SMALL) == [change]


def test_what_is_unknown_is_named_and_kept(project: str) -> None:
    admin = PubSubAdmin(project)
    admin.apply(SMALL)
    changes = admin.apply(Topology())
    assert {change.action for change in changes} == {Action.UNKNOWN}
    assert [change.name for change in changes] == [
        f"subscription {SPEC.name}",
        f"topic {TOPIC.name}",
        f"topic {DEAD.name}",
    ]
    assert admin.diff(SMALL) == []


def test_what_belongs_to_others_is_not_mentioned(project: str) -> None:
    admin = PubSubAdmin(project)
    admin.apply(topology())
    PublisherClient().create_topic(name=f"projects/{project}/topics/of-another-team")
    admin.apply(Topology((), instance_subscriptions("7c9f")))
    assert admin.diff(topology()) == []


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket() as closed:  # bound but not listening: nobody else gets this port
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{closed.getsockname()[1]}")
        yield


def test_without_pubsub_it_says_what_to_check(nobody_listens: None) -> None:
    admin = PubSubAdmin("nowhere", call_seconds=0.3)
    with pytest.raises(TopologyError, match=r"project nowhere failed: .*PUBSUB_EMULATOR_HOST"):
        admin.apply(topology())

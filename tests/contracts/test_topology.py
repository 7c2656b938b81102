"""The topology follows from the catalogue: everyone hears what is meant for them, and no more."""

import json
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import pytest

from contracts.catalogue import CATALOGUE, CONSUMING_SERVICES, Entry, topic_of
from contracts.examples import example_of
from contracts.message import Kind, Service
from contracts.topology import (
    FILTER_LIMIT,
    Clause,
    SubscriptionSpec,
    _shortest,
    durable_subscriptions,
    instance_subscriptions,
    is_instance_subscription,
    own_subscriptions,
    topology,
)
from libs.local_cloud.pubsub_filter import compile_filter

DURABLE = [(c, spec) for c in CONSUMING_SERVICES for spec in durable_subscriptions(c)]
SELECTIVE = [(c, spec) for c, spec in DURABLE if c is not Service.AUDIT_LOG]


def attributes_of(entry: Entry) -> Mapping[str, str]:
    return example_of(entry).attributes


def on(topic: str) -> list[Entry]:
    return [entry for entry in CATALOGUE if topic in entry.topics]


def selected(spec: SubscriptionSpec) -> set[str]:
    """What Pub/Sub would deliver, by its own reading of the filter."""
    entries = on(spec.topic)
    if not spec.filter:
        return names(entries)
    chosen = compile_filter(spec.filter)
    return names(e for e in entries if chosen(attributes_of(e)))


def names(entries: Iterable[Entry]) -> set[str]:
    return {entry.model.wire_type for entry in entries}


def test_whoever_consumes_something_of_a_topic_has_one_subscription_to_it() -> None:
    for consumer in CONSUMING_SERVICES[1:-1]:
        topics = {t for e in CATALOGUE if consumer in e.consumers for t in e.topics}
        specs = durable_subscriptions(consumer)
        assert {spec.topic for spec in specs} == topics
        assert len(specs) == len(topics)


@pytest.mark.parametrize(("consumer", "spec"), SELECTIVE, ids=lambda x: getattr(x, "name", ""))
def test_a_filter_selects_what_the_catalogue_says_and_no_more_than_it_must(
    consumer: Service, spec: SubscriptionSpec
) -> None:
    wanted = names(e for e in on(spec.topic) if consumer in e.consumers)
    shortened = any(c.prefix or c.attribute == "ce-kind" for c in spec.any_of)
    assert selected(spec) > wanted if shortened else selected(spec) == wanted
    assert spec.ordered


def test_audit_log_records_every_topic_whole_but_for_ciphertexts() -> None:
    specs = durable_subscriptions(Service.AUDIT_LOG)
    assert {spec.topic for spec in specs} == {topic_of(service) for service in Service}
    assert not any(spec.ordered for spec in specs)
    for spec in specs:
        assert selected(spec) == names(e for e in on(spec.topic) if not e.is_sealed)


def test_a_ciphertext_goes_to_nobody_who_keeps_what_was_handled() -> None:
    sealed = [entry for entry in CATALOGUE if entry.is_sealed]
    assert names(sealed) == {
        "credential.store.v1",
        "credential.v1",
        "credential.keep_rewrapped.v1",
    }
    assert not any(entry.recorded for entry in sealed)
    for spec in topology().subscriptions:
        if spec.retain_acked:
            assert not selected(spec) & names(sealed), spec.name


def test_a_part_in_a_part_cannot_hide_a_ciphertext() -> None:
    for entry in CATALOGUE:
        assert ('"ciphertext": ' in json.dumps(entry.model.model_json_schema())) == entry.is_sealed


@pytest.mark.parametrize("spec", instance_subscriptions("gateway-1"), ids=lambda spec: spec.name)
def test_a_gateway_instance_hears_events_and_its_own_replies_only(spec: SubscriptionSpec) -> None:
    if spec.topic == topic_of(Service.GATEWAY):
        assert selected(spec) == {"service.check.v1"}  # and so its own, when nobody answers
        return
    heard = {Kind.EVENT, Kind.REPLY}
    assert selected(spec) == names(
        e for e in on(spec.topic) if e.model.kind in heard and e.asked_by is Service.GATEWAY
    )
    chosen = compile_filter(spec.filter)
    for entry in on(spec.topic):
        if entry.model.kind is Kind.REPLY:
            assert not chosen({**attributes_of(entry), "ce-replyto": "gateway-2"})


def test_an_executor_instance_hears_its_own_answers_and_every_cancellation() -> None:
    specs = own_subscriptions(Service.EXECUTOR, "executor-1")
    heard = {name for spec in specs for name in selected(spec)}
    assert heard == {"credential.v1", "run.cancel_requested.v1"}
    assert all(spec.expires_after_seconds and is_instance_subscription(spec.name) for spec in specs)


def test_instance_subscriptions_are_short_lived_and_known_by_name() -> None:
    specs = instance_subscriptions("7c9f-1")
    assert [spec.topic for spec in specs] == [
        topic_of(service) for service in ("tenant", "scheduler", "executor", "audit-log", "gateway")
    ]
    for spec in specs:
        assert (spec.expires_after_seconds, spec.retention_seconds) == (86_400, 600)
        assert spec.ordered
        assert not spec.dead_letter_topic
        assert is_instance_subscription(spec.name)
    assert not any(is_instance_subscription(spec.name) for _, spec in DURABLE)
    assert durable_subscriptions(Service.GATEWAY) == ()


@pytest.mark.parametrize(("_", "spec"), DURABLE, ids=lambda x: getattr(x, "name", ""))
def test_a_durable_subscription_never_expires_and_keeps_its_dead_letters(
    _: Service, spec: SubscriptionSpec
) -> None:
    kept = {s.name: s for s in topology().subscriptions}
    assert spec.expires_after_seconds == 0
    assert spec.dead_letter_topic == f"{spec.name}-dead"
    assert spec.dead_letter_topic in {topic.name for topic in topology().topics}
    assert kept[spec.dead_letter_topic].topic == spec.dead_letter_topic
    assert not kept[spec.dead_letter_topic].filter
    assert (spec.min_backoff_seconds, spec.max_backoff_seconds) == (1, 10)
    assert spec.max_delivery_attempts == 100, "the most that Pub/Sub takes: a crash costs one"


def test_a_topic_has_one_publisher_and_a_name_is_used_once() -> None:
    topics = [topic.name for topic in topology().topics]
    subscriptions = [spec.name for spec in topology().subscriptions]
    assert len(set(topics)) == len(topics)
    assert len(set(subscriptions)) == len(subscriptions)
    publishers = {topic.name: topic.publisher for topic in topology().topics}
    assert {s.value: publishers[topic_of(s)] for s in Service} == {
        s.value: s.value for s in Service
    }


ALL = [*topology().subscriptions, *instance_subscriptions("a" * 36)]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_filter_fits_and_is_read_by_pubsub_as_by_us(spec: SubscriptionSpec) -> None:
    assert len(spec.filter.encode()) <= FILTER_LIMIT
    if spec.filter:
        ours = {e.model.wire_type for e in CATALOGUE if spec.selects(attributes_of(e))}
        chosen = compile_filter(spec.filter)
        assert ours == {e.model.wire_type for e in CATALOGUE if chosen(attributes_of(e))}


def test_what_is_wanted_and_not_wanted_is_read_by_pubsub_as_by_us() -> None:
    wanted = (Clause("ce-kind", "event"), Clause("ce-to", "tenant"))
    spec = SubscriptionSpec("s", "t", wanted, (Clause("ce-type", "run."), Clause("ce-x", "y")))
    chosen = compile_filter(spec.filter)
    for kind, to, x in product(("event", "query"), ("tenant", "executor"), ("y", "z")):
        attributes = {"ce-kind": kind, "ce-to": to, "ce-x": x}
        assert spec.selects(attributes) == chosen(attributes)
        assert chosen(attributes) == ((kind == "event" or to == "tenant") and x == "z")


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["run.a.v1"], [Clause("ce-type", "run.a.v1")]),
        (
            [f"run.something_long_{n}.v1" for n in range(9)],
            [Clause("ce-type", "run.", prefix=True)],
        ),
        (
            [f"{name}{n}.a.v1" for name in ("tenant", "pipeline") for n in range(9)],
            [Clause("ce-kind", "event")],
        ),
    ],
    ids=["as they are", "as domains", "as any event"],
)
def test_a_long_list_of_types_is_shortened(types: list[str], expected: list[Clause]) -> None:
    question = Clause("ce-to", "scheduler")
    assert _shortest((question,), types) == (question, *expected)
    for name in types:
        attributes = {"ce-type": name, "ce-kind": "event"}
        assert any(clause.matches(attributes) for clause in expected)


def test_the_topology_as_data_says_what_there_is() -> None:
    data: Any = json.loads(json.dumps(topology().as_data()))
    assert {t["name"]: t["publisher"] for t in data["topics"]} == {
        topic.name: topic.publisher for topic in topology().topics
    }
    for said, spec in zip(data["subscriptions"], topology().subscriptions, strict=True):
        assert said.pop("filter") == spec.filter
        assert SubscriptionSpec(**said, any_of=spec.any_of, none_of=spec.none_of) == spec

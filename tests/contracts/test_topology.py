"""The topology follows from the catalogue: everyone hears what is meant for them."""

import json

import pytest

from contracts.catalogue import CATALOGUE, CONSUMING_SERVICES, topic_of
from contracts.examples import example_of
from contracts.message import Kind, Service
from contracts.topology import (
    FILTER_LIMIT,
    durable_subscriptions,
    instance_subscriptions,
    topology,
)


@pytest.mark.parametrize("consumer", CONSUMING_SERVICES[1:])
def test_a_consumer_is_sent_everything_it_handles(consumer: Service) -> None:
    specs = {spec.topic: spec for spec in durable_subscriptions(consumer)}
    for entry in CATALOGUE:
        if consumer in entry.consumers:
            attributes = example_of(entry).attributes
            assert all(specs[topic].selects(attributes) for topic in entry.topics)


def test_a_service_is_not_sent_what_is_addressed_to_another() -> None:
    for consumer in (Service.TENANT, Service.SCHEDULER, Service.EXECUTOR):
        for spec in durable_subscriptions(consumer):
            for entry in CATALOGUE:
                if spec.topic in entry.topics and entry.model.to not in {"", "*", consumer}:
                    assert not spec.selects(example_of(entry).attributes)


def test_audit_log_records_every_topic_whole() -> None:
    specs = durable_subscriptions(Service.AUDIT_LOG)
    assert {spec.topic for spec in specs} == {topic_of(service) for service in Service}
    assert not any(spec.any_of or spec.ordered for spec in specs)


def test_a_gateway_instance_hears_events_and_its_own_replies_only() -> None:
    for spec in instance_subscriptions("gateway-1"):
        for entry in CATALOGUE:
            if spec.topic not in entry.topics:
                continue
            attributes = dict(example_of(entry).attributes)
            mine = entry.model.kind in {Kind.EVENT, Kind.REPLY}
            assert spec.selects(attributes) == mine
            if entry.model.kind is Kind.REPLY:
                assert not spec.selects({**attributes, "ce-replyto": "gateway-2"})


def test_every_durable_subscription_has_dead_letters_that_are_kept() -> None:
    names = {spec.name for spec in topology().subscriptions}
    topics = {topic.name for topic in topology().topics}
    for consumer in CONSUMING_SERVICES:
        for spec in durable_subscriptions(consumer):
            assert spec.dead_letter_topic in topics
            assert spec.dead_letter_topic in names


def test_filters_fit_pubsub_and_the_topology_is_plain_data() -> None:
    assert all(len(spec.filter.encode()) <= FILTER_LIMIT for spec in topology().subscriptions)
    assert json.loads(json.dumps(topology().as_data()))

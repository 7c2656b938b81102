"""The catalogue is consistent: names, owners, versions."""

import re

import pytest

from contracts.audit import MessageAbandonedV1
from contracts.catalogue import (
    CATALOGUE,
    Entry,
    UnknownTypeError,
    by_wire_type,
    consumed_by,
    entry_of,
)
from contracts.message import EVERY_SERVICE, Kind, Service

QUESTIONS = {Kind.COMMAND, Kind.QUERY}
PAST_WITHOUT_ED = {"heartbeat", "sent"}
every_entry = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.model.wire_type)
questions = pytest.mark.parametrize(
    "entry",
    [e for e in CATALOGUE if e.model.kind in QUESTIONS],
    ids=lambda e: e.model.wire_type,
)
events = pytest.mark.parametrize(
    "entry",
    [e for e in CATALOGUE if e.model.kind is Kind.EVENT],
    ids=lambda e: e.model.wire_type,
)


def words(entry: Entry) -> list[str]:
    """`RunRequestedV1` → run, requested."""
    name = entry.model.__name__.rpartition("V")[0]
    return [word.lower() for word in re.findall(r"[A-Z][a-z]+", name)]


def test_wire_types_are_unique() -> None:
    assert len(by_wire_type()) == len(CATALOGUE)


@every_entry
def test_the_version_is_in_both_names(entry: Entry) -> None:
    found = re.fullmatch(r"[a-z_]+(\.[a-z_]+)*\.v([1-9]\d*)", entry.model.wire_type)
    assert found
    assert entry.model.__name__.endswith(f"V{found[2]}")


@every_entry
def test_producers_and_consumers_are_named_once_and_can_be(entry: Entry) -> None:
    assert entry.producers
    assert len(set(entry.producers)) == len(entry.producers)
    assert len(set(entry.consumers)) == len(entry.consumers)
    assert Service.TICKS not in entry.consumers
    if entry.model.kind is Kind.REPLY:
        assert not entry.consumers


@questions
def test_a_question_has_exactly_one_owner_and_starts_with_its_verb(entry: Entry) -> None:
    if entry.model.to != EVERY_SERVICE:
        assert [consumer.value for consumer in entry.consumers] == [entry.model.to]
    verb = entry.model.wire_type.split(".")[-2].partition("_")[0]
    assert words(entry)[0] == verb
    assert not verb.endswith("ed")


TOLD_BY_EACH = {MessageAbandonedV1}
"""What each service can only tell of itself."""


@events
def test_an_event_is_addressed_to_nobody_and_in_the_past_tense(entry: Entry) -> None:
    assert entry.model.to == ""
    assert len(entry.producers) == 1 or entry.model in TOLD_BY_EACH
    last = words(entry)[-1]
    assert last.endswith("ed") or last in PAST_WITHOUT_ED
    assert entry.model.wire_type.split(".")[-2].split("_")[-1] == last


def test_what_is_consumed_follows_from_the_entries() -> None:
    for service in Service:
        consumed = set(consumed_by(service))
        assert consumed == {e.model for e in CATALOGUE if service in e.consumers}


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownTypeError, match=r"'run\.flown\.v1'"):
        entry_of("run.flown.v1")


@pytest.mark.parametrize(
    "wire_type", ["key.find.v1", "key.found.v1", "service.check.v1", "service.status.v1"]
)
def test_what_gateways_ask_by_themselves_all_the_time_is_not_recorded(wire_type: str) -> None:
    assert not entry_of(wire_type).recorded

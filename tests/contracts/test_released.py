"""What was released once is read for ever, and means the same."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from contracts.catalogue import CATALOGUE, Entry, by_wire_type
from contracts.compatibility import incompatibilities
from contracts.envelope import open_envelope, seal
from contracts.example_values import VALUES
from contracts.examples import NoExampleValueError, example_of
from contracts.message import Event, Part, Service
from contracts.schemas import schema_of
from contracts.ticks import fixed_attributes
from tests.contracts.corpus import GOLDEN, RELEASES, covers, parts_of, read, with_news

NOW = datetime(2026, 1, 1, tzinfo=UTC)
golden = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
released = pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)


def test_every_message_has_an_example_and_a_released_schema() -> None:
    assert {p.stem for p in RELEASES} == {p.stem for p in GOLDEN} == set(by_wire_type())


@released
def test_a_released_schema_never_changes_incompatibly(path: Path) -> None:
    assert incompatibilities(read(path), schema_of(by_wire_type()[path.stem].model)) == []


@golden
def test_a_golden_example_keeps_its_meaning(path: Path) -> None:
    wire = read(path)
    model = by_wire_type()[path.stem].model
    envelope = open_envelope(wire["attributes"], message_id="1", publish_time=NOW)
    message = model.decode(json.dumps(wire["data"]).encode())
    again = seal(envelope, message)
    assert envelope.type == path.stem
    assert model.decode(again.data) == message
    assert covers(json.loads(again.data), wire["data"])
    assert covers(dict(again.attributes), wire["attributes"])
    assert again.ordering_key == wire["ordering_key"] == (message.scope or "")


@golden
def test_an_example_is_what_its_released_schema_says(path: Path) -> None:
    schema = read(path.parents[1] / "released" / path.name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(read(path)["data"])


@golden
def test_unknown_fields_are_ignored_when_read_and_refused_when_made(path: Path) -> None:
    model = by_wire_type()[path.stem].model
    body, schema = read(path)["data"], schema_of(model)
    message = model.decode(json.dumps(body).encode())
    places = list(parts_of(body, schema, schema))
    assert () in places
    for place in places:
        grown = with_news(body, place)
        assert model.decode(json.dumps(grown).encode()) == message
        with pytest.raises(ValidationError) as caught:
            model.model_validate(grown)
        refused = {e["loc"] for e in caught.value.errors() if e["type"] == "extra_forbidden"}
        assert refused == {(*place, "of_tomorrow")}


def test_the_corpus_reaches_parts_within_parts() -> None:
    body = read(next(path for path in GOLDEN if path.stem == "run.requested.v1"))["data"]
    schema = schema_of(by_wire_type()["run.requested.v1"].model)
    found = set(parts_of(body, schema, schema))
    assert found == {(), ("trigger",), ("definition",), ("definition", "steps", 0)}


def test_a_tick_is_what_cloud_scheduler_sends() -> None:
    tick = by_wire_type()["tick.v1"]
    assert tick.producers[0] is Service.TICKS
    assert example_of(tick).attributes == fixed_attributes()


def test_a_field_without_an_example_is_named() -> None:
    class SurpriseV1(Event, type="surprise.v1"):
        never_heard_of: int

    with pytest.raises(NoExampleValueError, match=r"SurpriseV1\.never_heard_of has no example"):
        example_of(Entry(SurpriseV1, (Service.TENANT,), ()))


def parts_in(base: type[Part]) -> set[type[Part]]:
    return {base}.union(*(parts_in(inner) for inner in base.__subclasses__()))


def test_example_values_belong_to_fields() -> None:
    models = [m for m in parts_in(Part) if m.__module__.startswith("contracts.")]
    fields = {name for model in models for name in model.model_fields}
    full = {f"{model.__name__}.{name}" for model in models for name in model.model_fields}
    assert VALUES.keys() <= fields | full


def test_what_is_generated_as_an_example_today_decodes_too() -> None:
    for entry in CATALOGUE:
        wire = example_of(entry)
        assert entry.model.decode(wire.data).encode() == wire.data

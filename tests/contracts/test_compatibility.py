"""Released messages stay readable, and the comparator that says so really looks."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.catalogue import CATALOGUE, Entry, by_wire_type
from contracts.compatibility import incompatibilities
from contracts.envelope import open_envelope
from contracts.generate import EXAMPLES, RELEASED, stale

RELEASES = sorted(RELEASED.glob("*.json"))
GOLDEN = sorted(EXAMPLES.glob("*.json"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def name_of(path: Path) -> str:
    return path.stem


def test_generated_files_are_current() -> None:
    assert stale() == []


@pytest.mark.parametrize("path", RELEASES, ids=name_of)
def test_a_released_schema_is_still_read(path: Path) -> None:
    entry = by_wire_type()[path.stem]
    new = entry.model.model_json_schema(mode="serialization")
    assert incompatibilities(json.loads(path.read_text()), new) == []


@pytest.mark.parametrize("path", GOLDEN, ids=name_of)
def test_a_golden_example_decodes_and_means_the_same(path: Path) -> None:
    wire = json.loads(path.read_text())
    envelope = open_envelope(wire["attributes"], message_id="1", publish_time=NOW)
    message = by_wire_type()[envelope.type].model.decode(json.dumps(wire["data"]).encode())
    again = json.loads(message.encode())
    assert {name: again[name] for name in wire["data"]} == wire["data"]
    assert wire["ordering_key"] == (message.scope or "") == envelope.tenant_id


@pytest.mark.parametrize("path", GOLDEN, ids=name_of)
def test_unknown_fields_are_ignored_when_read_and_refused_when_made(path: Path) -> None:
    entry = by_wire_type()[path.stem]
    body = json.loads(path.read_text())["data"]
    grown = with_news(body)
    assert entry.model.decode(json.dumps(grown).encode()) == entry.model.decode(
        json.dumps(body).encode()
    )
    with pytest.raises(ValueError, match="Extra inputs"):
        entry.model.model_validate({**body, "of_tomorrow": 1})


FREE_FORM = {"parameters", "config"}


def with_news(value: Any) -> Any:
    """The same with a field more in every object whose fields we define."""
    if isinstance(value, list):
        return [with_news(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_source = "source_query" in value
    grown = {k: v if k in FREE_FORM and "of" not in k else with_news(v) for k, v in value.items()}
    if "config" in value and "config_id" in value.get("config", {}):
        grown["config"] = with_news(value["config"])
    return grown if is_source else {**grown, "of_tomorrow": 1}


OLD: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+$"},
        "state": {"enum": ["ON", "OFF"], "type": "string"},
        "count": {"type": "integer", "minimum": 0, "default": 0},
        "at": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
    },
    "$defs": {"Part": {"type": "object", "properties": {"name": {"type": "string"}}}},
}


def changed(**paths: Any) -> dict[str, Any]:
    """The schema with values put at paths such as `properties__id__type`."""
    new = deepcopy(OLD)
    for path, value in paths.items():
        *parents, last = path.split("__")
        place = new
        for parent in parents:
            place = place[parent.replace("defs", "$defs")]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return new


@pytest.mark.parametrize(
    "new",
    [
        changed(properties__id=None),
        changed(required=["id", "state"]),
        changed(required=[]),
        changed(properties__id__type="integer"),
        changed(properties__id__pattern="^[a-m]+$"),
        changed(properties__state__enum=["ON"]),
        changed(properties__count__minimum=1),
        changed(properties__count__maximum=10),
        changed(properties__count__default=1),
        changed(properties__at__anyOf=[{"type": "string"}]),
        changed(defs__Part__properties={"title": {"type": "string"}}),
    ],
    ids=[
        "field removed",
        "field made required",
        "field made optional",
        "type changed",
        "pattern narrowed",
        "enum value removed",
        "minimum raised",
        "maximum added",
        "default changed",
        "null not allowed any more",
        "field renamed in a part",
    ],
)
def test_a_breaking_change_is_noticed(new: dict[str, Any]) -> None:
    assert incompatibilities(OLD, new)


def test_an_optional_field_with_a_default_may_be_added() -> None:
    new = changed(properties__colour={"type": "string", "default": ""})
    assert incompatibilities(OLD, new) == []
    assert incompatibilities(OLD, OLD) == []


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.model.wire_type)
def test_an_entry_is_consistent(entry: Entry) -> None:
    name, version = entry.model.wire_type.rsplit(".", 1)
    assert version[0] == "v"
    assert version[1:].isdecimal()
    assert entry.model.__name__.endswith(f"V{version[1:]}")
    assert name == name.lower()
    assert entry.producers
    if entry.model.kind in {"command", "query"} and entry.model.to != "*":
        assert [consumer.value for consumer in entry.consumers] == [entry.model.to]


def test_wire_types_are_unique_and_every_release_is_in_the_catalogue() -> None:
    assert len(by_wire_type()) == len(CATALOGUE)
    assert {path.stem for path in RELEASES} == set(by_wire_type()) == {p.stem for p in GOLDEN}

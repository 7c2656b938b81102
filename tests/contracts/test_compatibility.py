"""The comparator of schemas really looks: each kind of breaking change is noticed."""

from copy import deepcopy
from typing import Any

import pytest

from contracts.compatibility import incompatibilities

OLD: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9},
        "state": {"enum": ["ON", "OFF"], "type": "string"},
        "note": {"type": "string", "default": ""},
        "count": {"type": "integer", "minimum": 0, "default": 0},
        "at": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "tags": {"type": "array"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "one": {"$ref": "#/$defs/Part"},
        "sizes": {"type": "object", "additionalProperties": {"type": ["integer", "string"]}},
        "free": {"type": "object", "additionalProperties": True},
        "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "anything": {},
    },
    "$defs": {
        "Part": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "inner": {"$ref": "#/$defs/Part"}},
        }
    },
}
TEXT = {"type": "string"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The schema with a value put at a path such as `properties/id/type`; None removes."""
    new = deepcopy(OLD)
    *parents, last = path.split("/")
    place = new
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return new


BREAKING = {
    "field removed": ("properties/id", None, "$.id: the field is gone"),
    "field made required": ("required", ["id", "state"], "$.state: the field is required"),
    "field made optional": ("required", [], "$.id: consumers may rely on this field"),
    "type changed": ("properties/id/type", "integer", "$.id: type string became integer"),
    "type given": ("properties/anything", TEXT, "$.anything: type None became string"),
    "pattern narrowed": ("properties/id/pattern", "^[a-m]+$", "$.id: pattern"),
    "pattern added": ("properties/note/pattern", "^[a-m]+$", "$.note: pattern None"),
    "format added": ("properties/note/format", "date", "$.note: format None"),
    "enum value removed": ("properties/state/enum", ["ON"], "$.state: values ['OFF']"),
    "enum added": ("properties/note/enum", [""], "$.note: only the values ['']"),
    "enum made const": ("properties/state", {"const": "ON"}, "$.state: values ['OFF']"),
    "minimum raised": ("properties/count/minimum", 1, "$.count: minimum 0 became 1"),
    "maximum added": ("properties/count/maximum", 10, "$.count: maximum None became 10"),
    "length cut": ("properties/id/maxLength", 8, "$.id: maxLength 9 became 8"),
    "multiples only": ("properties/count/multipleOf", 5, "$.count: multipleOf None became 5"),
    "repetition refused": (
        "properties/tags/uniqueItems",
        True,
        "$.tags: uniqueItems None became True",
    ),
    "items given a type": ("properties/tags/items", TEXT, "$.tags[items]: type None"),
    "values narrowed": (
        "properties/sizes/additionalProperties",
        {"type": "integer"},
        "$.sizes[additionalProperties]: type",
    ),
    "values refused": (
        "properties/free/additionalProperties",
        False,
        "$.free: additionalProperties are not allowed any more",
    ),
    "names narrowed": ("properties/free/propertyNames", {"pattern": "^a"}, "$.free[propertyNames]"),
    "default changed": ("properties/count/default", 1, "$.count: the default became 1"),
    "default removed": ("properties/count/default", None, "$.count: the default 0 is gone"),
    "default of null removed": ("properties/at/default", None, "$.at: the default None is gone"),
    "null refused": ("properties/at/anyOf", [TEXT], "$.at: the choice null is gone"),
    "choice dropped": ("properties/either/oneOf", [TEXT], "$.either: the choice integer is gone"),
    "choice made a type": ("properties/either", TEXT, "$.either: a choice became type string"),
    "field renamed in a part": (
        "$defs/Part/properties",
        {"title": TEXT, "inner": {"$ref": "#/$defs/Part"}},
        "$.one.name: the field is gone",
    ),
    "part bounded where it is used": (
        "properties/one",
        {"$ref": "#/$defs/Part", "minProperties": 1},
        "$.one: minProperties",
    ),
    "keyword that is not understood": (
        "properties/note/allOf",
        [{"minLength": 3}],
        "$.note: allOf is a keyword",
    ),
}


@pytest.mark.parametrize(("path", "value", "reason"), BREAKING.values(), ids=BREAKING.keys())
def test_a_breaking_change_is_noticed_where_it_is(path: str, value: Any, reason: str) -> None:
    assert any(found.startswith(reason) for found in incompatibilities(OLD, changed(path, value)))


HARMLESS = {
    "optional field with a default": ("properties/colour", {"type": "string", "default": ""}),
    "enum value added": ("properties/state/enum", ["ON", "OFF", "STANDBY"]),
    "enum dropped": ("properties/state/enum", None),
    "maximum dropped": ("properties/id/maxLength", None),
    "minimum lowered": ("properties/count/minimum", -1),
    "integers made numbers": ("properties/count/type", "number"),
    "null allowed": ("properties/note", {"anyOf": [TEXT, {"type": "null"}], "default": ""}),
    "choice made anything": ("properties/either", {}),
    "better description": ("description", "what it is"),
    "part inlined": ("properties/one", OLD["$defs"]["Part"]),
}


@pytest.mark.parametrize(("path", "value"), HARMLESS.values(), ids=HARMLESS.keys())
def test_a_harmless_change_is_accepted(path: str, value: Any) -> None:
    assert incompatibilities(OLD, changed(path, value)) == []


def test_a_schema_is_compatible_with_itself_even_when_it_contains_itself() -> None:
    assert incompatibilities(OLD, OLD) == []
    assert incompatibilities(OLD, deepcopy(OLD)) == []


def test_a_change_deep_within_a_schema_that_contains_itself_is_noticed() -> None:
    nested = changed("$defs/Part/properties/name/maxLength", 5)
    assert "$.parts[items].name: maxLength None became 5" in incompatibilities(OLD, nested)

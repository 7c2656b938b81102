"""The released corpus, as tests walk through it."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from contracts.generate import EXAMPLES, RELEASED

RELEASES = sorted(RELEASED.glob("*.json"))
GOLDEN = sorted(EXAMPLES.glob("*.json"))
Place = tuple[str | int, ...]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = root["$defs"][name] if name else schema
    return found


def parts_of(
    body: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: Place = ()
) -> Iterator[Place]:
    """Where in a message the objects are whose fields we define; free-form ones are not."""
    schema = resolved(schema, root)
    if body is None:
        return
    for choice in schema.get("anyOf", ()):
        yield from parts_of(body, choice, root, at)
    if isinstance(body, list):
        for index, item in enumerate(body):
            yield from parts_of(item, schema.get("items", {}), root, (*at, index))
    if isinstance(body, dict) and "properties" in schema:
        yield at
        for name, inner in schema["properties"].items():
            yield from parts_of(body.get(name), inner, root, (*at, name))
    elif isinstance(body, dict) and schema.get("additionalProperties") is False:
        yield at


def with_news(body: Any, at: Place) -> Any:
    """A copy with one field more at a place."""
    grown = deepcopy(body)
    place = grown
    for step in at:
        place = place[step]
    place["of_tomorrow"] = 1
    return grown


def covers(new: Any, old: Any) -> bool:
    """Whether all that was said before is still said; more may be said now."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and covers(new[name], old[name]) for name in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(new) == len(old) and all(map(covers, new, old))
    return bool(new == old)

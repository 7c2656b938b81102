"""Whether a new JSON Schema still reads everything that the old one allowed.

A released message gains only optional fields with defaults. Everything else
would break a consumer that has not been deployed again, and needs a new version.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_NARROWING_UP = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_NARROWING_DOWN = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """Every reason why `new` is not a compatible successor of `old`; none is good."""
    return list(_compare(old, new, old, new, "$"))


def _compare(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str
) -> Iterator[str]:
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    yield from _compare_types(old, new, at)
    yield from _compare_bounds(old, new, at)
    yield from _compare_properties(old, new, old_root, new_root, at)
    if "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], old_root, new_root, f"{at}[]")
    if "anyOf" in old or "anyOf" in new:
        yield from _compare_choices(old, new, old_root, new_root, at)


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    resolved: Schema = found
    return resolved


def _compare_types(old: Schema, new: Schema, at: str) -> Iterator[str]:
    if old.get("type") != new.get("type") and "anyOf" not in new:
        yield f"{at}: type {old.get('type')} became {new.get('type')}"
    for name in ("format", "pattern", "const"):
        if old.get(name) != new.get(name) and name in new:
            yield f"{at}: {name} {old.get(name)} became {new.get(name)}"
    gone = set(old.get("enum", ())) - set(new.get("enum", old.get("enum", ())))
    if gone:
        yield f"{at}: values {sorted(gone)} are not allowed any more"


def _compare_bounds(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for name in _NARROWING_UP:
        if name in new and new[name] > old.get(name, float("-inf")):
            yield f"{at}: {name} {old.get(name)} became {new[name]}"
    for name in _NARROWING_DOWN:
        if name in new and new[name] < old.get(name, float("inf")):
            yield f"{at}: {name} {old.get(name)} became {new[name]}"


def _compare_properties(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str
) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before.keys() - after.keys():
        yield f"{at}.{name}: the field is gone"
    for name in set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{at}.{name}: the field is required now"
    for name in set(old.get("required", ())) - set(new.get("required", ())):
        yield f"{at}.{name}: consumers may rely on this field, and it is optional now"
    for name in before.keys() & after.keys():
        if before[name].get("default") != after[name].get("default"):
            yield f"{at}.{name}: the default became {after[name].get('default')!r}"
        yield from _compare(before[name], after[name], old_root, new_root, f"{at}.{name}")


def _compare_choices(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str
) -> Iterator[str]:
    """Each choice there was must have a compatible one among those there are."""
    choices = new.get("anyOf", [new])
    for choice in old.get("anyOf", [old]):
        if all(list(_compare(choice, c, old_root, new_root, at)) for c in choices):
            yield f"{at}: the choice {_resolve(choice, old_root).get('type')} is gone"

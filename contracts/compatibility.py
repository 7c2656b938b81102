"""Whether a new JSON Schema still reads everything that the old one allowed.

A released message gains only optional fields with defaults. Everything else
would break a consumer that has not been deployed again, and needs a new version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
Pairs = frozenset[tuple[int, int]]

_ANYTHING: Schema = {}
_ABSENT = object()
_NARROWING_UP = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_NARROWING_DOWN = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_NARROWING_AT_ALL = ("format", "pattern", "multipleOf", "uniqueItems", "contentEncoding")
_INNER = ("items", "additionalProperties", "propertyNames")
_CHOICES = ("anyOf", "oneOf")
_JUDGED = {
    *_NARROWING_UP,
    *_NARROWING_DOWN,
    *_NARROWING_AT_ALL,
    *_INNER,
    *_CHOICES,
    *("type", "enum", "const", "properties", "required", "default"),
}
_WITHOUT_EFFECT = {"$defs", "$ref", "title", "description", "examples", "deprecated"}


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """Every reason why `new` is not a compatible successor of `old`; none is good.

    A keyword that this comparison does not know is a reason too.
    """
    return list(_Comparison(old, new).schemas(old, new, "$", frozenset()))


@dataclass(frozen=True, slots=True)
class _Comparison:
    old_root: Schema
    new_root: Schema

    def schemas(self, old: Schema, new: Schema, at: str, within: Pairs) -> Iterator[str]:
        pair = (id(old), id(new))
        if pair in within:
            return  # a schema that contains itself: this pair is being compared already
        within |= {pair}
        old, new = _resolved(old, self.old_root), _resolved(new, self.new_root)
        yield from _unjudged(old, new, at)
        yield from _types(old, new, at)
        yield from _values(old, new, at)
        yield from _bounds(old, new, at)
        yield from self._properties(old, new, at, within)
        yield from self._inner(old, new, at, within)
        yield from self._choices(old, new, at, within)

    def _properties(self, old: Schema, new: Schema, at: str, within: Pairs) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        must, must_now = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() - after.keys()):
            yield f"{at}.{name}: the field is gone"
        for name in sorted(must_now - must):
            yield f"{at}.{name}: the field is required now"
        for name in sorted((must - must_now) & after.keys()):
            yield f"{at}.{name}: consumers may rely on this field, and it is optional now"
        for name in sorted(before.keys() & after.keys()):
            yield from _defaults(before[name], after[name], f"{at}.{name}")
            yield from self.schemas(before[name], after[name], f"{at}.{name}", within)

    def _inner(self, old: Schema, new: Schema, at: str, within: Pairs) -> Iterator[str]:
        for name in _INNER:
            was, now = _as_schema(old.get(name)), _as_schema(new.get(name))
            if now is None and was is not None:
                yield f"{at}: {name} are not allowed any more"
            elif now is not None and was is not None and now is not _ANYTHING:
                yield from self.schemas(was, now, f"{at}[{name}]", within)

    def _choices(self, old: Schema, new: Schema, at: str, within: Pairs) -> Iterator[str]:
        """Each choice there was must have a compatible one among those there are."""
        choices = _choices_of(new)
        if choices is None:
            return
        for choice in _choices_of(old) or (old,):
            if all(any(self.schemas(choice, c, at, within)) for c in choices):
                kind = _resolved(choice, self.old_root).get("type", "anything")
                yield f"{at}: the choice {kind} is gone or narrower"


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema that a reference means, with what is said beside the reference."""
    while reference := schema.get("$ref"):
        found: Any = root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _unjudged(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for name in sorted((old.keys() | new.keys()) - _JUDGED - _WITHOUT_EFFECT):
        yield f"{at}: {name} is a keyword that contracts/compatibility.py cannot judge yet"


def _types(old: Schema, new: Schema, at: str) -> Iterator[str]:
    allowed = _types_of(new)
    if allowed and "number" in allowed:
        allowed |= {"integer"}
    if allowed and (_types_of(old) or {"anything"}) - allowed and not _choices_of(old):
        yield f"{at}: type {old.get('type')} became {new.get('type')}"
    if allowed and _choices_of(old) and not _choices_of(new):
        yield f"{at}: a choice became type {new.get('type')}"


def _types_of(schema: Schema) -> set[str]:
    """Empty: not restricted."""
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _values(old: Schema, new: Schema, at: str) -> Iterator[str]:
    was, now = _values_of(old), _values_of(new)
    if now is None:
        return
    if was is None:
        yield f"{at}: only the values {now} are allowed now"
    elif gone := [value for value in was if value not in now]:
        yield f"{at}: values {gone} are not allowed any more"


def _values_of(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found: list[Any] | None = schema.get("enum")
    return found


def _bounds(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for name in _NARROWING_AT_ALL:
        if new.get(name) and new[name] != old.get(name):
            yield f"{at}: {name} {old.get(name)} became {new[name]}"
    for name in _NARROWING_UP:
        if name in new and new[name] > old.get(name, float("-inf")):
            yield f"{at}: {name} {old.get(name)} became {new[name]}"
    for name in _NARROWING_DOWN:
        if name in new and new[name] < old.get(name, float("inf")):
            yield f"{at}: {name} {old.get(name)} became {new[name]}"


def _defaults(old: Schema, new: Schema, at: str) -> Iterator[str]:
    was, now = old.get("default", _ABSENT), new.get("default", _ABSENT)
    if now is _ABSENT and was is not _ABSENT:
        yield f"{at}: the default {was!r} is gone"
    elif was != now:
        yield f"{at}: the default became {now!r}"


def _as_schema(inner: Any) -> Schema | None:
    """`items` and its like, where absent and `true` mean anything and `false` means nothing."""
    if inner is False:
        return None
    return _ANYTHING if inner is None or inner is True else inner


def _choices_of(schema: Schema) -> tuple[Schema, ...] | None:
    found = next((schema[name] for name in _CHOICES if name in schema), None)
    return None if found is None else tuple(found)

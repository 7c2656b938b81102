"""Columns that a sender has of its own beside those of FOCUS: kept under their names."""

import re
from collections.abc import Container, Sequence

from services.executor.focus.mapping import Mapping, SourceColumn
from services.executor.focus.source import english, plain
from services.executor.ingest.parts import ROLE, column_name

PREFIX = "x_"
EVERY = "*"
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_APART = re.compile(r"[^A-Za-z0-9]+")
OURS = frozenset({"x_provider", "x_load_id", "x_slice", "x_file", "x_row", ROLE})
"""What the platform itself says of each row: a sender's column of such a name is not kept."""


def is_native(column: str) -> bool:
    return column.startswith(PREFIX) and column != PREFIX and column not in OURS


def with_natives(mapping: Mapping, header: Sequence[str]) -> Mapping:
    """The mapping with what this export has; names in small letters, as tables tell none apart.

    One that is a name of the mapping's own gets `_` behind it.
    """
    if not mapping.natives:
        return mapping
    source, keep = dict(mapping.source), dict(mapping.keep)
    columns = {name: column_name(name).lower() for name in header}
    natives = (name for name, column in columns.items() if is_native(column))
    for number, name in enumerate(natives):
        source[f"native_{number}"] = SourceColumn(type="json", header=name)
        keep[_free(columns[name].removeprefix(PREFIX), keep)] = f"native_{number}"
    return mapping.model_copy(update={"source": source, "keep": keep})


def with_kept(mapping: Mapping, header: Sequence[str]) -> tuple[Mapping, frozenset[str]]:
    """The mapping with what a tenant wants kept of this export, and what is not in it.

    A column has one name whether it came as `lineItem/UsageType` or `line_item_usage_type`.
    """
    if not mapping.kept:
        return mapping, frozenset()
    prefixes = tuple(p.prefix for parts in mapping.objects.values() for p in parts if p.prefix)
    there = {name: plain(name) for name in header if not name.startswith(prefixes)}
    chosen, absent = set[str](), set[str]()
    for wanted in mapping.kept:
        found = {name for name, said in there.items() if _is(said, wanted)}
        chosen |= found
        if not found and wanted != EVERY:
            absent.add(wanted)
    said_so = {plain(name): name for name in mapping.source}
    source, keep = dict(mapping.source), dict(mapping.keep)
    for number, name in enumerate(name for name in there if name in chosen):
        column = _in_words(said_so.get(there[name], name)).removeprefix(PREFIX)
        if is_native(f"{PREFIX}{column}") and column not in mapping.keep:
            source[f"kept_{number}"] = SourceColumn(type="json", header=name)
            keep[_free(column, keep)] = f"kept_{number}"
    return mapping.model_copy(update={"source": source, "keep": keep}), frozenset(absent)


def _free(column: str, taken: Container[str]) -> str:
    while column in taken:
        column += "_"
    return column


def _is(said: str, wanted: str) -> bool:
    return said.startswith(plain(wanted)) if wanted.endswith(EVERY) else said == plain(wanted)


def _in_words(header: str) -> str:
    return column_name(_APART.sub("_", _HUMPS.sub("_", english(header))).strip("_").lower())

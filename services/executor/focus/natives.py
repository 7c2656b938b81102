"""Columns that a sender has of its own beside those of FOCUS: kept under their names."""

import re
from collections.abc import Sequence

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
    """The mapping with what this export has; names in small letters, as tables tell none apart."""
    if not mapping.natives:
        return mapping
    taken, kept = {f"{PREFIX}{name}" for name in mapping.keep}, dict[str, str]()
    for name in header:
        column = column_name(name).lower()
        if is_native(column) and column not in taken:
            kept.setdefault(plain(name), column)
    source, keep = dict(mapping.source), dict(mapping.keep)
    for number, (said, column) in enumerate(kept.items()):
        source[f"native_{number}"] = SourceColumn(type="json", names=(said,))
        keep.setdefault(column.removeprefix(PREFIX), f"native_{number}")
    return mapping.model_copy(update={"source": source, "keep": keep})


def with_kept(mapping: Mapping, header: Sequence[str]) -> tuple[Mapping, frozenset[str]]:
    """The mapping with what a tenant wants kept of this export, and what is not in it.

    A column has one name whether it came as `lineItem/UsageType` or `line_item_usage_type`.
    """
    if not mapping.kept:
        return mapping, frozenset()
    prefixes = tuple(p.prefix for parts in mapping.objects.values() for p in parts if p.prefix)
    there = {plain(name): name for name in header if not name.startswith(prefixes)}
    chosen, absent = dict[str, str](), set[str]()
    for wanted in mapping.kept:
        found = {said: name for said, name in there.items() if _is(said, wanted)}
        chosen |= found
        if not found and wanted != EVERY:
            absent.add(wanted)
    said_so = {plain(name): name for name in mapping.source}
    source, keep = dict(mapping.source), dict(mapping.keep)
    for number, said in enumerate(name for name in there if name in chosen):
        column = f"{PREFIX}{_in_words(said_so.get(said, there[said])).removeprefix(PREFIX)}"
        if is_native(column) and column.removeprefix(PREFIX) not in keep:
            source[f"kept_{number}"] = SourceColumn(type="json", names=(said,))
            keep[column.removeprefix(PREFIX)] = f"kept_{number}"
    return mapping.model_copy(update={"source": source, "keep": keep}), frozenset(absent)


def _is(said: str, wanted: str) -> bool:
    return said.startswith(plain(wanted)) if wanted.endswith(EVERY) else said == plain(wanted)


def _in_words(header: str) -> str:
    return column_name(_APART.sub("_", _HUMPS.sub("_", english(header))).strip("_").lower())

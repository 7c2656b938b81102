"""Columns that a sender has of its own beside those of FOCUS: kept under their names."""

from collections.abc import Sequence

from services.executor.focus.mapping import Mapping, SourceColumn
from services.executor.focus.source import plain
from services.executor.ingest.parts import column_name

PREFIX = "x_"
OURS = frozenset({"x_provider", "x_load_id", "x_slice", "x_file", "x_row"})
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

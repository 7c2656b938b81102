"""Columns of repeated {key, value}: lists of them, or the objects that CSV has for maps."""

from collections.abc import Collection, Iterator
from typing import Any

import polars as pl

from services.executor.focus.written import in_text, read_texts, records

_FIELDS = ("key", "value", "namespace")
PAIRS = pl.List(pl.Struct(dict.fromkeys(_FIELDS, pl.String())))


def in_pairs(frame: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    """With these columns of text as pairs. Raises `BadValueError`."""
    return frame.with_columns(
        read_texts(frame[name], PAIRS, _pairs, "a JSON object") for name in columns
    )


def member(pairs: pl.Expr, key: str) -> pl.Expr:
    """The value that stands with a key."""
    pair = pl.element().struct
    chosen = pl.when(pair.field("key") == key).then(pair.field("value"))
    return pairs.list.eval(chosen).list.drop_nulls().list.first()


def _pairs(found: Any) -> list[dict[str, str | None]]:
    return [dict(zip(_FIELDS, pair, strict=True)) for pair in _members(found)]


def _members(found: Any) -> Iterator[tuple[str | None, str | None, str | None]]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield key, in_text(value), None
    else:
        for pair in records(found):
            yield in_text(pair["key"]), in_text(pair["value"]), in_text(pair.get("namespace"))

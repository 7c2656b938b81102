"""Columns of repeated {key, value}: lists of them, or the JSON objects that CSV has for maps."""

import json
from collections.abc import Collection, Iterator
from typing import Any

import orjson
import polars as pl

from services.executor.focus.errors import BadValueError

PAIRS = pl.List(pl.Struct({"key": pl.String(), "value": pl.String()}))


def in_pairs(frame: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    """With these columns of text as pairs. Raises `BadValueError`."""
    return frame.with_columns(_read(frame[name]) for name in columns)


def member(pairs: pl.Expr, key: str) -> pl.Expr:
    """The value that stands with a key."""
    pair = pl.element().struct
    chosen = pl.when(pair.field("key") == key).then(pair.field("value"))
    return pairs.list.eval(chosen).list.drop_nulls().list.first()


def _read(texts: pl.Series) -> pl.Series:
    """Exports repeat their objects: each different text is read once."""
    different = texts.unique().drop_nulls()
    known = pl.DataFrame(
        {
            "text": different,
            "pairs": pl.Series([_pairs(texts, text) for text in different], dtype=PAIRS),
        }
    )
    given = texts.alias("text").to_frame()
    found = given.join(known, on="text", how="left", maintain_order="left")
    return found["pairs"].alias(texts.name)


def _pairs(texts: pl.Series, text: str) -> list[dict[str, str | None]] | None:
    if not text.strip():
        return None
    try:
        found = _loaded(text)
        if found is None:
            return None
        return [{"key": key, "value": _text(value)} for key, value in _members(found)]
    except (ValueError, TypeError, KeyError, RecursionError):
        row = int(texts.eq_missing(text).arg_max() or 0)
        raise BadValueError(texts.name, row, text, "a JSON object") from None


def _loaded(text: str) -> Any:
    """Numbers as they are written: every digit counts. Raises what is no JSON."""
    orjson.loads(text)  # the stricter of the two
    return json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)


def _members(found: Any) -> Iterator[tuple[str | None, Any]]:
    if isinstance(found, dict):
        yield from found.items()
    else:
        yield from ((_text(pair["key"]), pair["value"]) for pair in found)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()

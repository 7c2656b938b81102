"""Objects and lists in columns of text: JSON, or as Python shows them. Every digit counts."""

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import polars as pl

from services.executor.focus.errors import BadValueError
from services.executor.ingest.fitting import is_number
from services.executor.ingest.values import spread

MOST_OF_PYTHON = 50_000
"""Characters: what is longer is no list of credits or labels, and parsing takes far more room."""
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
"""As Python counts lines, to which its parser's positions refer."""
_WORDS = (None, True, False)


def read_texts(
    texts: pl.Series, dtype: pl.DataType, made: Callable[[Any], Any], expected: str
) -> pl.Series:
    """What is `made` of each text that is something. Raises `BadValueError`.

    Exports repeat theirs: each different one is read once. `made` may raise `ValueError`,
    `TypeError` or `KeyError`.
    """
    different = texts.unique().drop_nulls()
    found = [_read(texts, text, made, expected) for text in different]
    return spread(texts, different, pl.Series(found, dtype=dtype))


def in_text(value: Any) -> str | None:
    """A text as it is, of all else its JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def records(found: Any) -> Iterator[dict[str, Any]]:
    """Raises `TypeError`."""
    for each in [found] if isinstance(found, dict) else found:
        if not isinstance(each, dict):
            raise TypeError(each)
        yield each


def _read(texts: pl.Series, text: str, made: Callable[[Any], Any], expected: str) -> Any:
    if not text.strip():
        return None
    try:
        found = _loaded(text)
        return None if found is None else made(found)
    except (ValueError, TypeError, KeyError, RecursionError):
        row = int(texts.eq_missing(text).arg_max() or 0)
        raise BadValueError(texts.name, row, text, expected) from None


def _loaded(text: str) -> Any:
    try:
        orjson.loads(text)  # the stricter of the two
    except orjson.JSONDecodeError:
        return _from_python(text)
    return json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)


def _from_python(text: str) -> Any:
    """What tables that went through Python have in their text columns. Raises `ValueError`."""
    if len(text) > MOST_OF_PYTHON:
        raise ValueError(text)
    text = text.strip()
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, MemoryError) as error:
        raise ValueError(text) from error
    return _of_node(tree.body, _LINE_BREAK.split(text.encode()))


def _of_node(node: ast.expr, lines: Sequence[bytes]) -> Any:
    match node:
        case ast.List(elts):
            return [_of_node(each, lines) for each in elts]
        case ast.Dict(keys, values):
            pairs = zip(keys, values, strict=True)
            return {_key(key): _of_node(value, lines) for key, value in pairs}
        case ast.Constant(str(value)):
            value.encode()  # half a character is no text
            return value
        case ast.Constant(value) if any(value is word for word in _WORDS):
            return value
    # Not `ast.get_source_segment`, which splits the whole text for each number.
    written = lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()
    if node.lineno != node.end_lineno or not is_number(written):
        raise ValueError(written)
    return orjson.Fragment(written)


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("a key that is no text")

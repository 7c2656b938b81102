"""Rows of JSON as columns, in which nothing is lost or altered.

Arrow makes them, as it refuses what no type holds as it is. Of a column that it refuses,
the fields that hold several kinds of values are text: numbers as they are written, and
lists and objects as their JSON. A whole column may be that only where its type is declared.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import NoneType
from typing import Any, cast

import orjson
import polars as pl
import pyarrow as pa

from services.executor.ingest.arrow_types import parts_of
from services.executor.ingest.errors import MOST_COLUMNS
from services.executor.ingest.fitting import CERTAIN, decimals

LEVELS = 40
"""Of lists and objects that become types: Arrow hands over no more than 64."""
CELLS = 4 << 20
"""Of what is made at once: values that are there, and places for those that are not."""
_UNALIKE = (pa.ArrowInvalid, pa.ArrowTypeError)
"""What Arrow raises for values that are no column."""
Row = Mapping[str, Any]
Points = Callable[[str], str]
"""What stands before the decimals of numbers that become text among others, by the header of
their column; nothing where none may stand among others."""


def none(_: str) -> str:
    return ""


class Digits(str):
    """A number that neither INT64 nor a float holds, as it is written."""

    __slots__ = ()


_NUMBERS = frozenset({int, float, Digits})
_SAID = {
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    **dict.fromkeys(_NUMBERS, "a number"),
}
_TRUTH = "true or false stands where numbers stand"


class MixedError(Exception):
    """Rows that are no columns: one of them says something else than those before."""

    def __init__(self, row: int, problem: str, column: str = "") -> None:
        self.row, self.problem, self.column = row, problem, column
        super().__init__(f"row {row}, column {column}: {problem}")


class TooManyFieldsError(Exception):
    """Rows that have more different fields, however deep, than may be made columns at once."""


def frames_of(
    rows: Sequence[Row], mixed: Points, *, truths: bool, digits: bool
) -> Iterator[pl.DataFrame]:
    """As many as there must be, in the order of the rows; most often one.

    Columns may hold several kinds of values, as text, if they are `mixed` with a point.
    `truths` and `digits` say whether there may be any. Raises `MixedError`, and
    `TooManyFieldsError` for a row that has too many by itself.
    """
    waiting = [(0, rows)]
    while waiting:
        first, some = waiting.pop()
        try:
            yield _frame_of(some, mixed, truths=truths, digits=digits)
        except TooManyFieldsError:
            if len(some) == 1:
                raise
            half = len(some) // 2
            waiting += [(first + half, some[half:]), (first, some[:half])]
        except MixedError as error:
            raise MixedError(first + error.row, error.problem, error.column) from None


def _frame_of(rows: Sequence[Row], mixed: Points, *, truths: bool, digits: bool) -> pl.DataFrame:
    """Raises `MixedError`, `TooManyFieldsError`."""
    found = _array(rows, truths=truths)
    if found is None:
        names = dict.fromkeys(chain.from_iterable(rows))
        check_number(len(names), len(rows))
        return pl.DataFrame({name: _column(name, rows, mixed, truths=truths) for name in names})
    texts = [field.name for field in found.type if digits and pa.types.is_string(field.type)]
    odd = [name for name in texts if any(type(row.get(name)) is Digits for row in rows)]
    return _frame(found).with_columns(_column(name, rows, mixed, truths=truths) for name in odd)


def _array(rows: Sequence[Row], *, truths: bool) -> pa.StructArray | None:
    """None if no types hold them as they are. Raises `TooManyFieldsError`."""
    try:
        type_ = pa.infer_type(rows)  # which Arrow would do else by itself
        check_number(fields_of(type_), len(rows))
        found = pa.array(rows, type_)
    except _UNALIKE:
        return None
    if not _is_held(found.type) or (truths and _has_truths(rows, found.type)):
        return None
    return found


def check_number(fields: int, rows: int) -> None:
    """Raises `TooManyFieldsError`."""
    if fields > MOST_COLUMNS or fields * rows > CELLS:
        raise TooManyFieldsError


def fields_of(type_: pa.DataType, levels: int = LEVELS + 1) -> int:
    """Each has a place in every row, also where nothing is said of it."""
    parts = parts_of(type_)
    return sum(fields_of(part.type, levels - 1) for part in parts) if parts and levels else 1


def _frame(found: pa.StructArray) -> pl.DataFrame:
    return cast("pl.Series", pl.from_arrow(found)).struct.unnest()


def _is_held(type_: pa.DataType, levels: int = LEVELS + 1) -> bool:
    """Whether its parts can be handed over and written, whole names and all."""
    parts = parts_of(type_)
    if not parts:
        return True
    unheld = any("\0" in part.name or _is_empty(part.type) for part in parts)
    return levels > 0 and not unheld and all(_is_held(part.type, levels - 1) for part in parts)


def _is_empty(type_: pa.DataType) -> bool:
    """A record without any field."""
    return pa.types.is_struct(type_) and not type_.num_fields


def _has_truths(values: Iterable[Any], type_: pa.DataType) -> bool:
    """Among floats, for which Arrow takes 1 for what is true, as nowhere else."""
    if pa.types.is_floating(type_):
        return bool in _kinds(values)
    if not _has_floats(type_):
        return False
    there = [value for value in values if value is not None]
    if pa.types.is_list(type_):
        return _has_truths(chain.from_iterable(there), type_.value_type)
    return any(_has_truths((value.get(each.name) for value in there), each.type) for each in type_)


def _has_floats(type_: pa.DataType) -> bool:
    return pa.types.is_floating(type_) or any(_has_floats(part.type) for part in parts_of(type_))


def _column(name: str, rows: Sequence[Row], mixed: Points, *, truths: bool) -> pl.Series:
    """Raises `MixedError`."""
    values, point = [row.get(name) for row in rows], mixed(name)
    try:
        if not point:
            _check(values)
        found = _array([{name: value} for value in values], truths=truths)
        if found is None:
            made = _alike(values, range(len(rows)), refusing=not point)
            found = _array([{name: value} for value in made], truths=False)
    except MixedError as error:
        raise MixedError(error.row, error.problem, name) from None
    if found is None:
        row = next(number for number, each in enumerate(rows) if name in each)
        raise MixedError(row, "the name of a column has a NUL in it", name)
    series = _frame(found)[name]
    kinds = _kinds(values)
    if series.dtype != pl.String or not kinds & _NUMBERS:
        return series
    if point:
        return _with_point(series, values, point)
    return decimals(series) if kinds <= _NUMBERS else series


def _with_point(texts: pl.Series, values: Sequence[Any], point: str) -> pl.Series:
    """Numbers as the texts beside them are read."""
    written = [
        text.replace(".", point) if type(value) in _NUMBERS else text
        for text, value in zip(texts, values, strict=True)
    ]
    return pl.Series(texts.name, written, dtype=pl.String)


def _kinds(values: Iterable[Any]) -> set[type]:
    return set(map(type, values)) - {NoneType}


def _check(values: Sequence[Any]) -> None:
    """Raises `MixedError` for what is no column of a table: more than one kind of values."""
    kinds = _kinds(values)
    if bool in kinds and kinds & _NUMBERS:
        raise MixedError(_first(values, {bool}), _TRUTH)
    if len({_SAID[kind] for kind in kinds}) < 2 or kinds <= {str, bool}:  # noqa: PLR2004
        return
    first = next(value for value in values if value is not None)
    others = {kind for kind in kinds if _SAID[kind] != _SAID[type(first)]}
    row = _first(values, others)
    before, now = ((_json(each, row) or "")[:80] for each in (first, values[row]))
    one, two = _SAID[type(first)], _SAID[type(values[row])]
    problem = f"{now!r} stands where {before!r} stood before: one is {two}, one {one}"
    raise MixedError(row, problem)


def _first(values: Sequence[Any], kinds: Container[type]) -> int:
    return next(row for row, value in enumerate(values) if type(value) in kinds)


def _alike(
    values: Sequence[Any], rows: Sequence[int], levels: int = LEVELS, *, refusing: bool
) -> Sequence[Any]:
    """Of one kind each field; `rows` are those that the values stand in. Raises `MixedError`."""
    kinds = _kinds(values)
    if kinds == {dict} and levels and _are_records(values):
        return _records(values, rows, levels - 1, refusing=refusing)
    if kinds == {list} and levels:
        return _lists(values, rows, levels - 1, refusing=refusing)
    if refusing and bool in kinds and kinds & _NUMBERS and kinds <= {bool, *_NUMBERS}:
        raise MixedError(rows[_first(values, {bool})], _TRUTH)
    are_floats = kinds == {int, float} and not any(map(_is_long, values))
    if are_floats or (len(kinds) < 2 and not kinds & {dict, list}):  # noqa: PLR2004
        return values
    return [_json(value, row) for value, row in zip(values, rows, strict=True)]


def _are_records(values: Iterable[Any]) -> bool:
    names = set(chain.from_iterable(filter(None, values)))
    return bool(names) and not any("\0" in name for name in names)


def _records(
    values: Sequence[Any], rows: Sequence[int], levels: int, *, refusing: bool
) -> Sequence[Any]:
    fields: dict[str, list[int]] = {}
    for at, value in enumerate(values):
        for name in value or ():
            fields.setdefault(name, []).append(at)
    made: list[dict[str, Any]] = [{} for _ in values]
    for name, places in fields.items():
        parts = [values[at][name] for at in places]
        found = _alike(parts, [rows[at] for at in places], levels, refusing=refusing)
        for at, part in zip(places, found, strict=True):
            made[at][name] = part
    return [None if old is None else new for old, new in zip(values, made, strict=True)]


def _lists(
    values: Sequence[Any], rows: Sequence[int], levels: int, *, refusing: bool
) -> Sequence[Any]:
    parts = list(chain.from_iterable(filter(None, values)))
    of = [row for value, row in zip(values, rows, strict=True) for _ in value or ()]
    found = iter(_alike(parts, of, levels, refusing=refusing))
    return [None if value is None else list(islice(found, len(value))) for value in values]


def _is_long(value: Any) -> bool:
    return type(value) is int and abs(value) > CERTAIN


def _json(value: Any, row: int) -> str | None:
    try:
        return None if value is None else _text(value)
    except orjson.JSONEncodeError:
        raise MixedError(row, "lists and objects lie too deep in each other") from None


def _text(value: Any) -> str:
    """A text as it is, of all else its JSON, in which numbers are as they were written."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, _bare, orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


def _bare(digits: Digits) -> orjson.Fragment:
    return orjson.Fragment(digits.encode())

"""JSON whose numbers keep every digit, and rows of it as columns.

A number is an int where INT64 holds it, a float where that says the same, as it does
for what programs print of theirs; any other is the text that was written.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Never

import orjson
import polars as pl

from services.executor.ingest.fitting import CERTAIN, NUMBER, decimals

_SHORT = 18
"""Digits for which INT64 has room, whatever they are."""
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_SHAPES = bytes.maketrans(b"0123456789.eE-+", b"00000000000ee--")
_MANY = b"0" * 16
"""Numbers of fewer digits are those of a float, and of INT64,"""
_EXTREME = (b"0e000", b"0e-000")
"""but for exponents like these."""
_RUN = re.compile(rb"[0-9.]+(?:[eE].)?")
_SURROGATES = ("\\ud", "\\uD")
_UNALIKE = (pl.exceptions.PolarsError, TypeError, OverflowError)
"""What Polars raises for values that are no column."""
Row = Mapping[str, Any]
Chosen = Callable[[str], bool]
"""Some columns, by their headers."""


def none(_: str) -> bool:
    return False


class Digits(str):
    """A number that neither INT64 nor a float holds, as it is written."""

    __slots__ = ()


class NoJsonError(ValueError):
    """A text that is none."""


class MixedError(Exception):
    """Rows that are no columns: one of them says something else than those before."""

    def __init__(self, row: int, problem: str, column: str = "") -> None:
        self.row, self.problem, self.column = row, problem, column
        super().__init__(f"row {row}, column {column}: {problem}")


class Decoder:
    """Not safe to share."""

    def __init__(self) -> None:
        self._long = self._truths = False
        self._decoder = json.JSONDecoder(
            parse_float=_fraction, parse_int=self._whole, parse_constant=_refuse
        )

    def loads(self, text: bytes) -> Any:
        """Raises `NoJsonError`."""
        self._truths |= b"true" in text or b"false" in text
        try:
            return orjson.loads(text) if _is_exact(text) else self.exactly(text)
        except orjson.JSONDecodeError as error:
            raise NoJsonError(str(error)) from None

    def exactly(self, text: bytes) -> Any:
        """The same in twice the time, whatever numbers there are. Raises `NoJsonError`."""
        try:
            written = text.decode()
            if any(each in written for each in _SURROGATES):
                orjson.loads(written)  # which knows half a character from a whole one
            return self._decoder.decode(written)
        except RecursionError:
            raise NoJsonError("lists and objects lie too deep in each other") from None
        except ValueError as error:
            raise NoJsonError(str(error)) from None

    def frame(self, rows: Sequence[Row], mixed: Chosen = none) -> pl.DataFrame:
        """Of rows that it read. Columns of text may hold numbers as well if they are `mixed`.

        Raises `MixedError`.
        """
        frame = _frame(rows)
        if self._truths:
            frame, rows = _without_truths(frame, rows, mixed)
            self._truths = False
        if self._long:
            frame, self._long = _with_long(frame, rows), False
        texts = [values for values in frame.iter_columns() if values.dtype == pl.String]
        return frame.with_columns(
            _of_one_kind(values, rows) for values in texts if not mixed(values.name)
        )

    def _whole(self, text: str) -> int | Digits:
        if len(text) <= _SHORT - 3:
            return int(text)
        self._long = True
        if len(text) <= _SHORT or (len(text) <= _SHORT + 2 and _LOWEST <= int(text) <= _HIGHEST):
            return int(text)
        return Digits(text)


def _is_exact(text: bytes) -> bool:
    """Whether every number is one that floats and INT64 hold; what looks like one counts too."""
    shape = text.translate(_SHAPES)
    if any(each in shape for each in _EXTREME):
        return False
    at = shape.find(_MANY)
    while at >= 0:
        run = _RUN.match(text, at)
        assert run is not None  # noqa: S101  its shape is that of one
        if not _prints_alike(run.group()):
            return False
        at = shape.find(_MANY, run.end())
    return True


def _prints_alike(run: bytes) -> bool:
    """Of many digits: that they are those of a float, and no exponent follows."""
    try:
        return b"." in run and repr(float(run)).encode() == run
    except ValueError:
        return False


def _fraction(text: str) -> float | Digits:
    value = float(text)
    return value if repr(value) == text or _same(value, text) else Digits(text)


def _same(value: float, text: str) -> bool:
    try:
        return isfinite(value) and Decimal(repr(value)) == Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return False


def _refuse(text: str) -> Never:
    raise NoJsonError(f"{text} is no number of JSON")


def _frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Raises `MixedError`."""
    try:
        return pl.from_dicts(rows, infer_schema_length=None)
    except _UNALIKE:
        names = dict.fromkeys(name for row in rows for name in row)
        return pl.DataFrame([_column(name, rows) for name in names])


def _column(name: str, rows: Sequence[Row]) -> pl.Series:
    """Numbers within one list are made alike: as floats, or else as they are written."""
    for made in (_as_it_is, _as_float, _as_text):
        values = [{name: _each(row.get(name), made)} for row in rows]
        try:
            return pl.from_dicts(values, infer_schema_length=None)[name]
        except _UNALIKE as error:
            last = f"values of one field have different types: {str(error).splitlines()[0][:200]}"
    raise MixedError(_first_bad(values), last, name)


def _first_bad(rows: Sequence[Row]) -> int:
    """The row with which those before are no column any more."""
    good, bad = 0, len(rows)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            pl.from_dicts(rows[:middle], infer_schema_length=None)
        except _UNALIKE:
            bad = middle
        else:
            good = middle
    return bad - 1


def _with_long(frame: pl.DataFrame, rows: Sequence[Row]) -> pl.DataFrame:
    """Whole numbers that became floats beside fractions, where floats do not hold them."""
    names = [
        name for name, type_ in frame.schema.items() if pl.Float64 in map(type, _leaves(type_))
    ]
    long = {name for name in names if any(_is_long(row.get(name)) for row in rows)}
    if not long:
        return frame
    return _frame(
        [{k: _each(v, _in_digits) if k in long else v for k, v in row.items()} for row in rows]
    )


def _without_truths(
    frame: pl.DataFrame, rows: Sequence[Row], mixed: Chosen
) -> tuple[pl.DataFrame, Sequence[Row]]:
    """What is true or false among numbers would be one: it is text if they may be mixed.

    Raises `MixedError`.
    """
    words: set[str] = set()
    for name, type_ in frame.schema.items():
        if not any(one.is_numeric() for one in _leaves(type_)):
            continue
        row = next((n for n, one in enumerate(rows) if _has_truth(one.get(name), type_)), None)
        if row is not None and not mixed(name):
            raise MixedError(row, "true or false stands where numbers stand", name)
        words |= {name} if row is not None else set()
    if not words:
        return frame, rows
    rows = [{k: _each(v, _in_words) if k in words else v for k, v in r.items()} for r in rows]
    return _frame(rows), rows


def _leaves(type_: Any) -> Iterator[pl.DataType]:
    """The types within that have no parts."""
    if isinstance(type_, pl.Struct):
        for field in type_.fields:
            yield from _leaves(field.dtype)
    elif isinstance(type_, pl.List):
        yield from _leaves(type_.inner)
    else:
        yield type_


def _has_truth(value: Any, type_: Any) -> bool:
    if isinstance(value, dict) and isinstance(type_, pl.Struct):
        return any(_has_truth(value.get(field.name), field.dtype) for field in type_.fields)
    if isinstance(value, list) and isinstance(type_, pl.List):
        return any(_has_truth(one, type_.inner) for one in value)
    return isinstance(value, bool) and bool(type_.is_numeric())


def _in_words(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _is_long(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_long, value.values()))
    if isinstance(value, list):
        return any(map(_is_long, value))
    return isinstance(value, int) and abs(value) > CERTAIN


def _each(value: Any, made: Callable[[Any], Any]) -> Any:
    """The same with something made of everything in it that has no parts."""
    if isinstance(value, dict):
        return {name: _each(one, made) for name, one in value.items()}
    if isinstance(value, list):
        return [_each(one, made) for one in value]
    return made(value)


def _as_it_is(value: Any) -> Any:
    return value


def _in_digits(value: Any) -> Any:
    return Digits(value) if _is_long(value) else value


def _as_float(value: Any) -> Any:
    if type(value) is not int:
        return value
    return Digits(value) if _is_long(value) else float(value)


def _as_text(value: Any) -> Any:
    return Digits(value) if type(value) in {int, float} else value


def _of_one_kind(values: pl.Series, rows: Sequence[Row]) -> pl.Series:
    """Numbers among which some are too long for their type have another if one holds them.

    Raises `MixedError` for text that stands among numbers, and is none.
    """
    numbers = values.str.contains(NUMBER).fill_null(value=False)
    if not numbers.any():
        return values
    written = (rows[row].get(values.name) for row in numbers.arg_true())
    if numbers.sum() + values.null_count() == values.len():
        return decimals(values) if all(type(one) is not str for one in written) else values
    number = next((n for n, one in enumerate(written) if type(one) is not str), None)
    if number is None:
        return values
    row = int(numbers.arg_true()[number])
    text = int((values.is_not_null() & ~numbers).arg_max() or 0)
    then, before = max(row, text), min(row, text)
    first, second = values[before][:80], values[then][:80]
    problem = f"{second!r} stands where {first!r} stood before: one is text, one a number"
    raise MixedError(then, problem, values.name)

"""JSON whose numbers keep every digit.

A number is an int where INT64 holds it, a float where that says the same, as it does
for what programs print of theirs; any other is the text that was written.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Never

import orjson
import polars as pl

from services.executor.ingest.json_columns import Digits, Points, Row, frames_of, none

_SHORT = 18
"""Digits for which INT64 has room, whatever they are."""
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_SHAPES = bytes.maketrans(b"0123456789.eE-+", b"00000000000ee--")
_MANY = b"0" * 16
"""Numbers of fewer digits are those of a float, and of INT64,"""
_EXTREME = (b"0e000", b"0e-000")
"""but for exponents like these."""
_RUN = re.compile(rb"[0-9.]+(?:[eE].)?")
_SURROGATES = (b"\\ud", b"\\uD")


class NoJsonError(ValueError):
    """A text that is none."""


class Decoder:
    """Not safe to share."""

    def __init__(self) -> None:
        self._digits = self._truths = False
        self._decoder = json.JSONDecoder(
            parse_float=self._fraction, parse_int=self._whole, parse_constant=_refuse
        )

    def loads(self, text: bytes) -> Any:
        """Raises `NoJsonError`."""
        (found,) = self.each([text])
        return found

    def each(self, texts: Sequence[bytes]) -> Iterator[Any]:
        """What each of them says, in turn. Raises `NoJsonError` for the first that is none."""
        read = self._quickest(texts)
        try:
            for text in texts:
                yield read(text)
        except orjson.JSONDecodeError as error:
            raise NoJsonError(str(error)) from None

    def _quickest(self, texts: Sequence[bytes]) -> Callable[[bytes], Any]:
        """Of those that read all of them right."""
        together = b"\n".join(texts)
        self._truths |= b"true" in together or b"false" in together
        if is_exact(together):
            return orjson.loads
        return self.exactly if len(texts) == 1 else self._by_itself

    def _by_itself(self, text: bytes) -> Any:
        return orjson.loads(text) if is_exact(text) else self.exactly(text)

    def exactly(self, text: bytes) -> Any:
        """The same in twice the time, whatever numbers there are. Raises `NoJsonError`."""
        try:
            written = text.decode()
            if has_surrogates(text):
                orjson.loads(written)  # which knows half a character from a whole one
            return self._decoder.decode(written)
        except RecursionError:
            raise NoJsonError("lists and objects lie too deep in each other") from None
        except ValueError as error:
            raise NoJsonError(str(error)) from None

    def frames(self, rows: Sequence[Row], mixed: Points = none) -> Iterator[pl.DataFrame]:
        """Of rows that it read. Columns of text may hold numbers as well if they are `mixed`.

        Most often it is one; rows that have little in common are several. Raises `MixedError`,
        `TooManyFieldsError`.
        """
        truths, digits = self._truths, self._digits
        self._digits = self._truths = False
        yield from frames_of(rows, mixed, truths=truths, digits=digits)

    def _whole(self, text: str) -> int | Digits:
        if len(text) <= _SHORT or (len(text) <= _SHORT + 2 and _LOWEST <= int(text) <= _HIGHEST):
            return int(text)
        return self._as_written(text)

    def _fraction(self, text: str) -> float | Digits:
        value = float(text)
        return value if repr(value) == text or _same(value, text) else self._as_written(text)

    def _as_written(self, text: str) -> Digits:
        self._digits = True
        return Digits(text)


def has_surrogates(text: bytes) -> bool:
    """Halves of characters, or whole ones in two."""
    return any(each in text for each in _SURROGATES)


def is_exact(text: bytes) -> bool:
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


def _same(value: float, text: str) -> bool:
    try:
        return isfinite(value) and Decimal(repr(value)) == Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return False


def _refuse(text: str) -> Never:
    raise NoJsonError(f"{text} is no number of JSON")

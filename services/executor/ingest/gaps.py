"""Whether a CSV has empty lines, and is UTF-8: seen while it is read, for next to nothing."""

import sys
from array import array
from threading import Lock
from typing import Protocol, Self

import polars as pl
import pyarrow as pa

from services.executor.ingest.quotes import Quotes

_LINES, _RETURNS = (
    [int.from_bytes(pair, sys.byteorder) for pair in pairs]
    for pairs in ([b"\n\n"], [b"\n\n", b"\n\r", b"\r\r"])
)


UTF_8 = frozenset({"utf-8", "utf-8-sig"})
LONGEST_CHARACTER = 4
ASCII, LEADS = 0x80, 0xC0
"""Below the one, a byte stands alone; from the other on, it begins a character of several."""


class Bytes(Protocol):
    def read(self, size: int) -> bytes: ...


class Watched:
    """A stream for Arrow to read; raises `ArrowInvalid` where it says UTF-8 and is not.

    One empty line too many may be seen, never one too few. Arrow reads ahead, in threads of
    its own and also when nobody wants more: who leaves waits for the read that is under way,
    and there is nothing more to read, so that the stream may be closed.
    """

    closed = False

    def __init__(self, stream: Bytes, encoding: str, delimiter: str = ",") -> None:
        self._stream, self._last = stream, b""
        self.quotes = Quotes(encoding, delimiter)
        self.gaps = not "\n\n".encode(encoding).endswith(b"\n\n")
        """Also for encodings whose line breaks do not look so."""
        self._checks, self._unchecked = encoding in UTF_8, b""
        self._reading, self._is_left = Lock(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._reading:
            self._is_left = True

    def read(self, size: int) -> bytes:
        with self._reading:
            return b"" if self._is_left else self._read(size)

    def _read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.quotes.see(piece)
        if self._checks:
            self._check(piece)
        if not self.gaps and piece:
            self.gaps = _has_empty(self._last + piece[:1]) or _has_empty(piece)
            self._last = piece[-1:]
        return piece

    def _check(self, piece: bytes) -> None:
        """Whole characters; the last may go on in the next piece. ASCII is seen at a glance."""
        if not self._unchecked and piece.isascii():
            return
        text = self._unchecked + piece
        end = _whole(text) if piece else len(text)
        _as_utf_8(text, end)
        self._unchecked = text[end:]

    def close(self) -> None:
        """Whoever opened the stream closes it."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _whole(text: bytes) -> int:
    """Up to where nothing of it can go on in what follows."""
    for back, byte in enumerate(reversed(text[-LONGEST_CHARACTER:]), 1):
        if byte >= LEADS:
            return len(text) - back
        if byte < ASCII:
            break
    return len(text)


def _as_utf_8(text: bytes, end: int) -> None:
    whole, bounds = pa.py_buffer(text), pa.py_buffer(array("q", [0, end]))
    pa.Array.from_buffers(pa.large_string(), 1, [None, bounds, whole]).validate(full=True)


def _has_empty(piece: bytes) -> bool:
    wanted = _RETURNS if b"\r" in piece else _LINES
    return any((pairs == each).any() for pairs in _pairs(piece) for each in wanted)


def _pairs(piece: bytes) -> list[pl.Series]:
    """Each two bytes that follow one another, as one number: a tenth of the time of `in`."""
    whole = pa.py_buffer(piece)
    counts = [(first, (len(piece) - first) // 2) for first in (0, 1)]
    return [
        pl.Series(pa.Array.from_buffers(pa.uint16(), n, [None, whole.slice(first, 2 * n)]))
        for first, n in counts
        if n > 0
    ]

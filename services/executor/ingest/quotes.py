"""Whether each quote of a CSV stands where one may: seen while it is read, for next to nothing.

What stands in quotes ends with one that a delimiter, a line break or the end follows; a quote
within it is written twice. A lenient parser reads on where anything else follows, so that a
quote too many takes the rows behind it into one value, without a word.
"""

import codecs

import polars as pl
import pyarrow as pa

QUOTE = b'"'
_EVERY = bytes(range(256))
_ASCII = 128
_BEGIN = b"\n\n"
"""As if lines came before: what begins a file begins a value."""


class Quotes:
    """Judges each by the bytes beside it. Not safe to share."""

    def __init__(self, encoding: str, delimiter: str) -> None:
        self.doubtful = False
        """One too many may be, as those within values that have no quotes; never one too few."""
        self._plain = _is_plain(encoding)
        self._beside = b"\r\n" + QUOTE + delimiter.encode()
        self._before, self._open = b"", 0

    @property
    def odd(self) -> bool:
        """Whether one of those that were seen has no other, unless some are doubtful."""
        return bool(self._open)

    def see(self, piece: bytes) -> None:
        """What follows in the file; nothing where it ends."""
        if self.doubtful or not self._plain:
            self.doubtful |= QUOTE in piece
            return
        begun = piece if self._before else piece.removeprefix(codecs.BOM_UTF8)
        text, before = begun or b"\n", self._before or _BEGIN
        self._judge(before + text[:2])
        self._judge(text)
        self._before = (before + text[-2:])[-2:]

    def _judge(self, text: bytes) -> None:
        """All but the first and the last byte, which have one beside them only."""
        if QUOTE not in text:
            return
        there = pl.Series(pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)]))
        inner = max(len(text) - 2, 0)
        quotes = there.slice(1, inner) == QUOTE[0]
        before, behind = (_bytes(there.slice(at, inner).filter(quotes)) for at in (0, 2))
        # Every second one opens a value, or is the second of two; the others close.
        opened, closed = before[self._open :: 2], behind[1 - self._open :: 2]
        self._open ^= len(before) % 2
        self.doubtful |= any(each.translate(None, self._beside) for each in (opened, closed))


def _is_plain(encoding: str) -> bool:
    """Whether a byte of ASCII is that character wherever it stands."""
    text = _EVERY.decode(encoding, "replace")
    return len(text) == len(_EVERY) and text[:_ASCII].encode("utf-8") == _EVERY[:_ASCII]


def _bytes(values: pl.Series) -> bytes:
    found = values.to_arrow()
    return bytes(memoryview(found.buffers()[1])[found.offset :][: len(found)])

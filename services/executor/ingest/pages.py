"""What the pages of a Parquet file hold, by their own headers: known before they are read.

A page may be packed to a thousandth, and what stands once in a dictionary may be the value of
every row. The footer says neither; the headers do, and no reader can unpack a page otherwise.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TEXT = "BYTE_ARRAY"
UNPACKED = 1 << 30
"""No file is read of which more must lie in memory at once."""
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_DICTIONARIES = frozenset({2, 8})
_COUNTS = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}
"""Where a header of this kind tells of its values."""
_DEEPEST = 4
_TRUE, _FALSE, _BINARY, _STRUCT = 1, 2, 8, 12
_WHOLE = frozenset({4, 5, 6})
_SIZES = {3: 1, 7: 8}
"""Of what has always as many bytes."""
_MORE = 0x80
"""Marks a byte of a number that goes on in the next one."""
_CODECS = {"LZ4": "lz4_raw"}
_LENGTH = struct.Struct("<I").unpack_from


class NoPageError(ValueError):
    """Where a page should begin, there is none."""

    def __init__(self) -> None:
        super().__init__("a page's header cannot be read")


@dataclass(frozen=True, slots=True)
class _Page:
    kind: int
    unpacked: int
    values: int
    encoding: int
    content: memoryview
    """As it is packed."""


@dataclass(slots=True)
class Chunk:
    """One column of one row group."""

    values: int = 0
    """With those that are null, or of empty lists."""
    chosen: int = 0
    """Of these, how many a dictionary holds, at most."""
    longest: int = 0
    """What stands in the dictionary: none is longer."""
    largest: int = 0
    """Page, unpacked."""
    written: int = 0
    """Bytes of all pages that need no dictionary."""
    dense: float = 0.0
    """Bytes of a value, in the page that has the most for each."""

    @property
    def widest(self) -> float:
        """No value has more bytes, taken over a page."""
        return max(self.dense, self.longest)


def chunk_of(file: mmap.mmap, column: pq.ColumnChunkMetaData) -> Chunk:
    """Raises `NoPageError`."""
    found = Chunk()
    for page in _pages(file, column):
        found.largest = max(found.largest, page.unpacked)
        if page.kind == _DICTIONARY:
            if column.physical_type == TEXT:
                found.longest = _longest(page, column.compression)
            continue
        found.values += page.values
        if page.encoding in _DICTIONARIES:
            found.chosen += page.values
            continue
        found.written += page.unpacked
        found.dense = max(found.dense, page.unpacked / max(page.values, 1))
    return found


def _pages(file: mmap.mmap, column: pq.ColumnChunkMetaData) -> Iterator[_Page]:
    """As many as a reader reads."""
    begins = column.data_page_offset
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < begins:
        begins = column.dictionary_page_offset
    header, left = _Header(file, begins), column.num_values
    with memoryview(file) as whole:
        while left > 0 and header.at < len(file):
            said = header.record()
            try:
                kind, unpacked, packed = said[1], said[2], said[3]
                tells = said.get(_COUNTS.get(kind, 0), {})
                values, encoding = tells.get(1, 0), tells.get(4 if kind == _DATA_2 else 2, 0)
            except (KeyError, AttributeError, TypeError):
                raise NoPageError from None
            if min(unpacked, packed, values) < 0:
                raise NoPageError
            with whole[header.at : header.at + packed] as content:
                yield _Page(kind, unpacked, values, encoding, content)
            header.at += packed
            left -= 0 if kind == _DICTIONARY else values


def _longest(page: _Page, compression: str) -> int:
    if page.unpacked > UNPACKED:
        return page.unpacked
    if compression == "UNCOMPRESSED":
        content = page.content
    else:
        try:
            codec = pa.Codec(_CODECS.get(compression, compression.lower()))
            content = memoryview(codec.decompress(page.content, page.unpacked))
        except (pa.ArrowException, OSError, ValueError):  # whoever reads it says what is wrong
            return page.unpacked
    at = most = 0
    try:
        while at < len(content):
            (length,) = _LENGTH(content, at)
            if length > most:  # noqa: PLR1730  for each value, in half of the time of `max`
                most = length
            at += length + 4
    except struct.error:
        return page.unpacked
    return most


class _Header:
    """Reads what Thrift writes in its compact form."""

    def __init__(self, file: mmap.mmap, at: int) -> None:
        self._file, self.at = file, at

    def record(self, deep: int = 0) -> dict[int, Any]:
        """Its fields by their numbers. Raises `NoPageError`."""
        if deep > _DEEPEST:
            raise NoPageError
        found: dict[int, Any] = {}
        number = 0
        while type_ := (byte := self._byte()) & 0x0F:
            more = byte >> 4
            number = number + more if more else self._whole()
            found[number] = self._value(type_, deep)
        return found

    def _value(self, type_: int, deep: int) -> Any:
        if type_ in {_TRUE, _FALSE}:
            return type_ == _TRUE
        if type_ in _WHOLE:
            return self._whole()
        if type_ == _STRUCT:
            return self.record(deep + 1)
        length = self._plain() if type_ == _BINARY else _SIZES.get(type_)
        if length is None:
            raise NoPageError
        self.at += length
        return None

    def _byte(self) -> int:
        try:
            byte = self._file[self.at]
        except IndexError:
            raise NoPageError from None
        self.at += 1
        return byte

    def _plain(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte % _MORE) << shift
            if byte < _MORE:
                return value
        raise NoPageError

    def _whole(self) -> int:
        value = self._plain()
        return (value >> 1) ^ -(value & 1)

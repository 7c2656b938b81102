"""How many rows of a Parquet file may be read at once, whatever they expand to."""

import mmap
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.executor.ingest.arrow_types import parts_of
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.pages import TEXT, UNPACKED, Chunk, chunk_of

AT_ONCE = 128 << 20
"""What is read at once expands to no more, at worst."""
HANDED_ON = 64 << 20
"""And what is handed on at once."""
LARGEST_TEXT = 16 << 20
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8, TEXT: 16}
_ADVICE = "write it again, with smaller pages and row groups"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read."""

    rows: int
    """At once."""
    indexed: tuple[str, ...]
    """Texts in lists that stay in dictionaries until they are counted: a row may hold them all."""


@dataclass(slots=True)
class _Leaf:
    """What has no parts, in the row group that has most of it."""

    said: Any
    in_row: float = 0
    """Bytes, at worst; of lists, those of a usual row."""
    indexed: float = 0
    """The same without its texts."""
    in_dictionaries: int = 0
    """Bytes of all values that stand there, as each row has its own."""
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = _WIDTHS.get(self.said.physical_type) or self.said.length

    @property
    def is_text(self) -> bool:
        return bool(self.said.physical_type == TEXT)

    @property
    def is_listed(self) -> bool:
        return bool(self.said.max_repetition_level > 0)

    def see(self, chunk: Chunk, rows: int) -> None:
        of_row = chunk.values / max(rows, 1) if self.is_listed else 1
        widest = chunk.widest if self.is_text else 0
        self.indexed = max(self.indexed, of_row * self.width)
        self.in_row = max(self.in_row, of_row * (self.width + widest))
        if self.is_listed and self.is_text:
            inflated = chunk.chosen * chunk.longest
            self.in_dictionaries = max(self.in_dictionaries, inflated)


def reading_of(
    path: Path, name: str, file: pq.ParquetFile, columns: Collection[str] | None, most: int
) -> Reading:
    """Of no more than `most` rows at once. Raises `RefusedFileError`, `NoPageError`."""
    said = [file.schema.column(number) for number in range(len(file.schema))]
    leaves = {n: _Leaf(one) for n, one in enumerate(said) if _is_of(one.path, columns)}
    if path.stat().st_size:
        with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as whole:
            for number in range(file.num_row_groups):
                _see(leaves, whole, file.metadata.row_group(number), name)
    listed = [leaf for leaf in leaves.values() if leaf.in_dictionaries]
    if sum(leaf.in_dictionaries for leaf in listed) <= AT_ONCE:
        listed = []
    for leaf in listed:
        leaf.in_row = leaf.indexed
    in_row = sum(leaf.in_row for leaf in leaves.values())
    if in_row > AT_ONCE:
        raise RefusedFileError(name, f"a row may expand to {_mb(in_row)}; {_ADVICE}")
    rows = min(most, int(AT_ONCE / max(in_row, 1)))
    return Reading(rows, tuple(leaf.said.path for leaf in listed))


def _see(leaves: dict[int, _Leaf], whole: mmap.mmap, group: Any, name: str) -> None:
    # One page of each column lies in memory; so may all lists, if one row has them.
    unpacked = listed = 0
    for number, leaf in leaves.items():
        chunk = chunk_of(whole, group.column(number))
        leaf.see(chunk, group.num_rows)
        unpacked += chunk.largest
        if leaf.is_listed:
            listed += chunk.values * leaf.width + chunk.written
    for bytes_, what in ((unpacked, "its pages"), (listed, "the lists of a row group")):
        if bytes_ > UNPACKED:
            raise RefusedFileError(name, f"{what} may expand to {_mb(bytes_)}; {_ADVICE}")


def _is_of(path: str, columns: Collection[str] | None) -> bool:
    """Any name may have dots."""
    return columns is None or any(
        name in columns for name in accumulate(path.split("."), "{}.{}".format)
    )


def pieces(batch: pa.RecordBatch, name: str, first: int) -> Iterator[pa.RecordBatch]:
    """The same in batches that may be handed on. Raises `RefusedFileError`.

    `first` is the number of its first row in the file.
    """
    sizes = [_expanded(values) for values in batch.columns]
    for column, values, size in zip(batch.schema.names, batch.columns, sizes, strict=True):
        if size > LARGEST_TEXT and (row := _first_large(values)) is not None:
            raise _too_large(name, first + row, column, LARGEST_TEXT)
    if sum(sizes) <= HANDED_ON:
        yield batch
    elif batch.num_rows == 1:
        raise _too_large(name, first, batch.schema.names[sizes.index(max(sizes))], HANDED_ON)
    else:
        half = batch.num_rows // 2
        yield from pieces(batch.slice(0, half), name, first)
        yield from pieces(batch.slice(half), name, first + half)


def expanded(batch: pa.RecordBatch) -> int:
    """Its bytes once each row has its own."""
    return sum(map(_expanded, batch.columns))


def _expanded(values: pa.Array) -> int:
    type_ = values.type
    if not _is_indexed(type_):
        return int(values.nbytes)
    if pa.types.is_dictionary(type_):
        return int(pc.sum(_lengths(values)).as_py() or 0)
    if pa.types.is_map(type_):
        begins, ends = values.offsets[0].as_py(), values.offsets[-1].as_py()
        return sum(_expanded(part[begins:ends]) for part in (values.keys, values.items))
    parts = values.flatten()
    return sum(map(_expanded, parts)) if pa.types.is_struct(type_) else _expanded(parts)


@cache
def _is_indexed(type_: pa.DataType) -> bool:
    """Whether texts within stand in a dictionary."""
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return any(_is_indexed(part.type) for part in parts_of(type_))


def _first_large(values: pa.Array) -> int | None:
    """The first row whose text is longer than texts may be."""
    is_text = _is_text(getattr(values.type, "value_type", values.type))
    if not is_text or values.type.num_fields:
        return None
    found = pc.index(pc.greater(_lengths(values), LARGEST_TEXT), value=True).as_py()
    return None if found < 0 else int(found)


def _lengths(texts: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(texts.type):
        return pc.binary_length(texts.dictionary).take(texts.indices)
    return pc.binary_length(texts)


def _is_text(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(type_)
        or types.is_large_string(type_)
        or types.is_binary(type_)
        or types.is_large_binary(type_)
    )


def _too_large(name: str, row: int, column: str, most: int) -> RefusedFileError:
    problem = f"row {row + 1}: its value is longer than {_mb(most)}; leave it out, or shorten it"
    return RefusedFileError(name, problem, column=column)


def _mb(size: float) -> str:
    return f"{size / (1 << 20):,.0f} MB"

"""Files of any kind as batches of rows. Memory is bounded by the batch, not by the file."""

from collections.abc import Collection, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.exceptions import PanicException

from services.executor.ingest.arrow_types import known_of, problem_of
from services.executor.ingest.csv_reader import CsvFile, CsvOptions
from services.executor.ingest.errors import (
    DAMAGED,
    MOST_COLUMNS,
    ColumnConflictError,
    RefusedFileError,
    TooManyColumnsError,
)
from services.executor.ingest.expanding import HANDED_ON, Reading, expanded, pieces, reading_of
from services.executor.ingest.json_blocks import Known
from services.executor.ingest.json_columns import MixedError, Points, TooManyFieldsError, none
from services.executor.ingest.json_rows import Decoder, NoJsonError
from services.executor.ingest.openai_pages import OpenAIPage
from services.executor.ingest.packed import damaged, opened
from services.executor.ingest.pages import NoPageError

Lines = Literal["csv", "ndjson"]
Format = Literal["csv", "parquet", "ndjson", "openai"]
ROWS = 50_000
MOST_WAITING = 256
"""Batches, which take memory of their own."""
JSON_BLOCK, FIRST_BLOCK = 16 << 20, 1 << 20
"""Made into rows at once."""
JSON_LINE = 16 << 20
"""No line may be longer."""
NO_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError, PanicException)
"""What is raised where a file's bytes are not those of Parquet, its names included."""
_HIGHEST, _LARGE = 2**63 - 1, pl.Decimal(38, 0)
"""What INT64 holds, and what holds any number of 64 bits."""
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
}


class Reader(Protocol):
    """One file."""

    @property
    def lines(self) -> Lines | None:
        """How its lines follow from its rows, once all are read; None if they do not."""

    written: bool
    """Whether its floats stand for decimals that were written."""

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """Only these columns, if said. Raises `RefusedFileError`: then use none of it."""

    def line_of(self, row: int) -> int | None:
        """Where a row stands in the file, if it has lines."""


def open_reader(
    path: Path,
    name: str,
    format_: Format | None,
    options: CsvOptions,
    declared: Points = none,
) -> Reader:
    """Columns whose types are declared may hold numbers beside text.

    Raises `RefusedFileError` for a file that cannot be one of its kind.
    """
    if path.stat().st_size == 0:
        raise RefusedFileError(name, "it is empty: no byte in it")
    match format_ or format_of(name):
        case "csv":
            return CsvFile(path, name, options)
        case "parquet":
            return ParquetFile(path, name)
        case "ndjson":
            return JsonLines(path, name, declared)
        case "openai":
            return OpenAIPage(path, name, declared)


class ParquetFile:
    written = False

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        try:
            self._file = _opened(path)
            seen: set[str] = set()
            for field in self._file.schema_arrow:
                if field.name in seen:
                    problem = "two columns have this name"
                    raise RefusedFileError(name, problem, column=field.name)
                seen.add(field.name)
                if len(seen) > MOST_COLUMNS:
                    raise TooManyColumnsError(name, column=field.name)
                if problem := problem_of(field.type):
                    raise RefusedFileError(name, problem, column=field.name)
            self.schema = _frame(self._file.schema_arrow.empty_table()).schema
        except NO_PARQUET as error:
            problem = f"it is not a whole Parquet file: {str(error)[:200]}"
            raise RefusedFileError(name, problem) from None

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        try:
            reading = reading_of(self._path, self._name, self._file, columns, ROWS)
            found = self._pieces(reading, columns)
            is_usual = reading.rows == ROWS and not reading.indexed
            yield from map(_frame, found) if is_usual else _gathered(found)
        except (*NO_PARQUET, NoPageError) as error:
            problem = f"it is damaged: {str(error)[:200]}"
            raise RefusedFileError(self._name, problem) from None

    def _pieces(
        self, reading: Reading, columns: Collection[str] | None
    ) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in self._read(reading, None if columns is None else sorted(columns)):
            # What says text may hold any bytes, which Polars takes for UTF-8 unseen.
            batch.validate(full=True)
            yield from pieces(batch, self._name, first)
            first += batch.num_rows

    def _read(self, reading: Reading, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        if not reading.indexed:
            yield from self._file.iter_batches(batch_size=reading.rows, columns=columns)
            return
        file = _opened(self._path, read_dictionary=reading.indexed)
        for group in range(file.num_row_groups):  # Arrow brings no two dictionaries together
            yield from file.iter_batches(reading.rows, row_groups=[group], columns=columns)

    @property
    def lines(self) -> None:
        """It has none."""

    def line_of(self, row: int) -> int | None:  # noqa: ARG002  Parquet has no lines
        return None


def _opened(path: Path, **how: Any) -> pq.ParquetFile:
    return pq.ParquetFile(path, memory_map=True, coerce_int96_timestamp_unit="us", **how)


def _gathered(few: Iterable[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    """Each batch has a price of its own in whatever is made of it."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in few:
        waiting.append(_decoded(batch))
        if len(waiting) == MOST_WAITING:
            waiting = pa.Table.from_batches(waiting).combine_chunks().to_batches()
        rows, size = rows + batch.num_rows, size + expanded(batch)
        if rows >= ROWS or size >= HANDED_ON:
            yield _frame(pa.Table.from_batches(waiting)).rechunk()
            waiting, rows, size = [], 0, 0
    if waiting:
        yield _frame(pa.Table.from_batches(waiting)).rechunk()


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Without dictionaries of its own, of which a few rows may have a large one."""
    for number, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            plain = batch.column(number).dictionary_decode()
            batch = batch.set_column(number, field.name, plain)
    return batch


def _frame(rows: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    """In types that everything takes."""
    known = [field.with_type(known_of(field.type)) for field in rows.schema]
    if known != list(rows.schema):
        rows = rows.cast(pa.schema(known))
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a batch is a frame
    large = [name for name, type_ in frame.schema.items() if type_ == pl.UInt64]
    return frame.with_columns(
        *(
            pl.col(name).cast(plain)
            for name, type_ in frame.schema.items()
            if (plain := _plain(type_)) != type_
        ),
        *(pl.col(name).cast(_LARGE) for name in large if (frame[name] > _HIGHEST).any()),
    )


def _plain(type_: Any) -> Any:
    """Maps as the lists of pairs that they are, texts that are written once as texts."""
    if isinstance(type_, pl.Categorical | pl.Enum):
        return pl.String()
    if isinstance(type_, pl.Map):
        return pl.List(pl.Struct({"key": _plain(type_.key), "value": _plain(type_.value)}))
    if isinstance(type_, pl.List):
        return pl.List(_plain(type_.inner))
    if isinstance(type_, pl.Struct):
        return pl.Struct({field.name: _plain(field.dtype) for field in type_.fields})
    return type_


class JsonLines:
    """One JSON object per line. Its batches may differ in their columns."""

    written = True

    def __init__(self, path: Path, name: str, declared: Points = none) -> None:
        self._path, self._name, self._declared = path, name, declared
        self._gaps = False
        self._decoder, self._known = Decoder(), Known()

    @property
    def lines(self) -> Literal["ndjson"] | None:
        return None if self._gaps else "ndjson"

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        before = 0
        for block in self._blocks():
            for frame in self._frames(block, before):
                there = frame.columns if columns is None else columns
                yield frame.select(c for c in frame if c.name in there)
            before += len(block)
        if not before:
            raise RefusedFileError(self._name, "it is empty: no line in it")

    def line_of(self, row: int) -> int | None:
        """Read once more: empty lines are no rows."""
        with opened(self._path) as file:
            lines = enumerate(self._lines(file), 1)
            filled = (number for number, line in lines if line.strip())
            return next(islice(filled, row, None), None)

    def _frames(self, block: list[bytes], before: int) -> Iterator[pl.DataFrame]:
        if (known := self._known.read(block)) is not None:
            yield known
            return
        rows = self._rows(block, before)
        done = 0
        try:
            for frame in self._decoder.frames(rows, self._declared):
                self._known.learn(frame)
                yield frame
                done += frame.height
        except TooManyFieldsError:
            raise TooManyColumnsError(self._name, line=self.line_of(before + done)) from None
        except MixedError as error:
            row = before + error.row
            raise ColumnConflictError(
                self._name, row, error.column, error.problem, self.line_of(row)
            ) from None

    def _rows(self, block: list[bytes], before: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        try:
            for row in self._decoder.each(block):
                if not isinstance(row, dict):
                    raise self._refused("a JSON object was expected", before + len(rows))
                rows.append(row)
        except NoJsonError as error:
            raise self._refused(f"this is not JSON: {error}", before + len(rows)) from None
        return rows

    def _refused(self, problem: str, row: int) -> RefusedFileError:
        return RefusedFileError(self._name, problem, line=self.line_of(row))

    def _blocks(self) -> Iterator[list[bytes]]:
        block: list[bytes] = []
        size, most = 0, min(FIRST_BLOCK, JSON_BLOCK)
        try:
            with opened(self._path) as file:
                for line in self._lines(file):
                    if line.strip():
                        block.append(line)
                        size += len(line)
                    else:
                        self._gaps = True
                    if size >= most:
                        yield block
                        block, size, most = [], 0, JSON_BLOCK
        except DAMAGED as error:
            raise damaged(self._name, error) from None
        if block:
            yield block

    def _lines(self, file: IO[bytes]) -> Iterator[bytes]:
        """In bounded memory, whatever stands in the file."""
        for number in count(1):
            line = file.readline(JSON_LINE)
            if not line:
                return
            if len(line) == JSON_LINE and not line.endswith(b"\n"):
                problem = f"this line does not end within {JSON_LINE >> 20} MB"
                raise RefusedFileError(self._name, problem, line=number)
            yield line


def format_of(name: str) -> Format:
    """By its name. Raises `RefusedFileError`."""
    base = name.lower().removesuffix(".gz").removesuffix(".gzip")
    for suffix, format_ in _SUFFIXES.items():
        if base.endswith(suffix):
            return format_
    known = ", ".join(_SUFFIXES)
    problem = f"its name does not say what it is; say `format`, or use one of {known}"
    raise RefusedFileError(name, problem)

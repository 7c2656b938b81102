"""CSV as it comes: any order of columns, BOM, encodings, gzip; read in bounded memory.

Every value is text. What cannot be read is refused with its line; the line is
looked for only then, by reading the file once more.
"""

import codecs
import csv
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, count
from pathlib import Path
from typing import IO, Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from services.executor.ingest.errors import (
    DAMAGED,
    MOST_COLUMNS,
    RefusedFileError,
    TooManyColumnsError,
)
from services.executor.ingest.gaps import UTF_8, Watched
from services.executor.ingest.packed import damaged, is_packed, opened

BLOCK = 2 << 20
"""Parsed at once, as it fits the processor's caches; no row may be longer."""
BATCH_ROWS, BATCH_BYTES = 50_000, 32 << 20
"""Handed on at once: each batch has a price of its own in whatever is made of it."""
csv.field_size_limit(BLOCK)
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_FAMILY = len("utf-8")
_SEPARATORS = ",;\t|"
_TEXT = 'a,"b"\n'
_OPEN = "a quote is opened in this row and never closed"
_WRONG = {
    "expected after": (
        "a quote is closed in this row, and neither a delimiter nor the end of the line"
        " follows: write quotes within a value twice"
    ),
    "unexpected end of data": _OPEN,
}
"""Of quotes, by what is said of them."""
_END = "\0"
"""A last line that is put behind a file's own."""


class _EndlessError(Exception):
    """A line does not end within what a row may have."""


_UNREADABLE = (*DAMAGED, UnicodeError, csv.Error, _EndlessError)


@dataclass(frozen=True, slots=True)
class CsvOptions:
    delimiter: str = ","
    encoding: str = ""
    """Empty: as its first bytes say, else UTF-8."""


class CsvFile:
    """One CSV file on disk; `name` is what its sender calls it."""

    written = False

    def __init__(self, path: Path, name: str, options: CsvOptions) -> None:
        """Raises `RefusedFileError` when it has no usable header."""
        self._path, self._name, self._options = path, name, options
        self._gzipped = is_packed(path)
        if options.encoding and not _is_known(options.encoding):
            raise RefusedFileError(name, f"encoding {options.encoding!r} is not known")
        self.encoding = self._marked(options.encoding)
        self.header, self._is_alone = self._header()
        self._gaps = False

    @property
    def lines(self) -> Literal["csv"] | None:
        """A row's line is told by the rows before it, if there is but one line more."""
        return None if self._gaps or any(map(_breaks, self.header)) else "csv"

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """The columns first, without rows. Raises `RefusedFileError`: then use none of it."""
        only = [name for name in self.header if columns is None or name in columns]
        bad: list[Any] = []

        def refuse(row: Any) -> str:
            bad.append(row)
            return "error"

        try:
            yield pl.DataFrame(schema=dict.fromkeys(only, pl.String()))
            if self._is_alone:
                return
            with (
                pa.input_stream(str(self._path), compression=self._compression) as stream,
                Watched(stream, self.encoding, self._options.delimiter) as watched,
            ):
                source = pa.PythonFile(watched, mode="r")
                # The last column tells how the file ends, also when nobody asks for it.
                end, last = self.header[-1], ""
                how = self._how(refuse, list(dict.fromkeys([*only, end])))
                for batch in _gathered(pa_csv.open_csv(source, **how)):
                    last = batch[end][-1] if batch.height else last
                    yield batch[only]
                self._gaps = watched.gaps
            if watched.quotes.doubtful:
                self._refuse_stray()
            if watched.quotes.odd or _breaks(last):
                self._refuse_open()
        except pa.ArrowInvalid as error:
            raise self._refusal(error, bad) from None
        except UnicodeError as error:
            raise self._undecodable(error) from None
        except DAMAGED as error:
            raise damaged(self._name, error) from None

    def line_of(self, row: int) -> int | None:
        """The line that the row with this number (from 0, without header) begins on."""
        numbers = count(-1)
        return self._first_line(lambda _: next(numbers) == row)

    def _first_line(self, wanted: Callable[[list[str]], bool]) -> int | None:
        """The line on which the first such row begins; None when it cannot be told."""
        with suppress(*_UNREADABLE), self._text() as text:
            reader = csv.reader(_lines(text), delimiter=self._options.delimiter)
            before = 0
            for fields in reader:
                if fields and wanted(fields):
                    return before + 1
                before = reader.line_num
        return None

    @property
    def _compression(self) -> str | None:
        return "gzip" if self._gzipped else None

    def _how(self, refuse: Any, only: list[str]) -> dict[str, Any]:
        encoding = "utf8" if self.encoding in UTF_8 else self.encoding
        return {
            "read_options": pa_csv.ReadOptions(
                block_size=BLOCK,
                encoding=encoding,
                column_names=self.header,
                skip_rows_after_names=1,  # the header, which may have several lines
            ),
            "parse_options": pa_csv.ParseOptions(
                delimiter=self._options.delimiter,
                newlines_in_values=True,
                invalid_row_handler=refuse,
            ),
            "convert_options": pa_csv.ConvertOptions(
                column_types=dict.fromkeys(only, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,  # it was when it was read
                include_columns=only,
            ),
        }

    def _header(self) -> tuple[list[str], bool]:
        """The names, and whether nothing follows them."""
        try:
            with self._text() as text:
                reader = csv.reader(_lines(text), delimiter=self._options.delimiter)
                header = next(reader, [])
                is_alone = not text.read(1)
        except _EndlessError:
            raise self._endless() from None
        except UnicodeError as error:
            raise self._undecodable(error) from None
        except DAMAGED as error:
            raise damaged(self._name, error) from None
        except csv.Error as error:
            raise RefusedFileError(self._name, f"its header cannot be read: {error}") from None
        self._check_names(header)
        if is_alone:
            self._refuse_stray()
            self._refuse_open()
        return header, is_alone

    def _check_names(self, header: list[str]) -> None:
        if not any(header):
            raise RefusedFileError(self._name, "it is empty; a header line was expected", line=1)
        if "" in header:
            place = f"number {header.index('') + 1}"
            raise RefusedFileError(self._name, "this column has no name", line=1, column=place)
        if len(header) > MOST_COLUMNS:
            raise TooManyColumnsError(self._name, line=1, column=header[MOST_COLUMNS][:80])
        self._check_delimiter(header)
        seen: set[str] = set()
        for number, name in enumerate(header, 1):
            if "\0" in name:
                problem = "its name has a character 0; say the file's `encoding`, e.g. utf-16-le"
                raise RefusedFileError(self._name, problem, line=1, column=f"number {number}")
            if name in seen:
                raise RefusedFileError(
                    self._name, "two columns have this name", line=1, column=name
                )
            seen.add(name)

    def _check_delimiter(self, header: list[str]) -> None:
        """One column whose name has what divides those of other files is several."""
        other = next((each for each in _SEPARATORS if each in header[0]), None)
        if len(header) == 1 and other is not None:
            problem = f"it would be the only column: say `delimiter`, which may be {other!r}"
            if header[0].startswith("sep="):
                problem += ", and leave this line out"
            raise RefusedFileError(self._name, problem, line=1, column=header[0][:80])

    def _refusal(self, error: pa.ArrowInvalid, bad: list[Any]) -> RefusedFileError:
        if bad:
            self._refuse_stray()  # of which so many values may come
            expected, found = bad[0].expected_columns, bad[0].actual_columns
            problem = f"this row has {found} values where the header has {expected} columns"
            line = self._first_line(lambda fields: len(fields) != expected)
            return RefusedFileError(self._name, problem, line=line)
        if "UTF8" in str(error) or "UTF-8" in str(error):
            return self._undecodable(error)
        if "straddling" in str(error):
            return self._endless()
        return RefusedFileError(self._name, f"it cannot be read as CSV: {error}")

    def _endless(self) -> RefusedFileError:
        problem = f"a row does not end within {BLOCK >> 20} MB: a quote may be left open"
        return RefusedFileError(self._name, problem, line=self._endless_line())

    def _endless_line(self) -> int | None:
        """The line on which the first row begins that is too long."""
        begun, length, is_open = 1, 0, False
        with suppress(*_UNREADABLE), self._text() as text:
            for number in count(1):
                line = text.readline(BLOCK)
                if not is_open:
                    begun, length = number, 0
                length += len(line.encode())
                is_open ^= line.count('"') % 2 == 1
                if length >= BLOCK:
                    return begun
                if not line:
                    return None
        return None

    def _refuse_stray(self) -> None:
        """What follows it would be read as one value with what came before, rows and all."""
        line, problem = self._stray()
        if problem:
            raise RefusedFileError(self._name, problem, line=line)

    def _stray(self) -> tuple[int, str]:
        """The line on which the first row with such a quote begins, or one that is left open."""
        with suppress(*_UNREADABLE), self._text() as text:
            reader = csv.reader(_lines(text), delimiter=self._options.delimiter, strict=True)
            before = 0
            while True:
                try:
                    if next(reader, None) is None:
                        break
                except csv.Error as error:
                    said = (problem for sign, problem in _WRONG.items() if sign in str(error))
                    return before + 1, next(said, "")
                before = reader.line_num
        return 0, ""

    def _refuse_open(self) -> None:
        """Such a value would swallow all rows behind it."""
        if (line := self._open_line()) is not None:
            raise RefusedFileError(self._name, _OPEN, line=line)

    def _open_line(self) -> int | None:
        """The line on which the last row begins, if the end of the file is within a value."""
        with suppress(*_UNREADABLE), self._text() as text:
            reader = csv.reader(chain(_lines(text), [_END]), delimiter=self._options.delimiter)
            begun = before = 0
            for _ in reader:
                begun, before = before, reader.line_num
            return begun + 1 if before - begun > 1 else None
        return None

    def _undecodable(self, error: BaseException) -> RefusedFileError:
        reason = f"it is not {self.encoding.upper()} text ({type(error).__name__}); "
        hint = "say which encoding it has with `encoding`, e.g. latin-1"
        return RefusedFileError(self._name, reason + hint, line=self._undecodable_line())

    def _undecodable_line(self) -> int | None:
        decoder, line = codecs.getincrementaldecoder(self.encoding)(), 1
        with suppress(*DAMAGED), opened(self._path) as raw:
            while True:
                piece = raw.read(BLOCK)
                try:
                    decoder.decode(piece, final=not piece)
                except UnicodeDecodeError as error:
                    return line + error.object[: error.start].count(b"\n")
                if not piece:
                    return None
                line += piece.count(b"\n")
        return None

    def _marked(self, said: str) -> str:
        """As said, or as it is marked where that is the same, or nothing is said."""
        marked = self._guess()
        family = codecs.lookup(said).name[:_FAMILY] if said else ""
        return marked if marked.startswith(family) else said

    def _guess(self) -> str:
        try:
            with opened(self._path) as raw:
                first = raw.read(4)
        except DAMAGED as error:
            raise damaged(self._name, error) from None
        return next((name for bom, name in _BOMS if first.startswith(bom)), "utf-8")

    def _text(self) -> IO[str]:
        return TextIOWrapper(opened(self._path), encoding=self.encoding, newline="")


def _lines(text: IO[str]) -> Iterator[str]:
    """In bounded memory, whatever stands in the file."""
    while line := text.readline(BLOCK):
        if len(line) == BLOCK and not line.endswith(("\n", "\r")):
            raise _EndlessError
        yield line


def _breaks(value: str) -> bool:
    return "\n" in value or "\r" in value


def _gathered(parsed: Iterable[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in parsed:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield _frame(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield _frame(waiting)


def _frame(batches: list[pa.RecordBatch]) -> pl.DataFrame:
    # In one piece: whatever is made of a batch would be made of each of its pieces.
    frame = pl.from_arrow(pa.Table.from_batches(batches).combine_chunks())
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is a frame
    return frame


def _is_known(encoding: str) -> bool:
    """Whether it is one of texts, byte by byte: there are others by that name."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        return "".join(decoder.decode(bytes([each])) for each in _TEXT.encode(encoding)) == _TEXT
    except (LookupError, ValueError):
        return False

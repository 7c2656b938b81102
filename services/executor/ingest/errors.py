"""What goes wrong with a delivery, phrased for the tenant who sent it.

IngestError
├── NothingDeliveredError   no file, or only empty ones
├── NoSliceError            a table does not hold what a step is to read
├── ChangedError            a file was replaced while it was read; trying again may help
├── NotKeptError            a delivery is in BigQuery alone, where no step can read it
├── RefusedColumnError      BigQuery made a column of a file that its table cannot have
└── RefusedFileError        a file cannot be read as it should be: file, line, column
    ├── TooManyColumnsError   a table cannot have them
    └── ColumnConflictError   a value is not of the type that its column has elsewhere
"""

import zlib

from contracts.loading import WAY_OUT

MOST_COLUMNS = 10_000
"""That a table of BigQuery may have."""
DAMAGED = (OSError, EOFError, zlib.error)
"""What Python raises where a file is not whole, or was packed wrongly."""


class IngestError(Exception):
    """Base; `code` is stable. Nothing of the delivery has been loaded."""

    code = "ingest_error"


class NothingDeliveredError(IngestError):
    code = "nothing_delivered"

    def __init__(self, pattern: str, where: str, hint: str = "") -> None:
        more = f"; {hint}" if hint else ""
        super().__init__(f"no file matches {pattern!r} in {where}{more}")


class NoSliceError(IngestError):
    code = "nothing_delivered"

    def __init__(self, table: str, slice_: str) -> None:
        super().__init__(f"{table} holds no slice {slice_}: let an ingest step fill it first")


class ChangedError(IngestError):
    code = "delivery_changed"

    def __init__(self, file: str, how: str = "replaced or deleted after it was listed") -> None:
        super().__init__(f"{file} was {how}")


class NotKeptError(IngestError):
    code = "not_kept"

    def __init__(self, table: str, slice_: str) -> None:
        super().__init__(
            f"{table}, slice {slice_}: BigQuery loaded its files itself, and nothing of them is"
            f" kept that a step could read; {WAY_OUT}, and run that step again"
        )


class RefusedColumnError(IngestError):
    code = "column_refused"

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"column {column}: {problem}; {WAY_OUT}")


class RefusedFileError(IngestError):
    code = "file_refused"

    def __init__(
        self, file: str, problem: str, *, line: int | None = None, column: str = ""
    ) -> None:
        self.file, self.line, self.column, self.problem = file, line, column, problem
        place = file
        if line is not None:
            place += f", line {line}"
        if column:
            place += f", column {column}"
        super().__init__(f"{place}: {problem}")


class TooManyColumnsError(RefusedFileError):
    def __init__(self, file: str, *, line: int | None = None, column: str = "") -> None:
        problem = (
            f"no table has more than {MOST_COLUMNS:,} columns: write what differs from row to row"
            " as values, of a column for the names and one for what they say"
        )
        super().__init__(file, problem, line=line, column=column)


class ColumnConflictError(RefusedFileError):
    code = "column_conflict"

    def __init__(  # noqa: PLR0913  where it is, and what is wrong
        self,
        file: str,
        row: int,
        column: str,
        problem: str,
        line: int | None = None,
        *,
        given: bool = False,
    ) -> None:
        """`row` is its number in the file, from zero; a type that is given is the table's."""
        self.row, self._said, self._given = row, problem, given
        place = f"row {row + 1}: " if line is None else ""
        advice = "name another `target_table`" if given else "declare its type in `columns`"
        whole = f"{place}{problem}; {advice}"
        super().__init__(file, whole, line=line, column=column)

    def at(self, line: int | None) -> "ColumnConflictError":
        """The same, once it is known on which line that is."""
        return ColumnConflictError(
            self.file, self.row, self.column, self._said, line, given=self._given
        )

"""What goes wrong with a delivery, phrased for the tenant who sent it.

IngestError
├── NothingDeliveredError   no file, or only empty ones
├── ChangedError            a file was replaced while it was read; trying again may help
└── RefusedFileError        a file cannot be read as it should be: file, line, column
"""

import zlib

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


class ChangedError(IngestError):
    code = "delivery_changed"

    def __init__(self, file: str) -> None:
        super().__init__(f"{file} was replaced or deleted after it was listed")


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

"""What goes wrong with a warehouse.

WarehouseError
├── UnavailableError      no answer; trying again is safe
├── ForeignDatasetError   a dataset of that name was made by, or for, somebody else
├── MissingObjectError    a view or table needs another object, which is not there
├── SchemaConflictError   a declared table differs in a way that no addition mends
├── RowRejectedError      a row does not fit its table
└── JobFailedError        a job ran and failed; `retryable` says whether to try anew
"""

from libs.outages import OutageError

ROWS_GONE = "rowsGone"
"""Ours: the job ended well, but what it gave is kept no more; only under another id is it had."""
FAULTS = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "tableUnavailable",
        ROWS_GONE,
    }
)
CONFLICT = "due to concurrent update"
"""In what BigQuery says of a transaction that lost against another on its table: no reason does."""
RETRYABLE_REASONS = FAULTS | {"jobRateLimitExceeded", "quotaExceeded", "rateLimitExceeded"}


class WarehouseError(Exception):
    """Base of what a warehouse raises."""


class UnavailableError(WarehouseError, OutageError):
    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        """What was asked; the reason names hosts, which are nothing for tenants."""
        super().__init__(f"BigQuery is not available for {what}: {reason}")


class ForeignDatasetError(WarehouseError):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"dataset {name} exists and is not labelled as ours")


class MissingObjectError(WarehouseError):
    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} cannot be made: {reason}")


class SchemaConflictError(WarehouseError):
    def __init__(self, table: str, column: str, declared: str, found: str) -> None:
        self.table, self.column = table, column
        super().__init__(
            f"{table}.{column} is declared {declared} but is {found}: only columns may be "
            "added in place; recreate the table, which takes a snapshot first"
        )


class RowRejectedError(WarehouseError):
    def __init__(self, table: str, reason: str, index: int | None = None) -> None:
        self.table, self.index = table, index
        where = table if index is None else f"{table}, row {index}"
        super().__init__(f"{where} was rejected: {reason}")


class JobFailedError(WarehouseError):
    def __init__(self, job_id: str, reason: str, message: str) -> None:
        self.job_id, self.reason, self.message = job_id, reason, message
        super().__init__(f"job {job_id} failed ({reason}): {message}")

    @property
    def retryable(self) -> bool:
        return self.is_fault or self.reason in RETRYABLE_REASONS

    @property
    def is_fault(self) -> bool:
        """Whether BigQuery, or what else goes on there, is to blame and nothing that was asked."""
        return self.reason in FAULTS or CONFLICT in self.message

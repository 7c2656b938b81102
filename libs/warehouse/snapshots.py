"""Copies of a whole dataset, and their way back. Blocking; for commands.

Restoring appends: our logs keep every row they are given and are read through
views that keep one row per event, so what was recorded since is not lost and what
is there twice counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import requests
from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from libs.warehouse.errors import WarehouseError
from libs.warehouse.warehouse import WarehouseSettings, client_of

FAILURES = (GoogleAPICallError, GoogleAuthError, RetryError, requests.RequestException)
TIMEOUT = 30.0
COPY_SECONDS = 3600.0
LABELS = {"convergence": "snapshot"}
T = TypeVar("T")


def snapshot_name(dataset: str, moment: datetime) -> str:
    return f"{dataset}_snapshot_{moment:%Y%m%d_%H%M%S}"


class SnapshotError(WarehouseError):
    def __init__(self, doing: str, reason: str) -> None:
        super().__init__(f"{doing} failed: {reason}")


@dataclass(frozen=True, slots=True)
class Copied:
    table: str
    rows: int


class Snapshots:
    """Snapshots of one dataset, each a dataset of its own beside it."""

    def __init__(self, settings: WarehouseSettings, dataset: str) -> None:
        self._client = client_of(settings)
        self._dataset = dataset
        self._location = settings.location

    def take(self, moment: datetime) -> tuple[str, list[Copied]]:
        """Copy every table; returns the snapshot's name and what it holds."""
        name = snapshot_name(self._dataset, moment)
        tables = self._tables(self._dataset)
        self._asked(f"creating {name}", lambda: self._create(name))
        return name, [self._copy(self._dataset, name, table, "WRITE_EMPTY") for table in tables]

    def restore(self, snapshot: str) -> list[Copied]:
        """Append every table of a snapshot to its origin, which is made if it is gone."""
        if not snapshot.startswith(f"{self._dataset}_snapshot_"):
            raise SnapshotError("restoring", f"{snapshot} is no snapshot of {self._dataset}")
        tables = self._tables(snapshot)
        if not tables:
            raise SnapshotError("restoring", f"{snapshot} is not there or holds no table")
        return [self._copy(snapshot, self._dataset, table, "WRITE_APPEND") for table in tables]

    def names(self) -> list[str]:
        def call() -> list[str]:
            found = self._client.list_datasets(timeout=TIMEOUT)
            start = f"{self._dataset}_snapshot_"
            return sorted(d.dataset_id for d in found if d.dataset_id.startswith(start))

        return self._asked("listing snapshots", call)

    def _create(self, name: str) -> None:
        dataset = bigquery.Dataset(f"{self._client.project}.{name}")
        dataset.location = self._location
        dataset.labels = dict(LABELS)
        self._client.create_dataset(dataset, timeout=TIMEOUT)

    def _tables(self, dataset: str) -> list[str]:
        def call() -> list[str]:
            try:
                found = self._client.list_tables(
                    f"{self._client.project}.{dataset}", timeout=TIMEOUT
                )
                return sorted(t.table_id for t in found if t.table_type == "TABLE")
            except NotFound:
                return []

        return self._asked(f"listing {dataset}", call)

    def _copy(self, source: str, target: str, table: str, disposition: str) -> Copied:
        def call() -> Copied:
            project = self._client.project
            config = bigquery.CopyJobConfig(write_disposition=disposition)
            self._client.copy_table(
                f"{project}.{source}.{table}",
                f"{project}.{target}.{table}",
                job_config=config,
                timeout=TIMEOUT,
            ).result(timeout=COPY_SECONDS)
            return Copied(table, self._rows(f"{project}.{source}.{table}"))

        return self._asked(f"copying {source}.{table} to {target}", call)

    def _rows(self, path: str) -> int:
        sql = f"SELECT COUNT(*) AS n FROM `{path}`"  # noqa: S608  names that BigQuery listed
        (row,) = self._client.query_and_wait(sql)
        return int(row["n"])

    def _asked(self, doing: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except FAILURES as error:
            raise SnapshotError(doing, f"{type(error).__name__}: {str(error)[:500]}") from error

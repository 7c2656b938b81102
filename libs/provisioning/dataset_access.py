"""Who may write a dataset: BigQuery keeps that in the dataset itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.provisioning.change import Change
from libs.provisioning.rest import Rest

URL = "https://bigquery.googleapis.com/bigquery/v2"
WRITER = "WRITER"


@dataclass(frozen=True, slots=True)
class DatasetAccess:
    rest: Rest
    project: str
    dataset: str
    emails: Sequence[str]

    def diff(self) -> list[Change]:
        entries = (self.rest.get(self._url) or {}).get("access", [])
        return [
            Change(f"grant {WRITER} to {email} on dataset {self.dataset}")
            for email in self._missing(entries)
        ]

    def apply(self) -> list[Change]:
        changes = self.diff()
        if changes:
            entries = (self.rest.get(self._url) or {}).get("access", [])
            added = [{"role": WRITER, "userByEmail": email} for email in self._missing(entries)]
            self.rest.send("PATCH", self._url, {"access": [*entries, *added]})
        return changes

    @property
    def _url(self) -> str:
        return f"{URL}/projects/{self.project}/datasets/{self.dataset}"

    def _missing(self, entries: Sequence[Any]) -> list[str]:
        writers = {e.get("userByEmail") for e in entries if e.get("role") == WRITER}
        return [email for email in self.emails if email not in writers]

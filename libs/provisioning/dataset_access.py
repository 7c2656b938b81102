"""Who may use a dataset: BigQuery keeps that in the dataset itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from libs.provisioning.change import Change
from libs.provisioning.rest import Rest

URL = "https://bigquery.googleapis.com/bigquery/v2"
WRITER = "WRITER"


class Grantee(Protocol):
    """Somebody who is let into a dataset, and how."""

    @property
    def entry(self) -> Mapping[str, Any]:
        """As BigQuery lists it."""

    def is_in(self, entry: Mapping[str, Any]) -> bool: ...

    def told(self, dataset: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Writer:
    email: str

    @property
    def entry(self) -> Mapping[str, Any]:
        return {"role": WRITER, "userByEmail": self.email}

    def is_in(self, entry: Mapping[str, Any]) -> bool:
        return self.entry.items() <= entry.items()

    def told(self, dataset: str) -> str:
        return f"grant {WRITER} to {self.email} on dataset {dataset}"


@dataclass(frozen=True, slots=True)
class Views:
    """Views of another dataset may read this one, whoever looks at them."""

    project: str
    dataset: str

    @property
    def entry(self) -> Mapping[str, Any]:
        where = {"projectId": self.project, "datasetId": self.dataset}
        return {"dataset": {"dataset": where, "targetTypes": ["VIEWS"]}}

    def is_in(self, entry: Mapping[str, Any]) -> bool:
        return bool(entry.get("dataset", {}).get("dataset", {}).get("datasetId") == self.dataset)

    def told(self, dataset: str) -> str:
        return f"let views of {self.dataset} read dataset {dataset}"


@dataclass(frozen=True, slots=True)
class DatasetAccess:
    rest: Rest
    project: str
    dataset: str
    grantees: Sequence[Grantee]

    def diff(self) -> list[Change]:
        return [Change(one.told(self.dataset)) for one in self._missing(self._entries())]

    def apply(self) -> list[Change]:
        entries = self._entries()
        missing = self._missing(entries)
        if missing:
            added = [one.entry for one in missing]
            self.rest.send("PATCH", self._url, {"access": [*entries, *added]})
        return [Change(one.told(self.dataset)) for one in missing]

    @property
    def _url(self) -> str:
        return f"{URL}/projects/{self.project}/datasets/{self.dataset}"

    def _entries(self) -> list[Any]:
        return list((self.rest.get(self._url) or {}).get("access", []))

    def _missing(self, entries: Sequence[Any]) -> list[Grantee]:
        return [one for one in self.grantees if not any(map(one.is_in, entries))]

"""Tenants' datasets as BigQuery knows them, and who may see through their views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from libs.provisioning.change import Change
from libs.provisioning.dataset_access import URL
from libs.provisioning.rest import Rest

OURS, OF_TENANT = "convergence", "convergence_tenant"
MOST_AUTHORIZED = 2_500
"""That is as many as BigQuery lets into one dataset."""


@dataclass(frozen=True, slots=True)
class TenantDataset:
    tenant_id: str
    dataset: str


def tenant_datasets(rest: Rest, project: str) -> Iterator[TenantDataset]:
    """Those that provisioning made, by their labels."""
    page = ""
    while True:
        asked = f"{URL}/projects/{project}/datasets?filter=labels.{OURS}:tenant&maxResults=1000"
        found = rest.get(f"{asked}&pageToken={page}" if page else asked) or {}
        for one in found.get("datasets", []):
            tenant = one.get("labels", {}).get(OF_TENANT, "")
            if tenant:
                yield TenantDataset(tenant, one["datasetReference"]["datasetId"])
        page = found.get("nextPageToken", "")
        if not page:
            return


@dataclass(frozen=True, slots=True)
class AuthorizedViews:
    """The platform's views in tenants' datasets may read this dataset of the platform's own."""

    rest: Rest
    project: str
    dataset: str
    viewers: Sequence[str]

    def diff(self) -> list[Change]:
        missing = self._missing(self._entries())
        changes = [Change(f"let views of {name} read dataset {self.dataset}") for name in missing]
        if len(self.viewers) > MOST_AUTHORIZED:
            said = f"{self.dataset} lets in {MOST_AUTHORIZED} datasets at most: use more projects"
            changes.append(Change(said, by_hand=True))
        return changes

    def apply(self) -> list[Change]:
        changes = self.diff()
        entries = self._entries()
        if missing := self._missing(entries):
            added = [self._entry(name) for name in missing]
            self.rest.send("PATCH", self._url, {"access": [*entries, *added]})
        return changes

    @property
    def _url(self) -> str:
        return f"{URL}/projects/{self.project}/datasets/{self.dataset}"

    def _entries(self) -> list[Any]:
        return list((self.rest.get(self._url) or {}).get("access", []))

    def _entry(self, name: str) -> dict[str, Any]:
        where = {"projectId": self.project, "datasetId": name}
        return {"dataset": {"dataset": where, "targetTypes": ["VIEWS"]}}

    def _missing(self, entries: Sequence[Any]) -> list[str]:
        there = {entry.get("dataset", {}).get("dataset", {}).get("datasetId") for entry in entries}
        return [name for name in self.viewers[:MOST_AUTHORIZED] if name not in there]

"""Tenants' datasets as BigQuery knows them, and who may see through their views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from libs.provisioning.change import Change
from libs.provisioning.dataset_access import URL, DatasetAccess, Views
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
        return [*self._access.diff(), *self._left_out]

    def apply(self) -> list[Change]:
        return [*self._access.apply(), *self._left_out]

    @property
    def _access(self) -> DatasetAccess:
        views = [Views(self.project, name) for name in self.viewers[:MOST_AUTHORIZED]]
        return DatasetAccess(self.rest, self.project, self.dataset, views)

    @property
    def _left_out(self) -> list[Change]:
        if len(self.viewers) <= MOST_AUTHORIZED:
            return []
        said = f"{self.dataset} lets in {MOST_AUTHORIZED} datasets at most: use more projects"
        return [Change(said, by_hand=True)]

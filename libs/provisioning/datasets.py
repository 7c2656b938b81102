"""System datasets: created, and labelled as the platform's."""

from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from requests import RequestException

from libs.provisioning.change import Change, ProvisioningError
from libs.warehouse import migrate
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import WarehouseSettings, client_of

FAILURES = (GoogleAPICallError, GoogleAuthError, RequestException)
TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class SystemDataset:
    """One dataset as it should be; its tables are made by the service that owns them."""

    project: str
    wanted: Dataset
    location: str
    endpoint: str = ""

    def diff(self) -> list[Change]:
        try:
            found = self._client().get_dataset(self._name, timeout=TIMEOUT)
        except NotFound:
            return [Change(f"create dataset {self.wanted.name} in {self.location}")]
        except FAILURES as error:
            raise ProvisioningError(f"reading dataset {self.wanted.name}", error) from error
        return self._compare(found)

    def _compare(self, found: Any) -> list[Change]:
        if found.location.upper() == self.location.upper():
            return []
        where = f"it is in {found.location}, not {self.location}"
        return [Change(f"move by hand dataset {self.wanted.name}: {where}", by_hand=True)]

    def apply(self) -> list[Change]:
        changes = self.diff()
        try:
            if any(not change.by_hand for change in changes):
                migrate.ensure(self._client(), self.wanted, self.location)
        except FAILURES as error:
            raise ProvisioningError(f"creating dataset {self.wanted.name}", error) from error
        return changes

    @property
    def _name(self) -> str:
        return f"{self.project}.{self.wanted.name}"

    def _client(self) -> bigquery.Client:
        return client_of(WarehouseSettings(self.project, self.location, self.endpoint))

"""A bucket of the platform's own: private, with uniform access.

Soft deletes are off: a credential's ciphertext, or a delivery, that is deleted has to be gone.
"""

from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Client
from requests import RequestException

from libs.provisioning.change import Change, ProvisioningError

FAILURES = (GoogleAPICallError, GoogleAuthError, RequestException)
TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class PrivateBucket:
    """One bucket as it should be."""

    project: str
    name: str
    location: str
    endpoint: str = ""

    def diff(self) -> list[Change]:
        try:
            found = self._client().lookup_bucket(self.name, timeout=TIMEOUT)
        except FAILURES as error:
            raise ProvisioningError(f"reading bucket {self.name}", error) from error
        if found is None:
            return [Change(f"create bucket {self.name} in {self.location}")]
        return self._compare(found)

    def _compare(self, found: Any) -> list[Change]:
        changes = []
        if not self.endpoint and found.location.upper() != self.location.upper():
            where = f"it is in {found.location}, not {self.location}"
            changes.append(Change(f"move by hand bucket {self.name}: {where}", by_hand=True))
        if not found.iam_configuration.uniform_bucket_level_access_enabled:
            changes.append(Change(f"update bucket {self.name} (uniform access)"))
        if found.soft_delete_policy.retention_duration_seconds:
            changes.append(Change(f"update bucket {self.name} (no soft deletes)"))
        return changes

    def apply(self) -> list[Change]:
        changes = self.diff()
        try:
            if any(not change.by_hand for change in changes):
                self._make_so()
        except FAILURES as error:
            raise ProvisioningError(f"changing bucket {self.name}", error) from error
        return changes

    def _make_so(self) -> None:
        client = self._client()
        bucket = client.bucket(self.name)
        try:
            bucket.reload(timeout=TIMEOUT)
        except NotFound:
            bucket.iam_configuration.uniform_bucket_level_access_enabled = True
            bucket.iam_configuration.public_access_prevention = "enforced"
            bucket.soft_delete_policy.retention_duration_seconds = 0
            client.create_bucket(bucket, location=self.location, timeout=TIMEOUT)
            return
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.iam_configuration.public_access_prevention = "enforced"
        bucket.soft_delete_policy.retention_duration_seconds = 0
        bucket.patch(timeout=TIMEOUT)

    def _client(self) -> Client:
        if not self.endpoint:
            return Client(project=self.project)
        return Client(
            project=self.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.endpoint},
        )

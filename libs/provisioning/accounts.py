"""Service accounts and roles of our own."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.provisioning.change import Change
from libs.provisioning.rest import Rest
from libs.warehouse.accounts import email_of

IAM = "https://iam.googleapis.com/v1"
PROJECTS = "https://cloudresourcemanager.googleapis.com/v1/projects"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    rest: Rest
    project: str
    account_id: str
    title: str

    def diff(self) -> list[Change]:
        email = email_of(self.account_id, self.project)
        if self.rest.get(f"{IAM}/projects/{self.project}/serviceAccounts/{email}") is not None:
            return []
        return [Change(f"create service account {email}")]

    def apply(self) -> list[Change]:
        changes = self.diff()
        if changes:
            body = {
                "accountId": self.account_id,
                "serviceAccount": {"displayName": self.title},
            }
            self.rest.send("POST", f"{IAM}/projects/{self.project}/serviceAccounts", body)
        return changes


@dataclass(frozen=True, slots=True)
class CustomRole:
    rest: Rest
    project: str
    role_id: str
    title: str
    permissions: Sequence[str]

    def diff(self) -> list[Change]:
        found = self.rest.get(self._url)
        if found is None:
            return [Change(f"create role {self.role_id}")]
        if sorted(found.get("includedPermissions", [])) != sorted(self.permissions):
            return [Change(f"update role {self.role_id} (permissions)")]
        return []

    def apply(self) -> list[Change]:
        changes = self.diff()
        role = {"title": self.title, "includedPermissions": sorted(self.permissions), "stage": "GA"}
        for change in changes:
            if change.what.startswith("create"):
                body = {"roleId": self.role_id, "role": role}
                self.rest.send("POST", f"{IAM}/projects/{self.project}/roles", body)
            else:
                self.rest.send("PATCH", self._url, role)
        return changes

    @property
    def _url(self) -> str:
        return f"{IAM}/projects/{self.project}/roles/{self.role_id}"


def project_number(rest: Rest, project: str) -> str:
    """By which Google names its own accounts in a project; empty for no such project."""
    found = rest.get(f"{PROJECTS}/{project}")
    return str(found["projectNumber"]) if found else ""

"""Secrets of the platform: made once, from randomness, and never shown."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import google_crc32c
import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from libs.provisioning.change import Change, ProvisioningError

CALL_SECONDS = 20.0
SECRET_BYTES = 32
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RandomSecret:
    """A secret that has at least one version."""

    project: str
    name: str
    endpoint: str = ""
    prefix: str = ""

    def diff(self) -> list[Change]:
        if self._asked("reading", self._exists):
            return []
        return [Change(f"create secret {self.name} with a random value")]

    def apply(self) -> list[Change]:
        changes = self.diff()
        if changes:
            self._asked("creating", self.add_version)
        return changes

    def add_version(self) -> str:
        """Add a new random value, which is the latest from then on; returns its name."""
        client = self._client()
        with suppress(AlreadyExists):  # it gets one more version
            client.create_secret(
                request={
                    "parent": f"projects/{self.project}",
                    "secret_id": self.name,
                    "secret": {"replication": {"automatic": {}}},
                },
                timeout=CALL_SECONDS,
            )
        data = f"{self.prefix}{secrets.token_hex(SECRET_BYTES)}".encode()
        payload = {"data": data, "data_crc32c": google_crc32c.value(data)}
        made = client.add_secret_version(
            request={"parent": self._path, "payload": payload}, timeout=CALL_SECONDS
        )
        return str(made.name)

    @property
    def _path(self) -> str:
        return f"projects/{self.project}/secrets/{self.name}"

    def _exists(self) -> bool:
        try:
            self._client().get_secret_version(
                name=f"{self._path}/versions/latest", timeout=CALL_SECONDS
            )
        except NotFound:
            return False
        return True

    def _asked(self, doing: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (GoogleAPICallError, GoogleAuthError) as error:
            raise ProvisioningError(f"{doing} secret {self.name}", error) from error

    def _client(self) -> SecretManagerServiceClient:
        if not self.endpoint:
            return SecretManagerServiceClient()
        channel = grpc.insecure_channel(self.endpoint)
        return SecretManagerServiceClient(
            transport=SecretManagerServiceGrpcTransport(channel=channel)
        )

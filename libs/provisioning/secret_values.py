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
            self._asked("creating", self._create)
        return changes

    def _create(self) -> str:
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
        return self._add(self._random())

    def _random(self) -> str:
        return f"{self.prefix}{secrets.token_hex(SECRET_BYTES)}"

    def _current(self) -> str:
        """The newest of the values that are valid now."""
        name = f"{self._path}/versions/latest"
        found = self._client().access_secret_version(name=name, timeout=CALL_SECONDS)
        return found.payload.data.decode().partition(",")[0]

    def _add(self, value: str) -> str:
        data = value.encode()
        payload = {"data": data, "data_crc32c": google_crc32c.value(data)}
        made = self._client().add_secret_version(
            request={"parent": self._path, "payload": payload}, timeout=CALL_SECONDS
        )
        return str(made.name)

    def rotate(self) -> str:
        """A new value before the current one, both valid; returns the version's name.

        Its readers take a comma-separated list. `finish` drops the older one.
        """
        current = self._asked("reading", self._current)
        return self._asked("rotating", lambda: self._add(f"{self._random()},{current}"))

    def finish(self) -> str:
        """Keep only the newest value; returns the version's name."""
        current = self._asked("reading", self._current)
        return self._asked("rotating", lambda: self._add(current))

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

"""Secrets of the platform: a file first, then Secret Manager.

SecretError
├── SecretNotFoundError   nowhere; says where it was looked for
└── LooseSecretError      a file that others may read
"""

import asyncio
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import grpc
from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceAsyncClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcAsyncIOTransport,
)

LOG = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
CALL_SECONDS = 5.0
PAUSE_SECONDS = 1.0


class SecretError(Exception):
    """Base of what reading a secret raises. Never carries the secret."""


class SecretNotFoundError(SecretError):
    def __init__(self, name: str, places: list[str]) -> None:
        super().__init__(f"secret {name} is not there; looked in {' and '.join(places)}")


class LooseSecretError(SecretError):
    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(f"{path} has mode {mode:04o}: run `chmod 600 {path}`")


class SecretUnavailableError(SecretError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"secret {name} cannot be read right now: {reason}")


@dataclass(frozen=True, slots=True)
class SecretSettings:
    """Where secrets are."""

    project_id: str
    directory: Path | None = None
    endpoint: str = ""


class Secrets:
    """Safe to share between tasks."""

    def __init__(self, settings: SecretSettings) -> None:
        self._settings = settings
        self._client: SecretManagerServiceAsyncClient | None = None

    @classmethod
    def connect(cls, settings: SecretSettings) -> Self:
        return cls(settings)

    async def get(self, name: str) -> bytes:
        """Raises `SecretError`."""
        if not NAME.fullmatch(name):
            raise SecretNotFoundError(name[:50], ["nowhere: it is no name of a secret"])
        found = self._from_file(name)
        return found if found is not None else await self._from_manager(name)

    async def wait_for(self, name: str) -> bytes:
        """Keep asking until the secret is there, saying what is waited for."""
        said = ""
        while True:
            try:
                return await self.get(name)
            except (SecretNotFoundError, SecretUnavailableError) as error:
                if str(error) != said:
                    LOG.warning("waiting: %s", error)
                said = str(error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.transport.close()

    def _from_file(self, name: str) -> bytes | None:
        if self._settings.directory is None:
            return None
        path = self._settings.directory / name
        if not path.exists():
            return None
        mode = path.stat().st_mode & 0o777
        if mode & 0o077 or path.stat().st_uid != os.getuid():
            raise LooseSecretError(path, mode)
        return path.read_bytes().strip()

    async def _from_manager(self, name: str) -> bytes:
        version = f"projects/{self._settings.project_id}/secrets/{name}/versions/latest"
        try:
            found = await self._connected().access_secret_version(
                name=version, timeout=CALL_SECONDS
            )
        except NotFound:
            places = [str(self._settings.directory)] if self._settings.directory else []
            raise SecretNotFoundError(name, [*places, f"Secret Manager ({version})"]) from None
        except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
            raise SecretUnavailableError(name, type(error).__name__) from error
        data = bytes(found.payload.data)
        if found.payload.data_crc32c != google_crc32c.value(data):
            raise SecretUnavailableError(name, "it arrived damaged")
        return data

    def _connected(self) -> SecretManagerServiceAsyncClient:
        if self._client is None:
            self._client = SecretManagerServiceAsyncClient(transport=self._transport())
        return self._client

    def _transport(self) -> Any:
        if not self._settings.endpoint:
            return None
        channel = grpc.aio.insecure_channel(self._settings.endpoint)
        return SecretManagerServiceGrpcAsyncIOTransport(channel=channel)

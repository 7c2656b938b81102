"""Secrets come from a file that nobody else may read, then from Secret Manager."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.cloud.secretmanager_v1 import (
    Replication,
    Secret,
    SecretManagerServiceClient,
    SecretPayload,
)
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from libs.testing.processes import emulator
from libs.vault.secrets import LooseSecretError, SecretNotFoundError, Secrets, SecretSettings

NAME = "pepper"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with emulator("secret_manager") as running:
        where = f"127.0.0.1:{running.ports['grpc']}"
        transport = SecretManagerServiceGrpcTransport(channel=grpc.insecure_channel(where))
        client = SecretManagerServiceClient(transport=transport)
        everywhere = Replication(automatic=Replication.Automatic())
        client.create_secret(
            parent="projects/p", secret_id=NAME, secret=Secret(replication=everywhere)
        )
        payload = SecretPayload(data=b"hot")
        client.add_secret_version(parent=f"projects/p/secrets/{NAME}", payload=payload)
        yield where


async def test_secret_manager_is_asked_when_there_is_no_file(endpoint: str, tmp_path: Path) -> None:
    secrets = Secrets.connect(SecretSettings("p", tmp_path, endpoint))
    assert await secrets.get("pepper") == b"hot"
    with pytest.raises(SecretNotFoundError, match=f"{tmp_path} and Secret Manager"):
        await secrets.get("salt")
    await secrets.close()


async def test_a_file_comes_first_and_must_be_private(endpoint: str, tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    path.write_text("mild\n")
    secrets = Secrets.connect(SecretSettings("p", tmp_path, endpoint))
    path.chmod(0o640)
    with pytest.raises(LooseSecretError, match="chmod 600"):
        await secrets.get("pepper")
    path.chmod(0o600)
    assert await secrets.get("pepper") == b"mild"


async def test_a_name_cannot_leave_the_folder(endpoint: str, tmp_path: Path) -> None:
    secrets = Secrets.connect(SecretSettings("p", tmp_path / "inner", endpoint))
    with pytest.raises(SecretNotFoundError, match="no name"):
        await secrets.get("../pepper")

"""Secret Manager on a loopback port.

python -m libs.local_cloud.secret_manager --port 9301 --state-dir .local/secret_manager
"""

import time
from collections.abc import Sequence
from typing import Any

import google_crc32c
import grpc
from google.cloud.secretmanager_v1 import types
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)
from google.protobuf import empty_pb2

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running, run
from libs.local_cloud.rpc import RpcError, Service, listen
from libs.local_cloud.sealed_store import SealedStore, now

STATE = types.SecretVersion.State
MAX_PAYLOAD = 65_536


class SecretManager:
    """The RPCs, under their own names."""

    def __init__(self, store: SealedStore) -> None:
        self._store = store

    def CreateSecret(self, request: Any, _: Any) -> Any:
        secret = types.Secret(request.secret)
        secret.name = f"{request.parent}/secrets/{request.secret_id}"
        secret.create_time = now()
        secret.etag = f'"{time.time_ns():x}"'
        self._store.create("secret", secret)
        return secret

    def GetSecret(self, request: Any, _: Any) -> Any:
        return self._store.get(types.Secret, request.name)

    def ListSecrets(self, request: Any, _: Any) -> Any:
        found = self._store.list(types.Secret, "secret", request.parent)
        return types.ListSecretsResponse(secrets=found, total_size=len(found))

    def UpdateSecret(self, request: Any, _: Any) -> Any:
        secret = self._store.get(types.Secret, request.secret.name)
        for path in request.update_mask.paths:
            setattr(secret, path, getattr(request.secret, path))
        self._store.update(secret)
        return secret

    def DeleteSecret(self, request: Any, _: Any) -> Any:
        self._store.get(types.Secret, request.name)
        self._store.delete_tree(request.name)
        return empty_pb2.Empty()

    def AddSecretVersion(self, request: Any, _: Any) -> Any:
        self._store.get(types.Secret, request.parent)
        data, payload = bytes(request.payload.data), request.payload
        summed = "data_crc32c" in payload
        if summed and payload.data_crc32c != google_crc32c.value(data):
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, "The checksum did not match the data.")
        if len(data) > MAX_PAYLOAD:
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, "The payload is larger than 64 KiB.")
        version = types.SecretVersion(
            name=f"{request.parent}/versions/{len(self._versions(request.parent)) + 1}",
            create_time=now(),
            state=STATE.ENABLED,
            client_specified_payload_checksum=summed,
        )
        self._store.create("version", version, data)
        return version

    def GetSecretVersion(self, request: Any, _: Any) -> Any:
        return self._version(request.name)

    def ListSecretVersions(self, request: Any, _: Any) -> Any:
        found = self._versions(request.parent)[::-1]
        return types.ListSecretVersionsResponse(versions=found, total_size=len(found))

    def AccessSecretVersion(self, request: Any, _: Any) -> Any:
        version = self._version(request.name)
        if version.state != STATE.ENABLED:
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Secret Version [{version.name}] is in {STATE(version.state).name} state.",
            )
        data = self._store.secret(version.name)
        return types.AccessSecretVersionResponse(
            name=version.name,
            payload=types.SecretPayload(data=data, data_crc32c=google_crc32c.value(data)),
        )

    def DisableSecretVersion(self, request: Any, _: Any) -> Any:
        return self._set_state(request.name, STATE.DISABLED)

    def EnableSecretVersion(self, request: Any, _: Any) -> Any:
        return self._set_state(request.name, STATE.ENABLED)

    def DestroySecretVersion(self, request: Any, _: Any) -> Any:
        version = self._set_state(request.name, STATE.DESTROYED)
        self._store.shred(version.name)
        return version

    def _versions(self, secret: str) -> Sequence[Any]:
        return self._store.list(types.SecretVersion, "version", secret)

    def _version(self, name: str) -> Any:
        secret, _, which = name.rpartition("/versions/")
        if which != "latest":
            return self._store.get(types.SecretVersion, name)
        versions = self._versions(secret)
        if not versions:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Secret Version [{name}] not found.")
        return versions[-1]

    def _set_state(self, name: str, state: Any) -> Any:
        version = self._version(name)
        if version.state == STATE.DESTROYED:
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION, f"{version.name} has been destroyed."
            )
        version.state = state
        if state == STATE.DESTROYED:
            version.destroy_time = now()
        self._store.update(version)
        return version


async def start(options: Options, faults: Faults) -> Running:
    store = SealedStore(options.state_dir, "secrets.db")
    service = Service(SecretManagerServiceGrpcTransport, SecretManager(store), faults, bare=False)
    server, port = await listen(HOST, options.port, service)

    async def stop() -> None:
        await server.stop(0.2)
        store.close()

    return Running({"grpc": port}, stop)


if __name__ == "__main__":
    run("secret_manager", start)

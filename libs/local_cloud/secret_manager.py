"""Secret Manager on a loopback port.

python -m libs.local_cloud.secret_manager --port 9301 --state-dir .local/secret_manager
"""

import re
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
from libs.local_cloud.sealed_policies import PolicyRpcs
from libs.local_cloud.sealed_store import SealedStore, change, now

STATE = types.SecretVersion.State
MAX_PAYLOAD = 65_536
CHANGEABLE = frozenset(
    {"annotations", "expire_time", "labels", "rotation", "topics", "ttl", "version_aliases"}
)
_ID = re.compile(r"[a-zA-Z0-9_-]{1,255}")
_GLOBAL = re.compile(r"projects/[^/]+")


class SecretManager(PolicyRpcs):
    """The RPCs, under their own names."""

    def CreateSecret(self, request: Any, _: Any) -> Any:
        _check_new(request)
        secret = types.Secret(request.secret)
        secret.name = f"{request.parent}/secrets/{request.secret_id}"
        secret.create_time = now()
        secret.etag = _etag()
        self._store.create("secret", secret)
        return secret

    def GetSecret(self, request: Any, _: Any) -> Any:
        return self._store.get(types.Secret, request.name)

    def ListSecrets(self, request: Any, _: Any) -> Any:
        found = self._store.list(types.Secret, "secret", request.parent)
        return types.ListSecretsResponse(secrets=found, total_size=len(found))

    def UpdateSecret(self, request: Any, _: Any) -> Any:
        secret = self._store.get(types.Secret, request.secret.name)
        _check_etag(request.secret.etag, secret)
        change(secret, request.secret, request.update_mask.paths, CHANGEABLE)
        secret.etag = _etag()
        self._store.update(secret)
        return secret

    def DeleteSecret(self, request: Any, _: Any) -> Any:
        _check_etag(request.etag, self._store.get(types.Secret, request.name))
        with self._store.together():
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
        with self._store.together():
            version = self._set_state(request.name, STATE.DESTROYED)
            self._store.shred(version.name)
        return version

    def _versions(self, secret: str) -> Sequence[Any]:
        return self._store.list(types.SecretVersion, "version", secret)

    def _version(self, name: str) -> Any:
        secret, _, which = name.rpartition("/versions/")
        if which == "latest":
            versions = self._versions(secret)
            which = str(len(versions))
        elif not which.isdecimal():
            aliases = self._store.get(types.Secret, secret).version_aliases
            which = str(aliases.get(which, which))
        return self._store.get(types.SecretVersion, f"{secret}/versions/{which}")

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


def _check_new(request: Any) -> None:
    if not _ID.fullmatch(request.secret_id):
        reason = f"secret_id: '{request.secret_id}' does not match {_ID.pattern}."
        raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, reason)
    if _GLOBAL.fullmatch(request.parent) and "replication" not in request.secret:
        raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, "secret.replication is required.")


def _check_etag(demanded: str, secret: Any) -> None:
    if demanded not in {"", secret.etag}:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"The etag of {secret.name} is {secret.etag}, not {demanded}: read it again.",
        )


def _etag() -> str:
    return f'"{time.time_ns():x}"'


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

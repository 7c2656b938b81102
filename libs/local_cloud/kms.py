"""Cloud KMS on a loopback port: symmetric keys and their versions.

python -m libs.local_cloud.kms --port 9300 --state-dir .local/kms
"""

import os
import re
from collections.abc import Sequence
from typing import Any

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud.kms_v1 import types
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running, run
from libs.local_cloud.rpc import RpcError, Service, listen
from libs.local_cloud.sealed_policies import PolicyRpcs
from libs.local_cloud.sealed_store import KEY_BITS, NONCE_BYTES, SealedStore, change, now

INVALID = grpc.StatusCode.INVALID_ARGUMENT
STATE = types.CryptoKeyVersion.CryptoKeyVersionState
ENCRYPT_DECRYPT = types.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT
CHANGEABLE = frozenset({"labels", "rotation_period", "next_rotation_time", "version_template"})
MAX_PLAINTEXT = 65_536
VERSION_BYTES = 4
_ID = re.compile(r"[a-zA-Z0-9_-]{1,63}")


class KeyManagement(PolicyRpcs):
    """The RPCs, under their own names."""

    def CreateKeyRing(self, request: Any, _: Any) -> Any:
        _check_id("key_ring_id", request.key_ring_id)
        ring = types.KeyRing(
            name=f"{request.parent}/keyRings/{request.key_ring_id}", create_time=now()
        )
        self._store.create("ring", ring)
        return ring

    def GetKeyRing(self, request: Any, _: Any) -> Any:
        return self._store.get(types.KeyRing, request.name)

    def ListKeyRings(self, request: Any, _: Any) -> Any:
        found = self._store.list(types.KeyRing, "ring", request.parent)
        return types.ListKeyRingsResponse(key_rings=found, total_size=len(found))

    def CreateCryptoKey(self, request: Any, _: Any) -> Any:
        _check_id("crypto_key_id", request.crypto_key_id)
        self._store.get(types.KeyRing, request.parent)
        key = types.CryptoKey(request.crypto_key)
        key.name = f"{request.parent}/cryptoKeys/{request.crypto_key_id}"
        key.create_time = now()
        if key.purpose != ENCRYPT_DECRYPT:
            raise RpcError(grpc.StatusCode.UNIMPLEMENTED, "Only ENCRYPT_DECRYPT keys are emulated.")
        with self._store.together():
            if not request.skip_initial_version_creation:
                key.primary = self._new_version(key.name, 1)
            self._store.create("key", key)
        return key

    def GetCryptoKey(self, request: Any, _: Any) -> Any:
        return self._store.get(types.CryptoKey, request.name)

    def ListCryptoKeys(self, request: Any, _: Any) -> Any:
        found = self._store.list(types.CryptoKey, "key", request.parent)
        return types.ListCryptoKeysResponse(crypto_keys=found, total_size=len(found))

    def UpdateCryptoKey(self, request: Any, _: Any) -> Any:
        key = self._store.get(types.CryptoKey, request.crypto_key.name)
        change(key, request.crypto_key, request.update_mask.paths, CHANGEABLE)
        self._store.update(key)
        return key

    def UpdateCryptoKeyPrimaryVersion(self, request: Any, _: Any) -> Any:
        key = self._store.get(types.CryptoKey, request.name)
        name = f"{request.name}/cryptoKeyVersions/{request.crypto_key_version_id}"
        key.primary = self._store.get(types.CryptoKeyVersion, name)
        self._store.update(key)
        return key

    def CreateCryptoKeyVersion(self, request: Any, _: Any) -> Any:
        self._store.get(types.CryptoKey, request.parent)
        return self._new_version(request.parent, len(self._versions(request.parent)) + 1)

    def GetCryptoKeyVersion(self, request: Any, _: Any) -> Any:
        return self._store.get(types.CryptoKeyVersion, request.name)

    def ListCryptoKeyVersions(self, request: Any, _: Any) -> Any:
        found = self._versions(request.parent)
        return types.ListCryptoKeyVersionsResponse(crypto_key_versions=found, total_size=len(found))

    def UpdateCryptoKeyVersion(self, request: Any, _: Any) -> Any:
        return self._set_state(request.crypto_key_version.name, request.crypto_key_version.state)

    def DestroyCryptoKeyVersion(self, request: Any, _: Any) -> Any:
        return self._set_state(request.name, STATE.DESTROY_SCHEDULED)

    def RestoreCryptoKeyVersion(self, request: Any, _: Any) -> Any:
        return self._set_state(request.name, STATE.DISABLED)

    def Encrypt(self, request: Any, _: Any) -> Any:
        _check(request, "plaintext", "additional_authenticated_data")
        if len(request.plaintext) > MAX_PLAINTEXT:
            raise RpcError(INVALID, "The plaintext is larger than 64 KiB.")
        version = self._version_for(request.name)
        nonce = os.urandom(NONCE_BYTES)
        number = int(version.name.rpartition("/")[2]).to_bytes(VERSION_BYTES, "big")
        sealed = self._key(version).encrypt(
            nonce, bytes(request.plaintext), bytes(request.additional_authenticated_data)
        )
        ciphertext = number + nonce + sealed
        return types.EncryptResponse(
            name=version.name,
            ciphertext=ciphertext,
            ciphertext_crc32c=google_crc32c.value(ciphertext),
            verified_plaintext_crc32c="plaintext_crc32c" in request,
            verified_additional_authenticated_data_crc32c=(
                "additional_authenticated_data_crc32c" in request
            ),
            protection_level=types.ProtectionLevel.SOFTWARE,
        )

    def Decrypt(self, request: Any, _: Any) -> Any:
        _check(request, "ciphertext", "additional_authenticated_data")
        key = self._store.get(types.CryptoKey, request.name)
        ciphertext = bytes(request.ciphertext)
        version = self._version_of(key, ciphertext)
        body = ciphertext[VERSION_BYTES:]
        try:
            plaintext = self._key(version).decrypt(
                body[:NONCE_BYTES],
                body[NONCE_BYTES:],
                bytes(request.additional_authenticated_data),
            )
        except (InvalidTag, ValueError):
            raise _undecipherable() from None
        return types.DecryptResponse(
            plaintext=plaintext,
            plaintext_crc32c=google_crc32c.value(plaintext),
            used_primary=version.name == key.primary.name,
            protection_level=types.ProtectionLevel.SOFTWARE,
        )

    def GenerateRandomBytes(self, request: Any, _: Any) -> Any:
        data = os.urandom(request.length_bytes)
        return types.GenerateRandomBytesResponse(data=data, data_crc32c=google_crc32c.value(data))

    def _new_version(self, key: str, number: int) -> Any:
        version = types.CryptoKeyVersion(
            name=f"{key}/cryptoKeyVersions/{number}",
            state=STATE.ENABLED,
            algorithm=types.CryptoKeyVersion.CryptoKeyVersionAlgorithm.GOOGLE_SYMMETRIC_ENCRYPTION,
            protection_level=types.ProtectionLevel.SOFTWARE,
            create_time=now(),
            generate_time=now(),
        )
        self._store.create("version", version, AESGCM.generate_key(KEY_BITS))
        return version

    def _versions(self, key: str) -> Sequence[Any]:
        return self._store.list(types.CryptoKeyVersion, "version", key)

    def _set_state(self, name: str, state: Any) -> Any:
        version = self._store.get(types.CryptoKeyVersion, name)
        version.state = state
        if state == STATE.DESTROY_SCHEDULED:
            version.destroy_time = now()
        self._store.update(version)
        return version

    def _version_for(self, name: str) -> Any:
        if "/cryptoKeyVersions/" in name:
            return self._store.get(types.CryptoKeyVersion, name)
        key = self._store.get(types.CryptoKey, name)
        return self._store.get(types.CryptoKeyVersion, key.primary.name)

    def _version_of(self, key: Any, ciphertext: bytes) -> Any:
        number = int.from_bytes(ciphertext[:VERSION_BYTES], "big")
        try:
            return self._store.get(types.CryptoKeyVersion, f"{key.name}/cryptoKeyVersions/{number}")
        except RpcError:
            raise _undecipherable() from None

    def _key(self, version: Any) -> AESGCM:
        if version.state != STATE.ENABLED:
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"{version.name} is not enabled, current state is: {STATE(version.state).name}.",
            )
        return AESGCM(self._store.secret(version.name))


def _undecipherable() -> RpcError:
    return RpcError(INVALID, "Decryption failed: the ciphertext is invalid.")


def _check_id(field: str, value: str) -> None:
    if not _ID.fullmatch(value):
        raise RpcError(INVALID, f"{field}: '{value}' does not match {_ID.pattern}.")


def _check(request: Any, *fields: str) -> None:
    """Refuse what arrived other than it was sent."""
    for field in fields:
        sum_field = f"{field}_crc32c"
        value = bytes(getattr(request, field))
        if sum_field in request and getattr(request, sum_field) != google_crc32c.value(value):
            raise RpcError(INVALID, f"The checksum in field {sum_field} did not match the data.")


async def start(options: Options, faults: Faults) -> Running:
    store = SealedStore(options.state_dir, "kms.db")
    service = Service(KeyManagementServiceGrpcTransport, KeyManagement(store), faults, bare=False)
    server, port = await listen(HOST, options.port, service)

    async def stop() -> None:
        await server.stop(0.2)
        store.close()

    return Running({"grpc": port}, stop)


if __name__ == "__main__":
    run("kms", start)

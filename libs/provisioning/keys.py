"""The KMS key that wraps tenants' credentials, rotated by itself."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.kms_v1 import CryptoKey, KeyManagementServiceClient
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from libs.provisioning.change import Change, ProvisioningError

CALL_SECONDS = 20.0
ROTATION_SECONDS = 90 * 86_400
ENCRYPT_DECRYPT = CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CredentialsKey:
    """`projects/P/locations/L/keyRings/R/cryptoKeys/K` as it should be."""

    name: str
    endpoint: str = ""

    def diff(self) -> list[Change]:
        found = self._found()
        if found is None:
            return [Change(f"create key {self.name} (rotated every 90 days)")]
        if found.purpose != ENCRYPT_DECRYPT:
            return [Change(f"replace by hand key {self.name}: it cannot encrypt", by_hand=True)]
        if found.rotation_period.total_seconds() != ROTATION_SECONDS:
            return [Change(f"update key {self.name} (rotated every 90 days)")]
        return []

    def apply(self) -> list[Change]:
        changes = self.diff()
        if any(not change.by_hand for change in changes):
            self._asked("changing", self._make_so)
        return changes

    def rotate(self) -> str:
        """Make a new version the one that encrypts; returns its name.

        What older versions wrapped still opens: KMS keeps them.
        """

        def call() -> str:
            client = self._client()
            made = client.create_crypto_key_version(
                request={"parent": self.name, "crypto_key_version": {}}, timeout=CALL_SECONDS
            )
            version = made.name.rpartition("/")[2]
            client.update_crypto_key_primary_version(
                request={"name": self.name, "crypto_key_version_id": version},
                timeout=CALL_SECONDS,
            )
            return str(made.name)

        return self._asked("rotating", call)

    def _found(self) -> Any:
        def call() -> Any:
            try:
                return self._client().get_crypto_key(name=self.name, timeout=CALL_SECONDS)
            except NotFound:
                return None

        return self._asked("reading", call)

    def _make_so(self) -> None:
        client, key = self._client(), self._as_it_should_be()
        ring, _, key_id = self.name.rpartition("/cryptoKeys/")
        location, _, ring_id = ring.rpartition("/keyRings/")
        with suppress(AlreadyExists):  # rings cannot be deleted, so it often is
            client.create_key_ring(
                request={"parent": location, "key_ring_id": ring_id, "key_ring": {}},
                timeout=CALL_SECONDS,
            )
        try:
            client.create_crypto_key(
                request={"parent": ring, "crypto_key_id": key_id, "crypto_key": key},
                timeout=CALL_SECONDS,
            )
        except AlreadyExists:
            mask = FieldMask(paths=["rotation_period", "next_rotation_time"])
            client.update_crypto_key(
                request={"crypto_key": key, "update_mask": mask}, timeout=CALL_SECONDS
            )

    def _as_it_should_be(self) -> CryptoKey:
        return CryptoKey(
            name=self.name,
            purpose=ENCRYPT_DECRYPT,
            rotation_period=Duration(seconds=ROTATION_SECONDS),
            next_rotation_time=Timestamp(seconds=int(time.time()) + ROTATION_SECONDS),
        )

    def _asked(self, doing: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (GoogleAPICallError, GoogleAuthError) as error:
            raise ProvisioningError(f"{doing} key {self.name}", error) from error

    def _client(self) -> KeyManagementServiceClient:
        if not self.endpoint:
            return KeyManagementServiceClient()
        channel = grpc.insecure_channel(self.endpoint)
        return KeyManagementServiceClient(
            transport=KeyManagementServiceGrpcTransport(channel=channel)
        )

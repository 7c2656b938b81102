"""Envelope encryption of tenants' credentials.

Each secret has a data key of its own; Cloud KMS wraps that key. What the secret
is for (version, tenant, provider, credential) is bound into both layers, so a
ciphertext that is moved to another place opens nothing there.

    VaultError
    ├── CannotOpenError       not for this tenant, provider or id, or damaged
    └── KmsUnavailableError   no answer; trying again is safe
"""

import os
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, InvalidArgument
from google.cloud.kms_v1 import CryptoKey, KeyManagementServiceAsyncClient, KeyRing
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcAsyncIOTransport,
)

from contracts.credentials import SealedPart
from libs.outages import OutageError

VERSION = 1
KEY_BITS = 256
NONCE_BYTES = 12
CALL_SECONDS = 10.0


class VaultError(Exception):
    """Base of what the vault raises. Never carries a secret or a ciphertext."""


class CannotOpenError(VaultError):
    def __init__(self, purpose: "Purpose") -> None:
        super().__init__(
            f"the ciphertext does not open as credential {purpose.credential_id}"
            f" ({purpose.provider}) of tenant {purpose.tenant_id}"
        )


class KmsUnavailableError(VaultError, OutageError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"Cloud KMS did not answer: {reason}")


class DamagedInTransitError(KmsUnavailableError):
    """A checksum did not match what was sent or received."""

    def __init__(self) -> None:
        super().__init__("a checksum did not match")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a secret is for; it opens for nothing else."""

    tenant_id: str
    provider: str
    credential_id: str

    def bound(self, version: int) -> bytes:
        """Unambiguous: each part has its length in front."""
        parts = (str(version), self.tenant_id, self.provider, self.credential_id)
        return b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Which KMS key, and where when it is not Google's."""

    kms_key: str
    endpoint: str = ""


class Vault:
    """`seal` needs only leave to encrypt, `open` only leave to decrypt."""

    def __init__(self, settings: VaultSettings) -> None:
        self._settings = settings
        self._client = _client(settings.endpoint)

    @classmethod
    def connect(cls, settings: VaultSettings) -> Self:
        return cls(settings)

    async def seal(self, secret: bytes, purpose: Purpose) -> SealedPart:
        """Encrypt under a fresh key that only KMS can give back."""
        bound = purpose.bound(VERSION)
        key, nonce = AESGCM.generate_key(KEY_BITS), os.urandom(NONCE_BYTES)
        return SealedPart(
            version=VERSION,
            kms_key=self._settings.kms_key,
            wrapped_key=b64encode(await self._wrap(key, bound)),
            nonce=b64encode(nonce),
            ciphertext=b64encode(AESGCM(key).encrypt(nonce, secret, bound)),
        )

    async def open(self, sealed: SealedPart, purpose: Purpose) -> bytes:
        """Raises `CannotOpenError` for any other purpose than it was sealed for."""
        bound = purpose.bound(sealed.version)
        key = await self._unwrap(sealed, bound, purpose)
        try:
            return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, bound)
        except (InvalidTag, ValueError):
            raise CannotOpenError(purpose) from None

    async def rewrap(self, sealed: SealedPart, purpose: Purpose) -> SealedPart:
        """Wrap the same data key anew, by the KMS key's newest version; nothing is decrypted.

        Raises `CannotOpenError` for any other purpose than it was sealed for.
        """
        bound = purpose.bound(sealed.version)
        key = await self._unwrap(sealed, bound, purpose)
        wrapped = b64encode(await self._wrap(key, bound))
        return SealedPart(
            version=sealed.version,
            kms_key=self._settings.kms_key,
            wrapped_key=wrapped,
            nonce=b64encode(sealed.nonce),
            ciphertext=b64encode(sealed.ciphertext),
        )

    async def ensure_key(self) -> None:
        """Create the key ring and key unless they exist; for development."""
        ring, _, key = self._settings.kms_key.rpartition("/cryptoKeys/")
        location, _, ring_id = ring.rpartition("/keyRings/")
        purpose = CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT
        with suppress(AlreadyExists):
            await self._client.create_key_ring(
                parent=location, key_ring_id=ring_id, key_ring=KeyRing(), timeout=CALL_SECONDS
            )
        with suppress(AlreadyExists):
            await self._client.create_crypto_key(
                parent=ring,
                crypto_key_id=key,
                crypto_key=CryptoKey(purpose=purpose),
                timeout=CALL_SECONDS,
            )

    async def close(self) -> None:
        await self._client.transport.close()

    async def _wrap(self, key: bytes, bound: bytes) -> bytes:
        request = {
            "name": self._settings.kms_key,
            "plaintext": key,
            "plaintext_crc32c": google_crc32c.value(key),
            "additional_authenticated_data": bound,
            "additional_authenticated_data_crc32c": google_crc32c.value(bound),
        }
        try:
            found = await self._client.encrypt(request=request, retry=None, timeout=CALL_SECONDS)
        except GoogleAPICallError as error:
            raise KmsUnavailableError(type(error).__name__) from None
        ciphertext = bytes(found.ciphertext)
        checked = found.verified_plaintext_crc32c
        if not checked or found.ciphertext_crc32c != google_crc32c.value(ciphertext):
            raise DamagedInTransitError
        return ciphertext

    async def _unwrap(self, sealed: SealedPart, bound: bytes, purpose: Purpose) -> bytes:
        request = {
            "name": sealed.kms_key,
            "ciphertext": sealed.wrapped_key,
            "ciphertext_crc32c": google_crc32c.value(sealed.wrapped_key),
            "additional_authenticated_data": bound,
            "additional_authenticated_data_crc32c": google_crc32c.value(bound),
        }
        try:
            found = await self._client.decrypt(request=request, retry=None, timeout=CALL_SECONDS)
        except InvalidArgument:
            raise CannotOpenError(purpose) from None
        except GoogleAPICallError as error:
            raise KmsUnavailableError(type(error).__name__) from None
        key = bytes(found.plaintext)
        if found.plaintext_crc32c != google_crc32c.value(key):
            raise DamagedInTransitError
        return key


def _client(endpoint: str) -> KeyManagementServiceAsyncClient:
    transport: Any = None
    if endpoint:
        channel = grpc.aio.insecure_channel(endpoint)
        transport = KeyManagementServiceGrpcAsyncIOTransport(channel=channel)
    return KeyManagementServiceAsyncClient(transport=transport)

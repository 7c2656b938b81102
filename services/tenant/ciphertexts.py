"""Where ciphertexts lie: outside the slot log, which keeps everything for ever."""

from typing import Protocol

from contracts.credentials import SealedPart
from contracts.identifiers import CredentialId, TenantId
from libs.bus.errors import RetryableError


class Objects(Protocol):
    """Create-once objects that can be deleted, as a bucket has them."""

    async def put(self, name: str, body: bytes) -> None: ...

    async def fetch(self, name: str) -> bytes | None: ...

    async def delete(self, name: str) -> None: ...


class CiphertextMissingError(RetryableError):
    def __init__(self, ref: str) -> None:
        super().__init__(f"the ciphertext {ref}, which its tenant's log names")


class Ciphertexts:
    """Each ciphertext has a place of its own; a new version of a credential gets another."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def keep(
        self, tenant: TenantId, credential: CredentialId, cause: str, sealed: SealedPart
    ) -> str:
        """Put it away and return where; the same cause has the same place."""
        ref = f"ciphertexts/{tenant}/{credential}/{cause}.json"
        await self._objects.put(ref, sealed.encode())
        return ref

    async def read(self, ref: str) -> SealedPart:
        body = await self._objects.fetch(ref)
        if body is None:
            raise CiphertextMissingError(ref)
        return SealedPart.decode(body)

    async def destroy(self, ref: str) -> None:
        """One that is gone already is fine."""
        await self._objects.delete(ref)

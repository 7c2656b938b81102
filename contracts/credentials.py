"""Messages about provider credentials. They travel sealed: only the executor can open them."""

from enum import StrEnum

from pydantic import Base64Bytes, Field

from contracts.identifiers import CredentialId, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc


class Provider(StrEnum):
    GCP = "GCP"
    AWS = "AWS"
    AZURE = "AZURE"
    OPENAI = "OPENAI"
    ANTHROPIC = "ANTHROPIC"
    GENERIC = "GENERIC"


class SealedPart(Part):
    """An envelope-encrypted secret: AES-256-GCM under a data key that Cloud KMS wrapped."""

    version: int = Field(ge=1)
    kms_key: str
    wrapped_key: Base64Bytes
    nonce: Base64Bytes
    ciphertext: Base64Bytes


class StoreCredentialV1(Command, type="credential.store.v1", to=Service.TENANT):
    tenant_id: TenantId
    credential_id: CredentialId
    provider: Provider
    sealed: SealedPart
    requested_by: str


class CredentialAction(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"


class CredentialStoredV1(Event, type="credential.stored.v1"):
    tenant_id: TenantId
    credential_id: CredentialId
    provider: Provider
    action: CredentialAction
    requested_by: str


class DeleteCredentialV1(Command, type="credential.delete.v1", to=Service.TENANT):
    tenant_id: TenantId
    credential_id: CredentialId
    requested_by: str


class CredentialDeletedV1(Event, type="credential.deleted.v1"):
    """The ciphertext is gone from the tenant's state."""

    tenant_id: TenantId
    credential_id: CredentialId
    requested_by: str


class CredentialPart(Part):
    """What may be shown of a credential: everything but the secret."""

    credential_id: CredentialId
    provider: Provider
    created_at: Utc
    updated_at: Utc


class GetCredentialV1(Query, type="credential.get.v1", to=Service.TENANT):
    """Only the executor asks, for a step of this tenant."""

    tenant_id: TenantId
    credential_id: CredentialId


class CredentialV1(Reply, type="credential.v1"):
    """Still sealed: only who may decrypt under its KMS key can open it."""

    tenant_id: TenantId
    credential: CredentialPart
    sealed: SealedPart


class ListCredentialsV1(Query, type="credential.list.v1", to=Service.TENANT):
    tenant_id: TenantId


class CredentialListV1(Reply, type="credential.page.v1"):
    tenant_id: TenantId
    credentials: tuple[CredentialPart, ...]

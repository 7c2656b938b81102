"""Messages about provider credentials. They travel sealed: only the executor can open them."""

import re
from enum import StrEnum

from pydantic import Base64Bytes, Field

from contracts.identifiers import CredentialId, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc

ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
"""Of a field that goes into headers and forms: no line breaks and no other control characters."""
_ONE_LINE = re.compile(ONE_LINE)


def is_one_line(value: str) -> bool:
    return _ONE_LINE.fullmatch(value) is not None


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
    REWRAPPED = "REWRAPPED"
    """The same secret; its data key is wrapped by another version of the KMS key."""


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


class TestCredentialV1(Command, type="credential.test.v1", to=Service.EXECUTOR):
    """Try a stored credential with its provider, as a pipeline would use it."""

    __test__ = False  # its name begins like a test's

    tenant_id: TenantId
    credential_id: CredentialId
    requested_by: str


class CredentialVerdict(StrEnum):
    WORKS = "works"
    REFUSED = "refused"
    """The provider does not let it in."""
    UNREACHABLE = "unreachable"
    """The provider did not answer; nothing is known of the credential."""
    UNTESTABLE = "untestable"
    """There is nobody to try it with."""


class CredentialTestedV1(Event, type="credential.tested.v1"):
    tenant_id: TenantId
    credential_id: CredentialId
    provider: Provider
    verdict: CredentialVerdict
    detail: str = ""
    """What the provider said, without the secret."""
    requested_by: str


class RewrapCredentialV1(Command, type="credential.rewrap.v1", to=Service.EXECUTOR):
    """Wrap a credential's data key by the newest version of the KMS key."""

    tenant_id: TenantId
    credential_id: CredentialId
    requested_by: str


class KeepRewrappedV1(Command, type="credential.keep_rewrapped.v1", to=Service.TENANT):
    """Keep the same secret under another wrapping, unless it has been replaced meanwhile."""

    tenant_id: TenantId
    credential_id: CredentialId
    provider: Provider
    sealed: SealedPart
    of: Utc
    """When the secret itself was stored."""
    requested_by: str


class CredentialRewrappedV1(Event, type="credential.rewrapped.v1"):
    """Wrapped anew and handed to the tenant service, which tells of it once it is kept."""

    tenant_id: TenantId
    credential_id: CredentialId
    requested_by: str

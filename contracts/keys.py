"""Messages about API keys. Only hashes travel; the key itself never leaves the gateway."""

from pydantic import Field

from contracts.identifiers import KeyHash, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc


class KeyPart(Part):
    """What may be known of a key."""

    key_hash: KeyHash
    last_four: str = Field(min_length=4, max_length=4)
    description: str = Field(default="", max_length=1000)
    scopes: tuple[str, ...] = ()
    """Empty: everything its tenant may do."""
    expires_at: Utc | None = None


class StoredKeyPart(Part):
    key: KeyPart
    is_active: bool
    created_at: Utc
    created_by: str
    revoked_at: Utc | None = None


class IssueKeyV1(Command, type="key.issue.v1", to=Service.TENANT):
    tenant_id: TenantId
    key: KeyPart
    requested_by: str


class KeyIssuedV1(Event, type="key.issued.v1"):
    tenant_id: TenantId
    key: KeyPart
    created_at: Utc
    requested_by: str


class RotateKeyV1(Command, type="key.rotate.v1", to=Service.TENANT):
    """Issue a new key and let the old one end at `overlap_until`."""

    tenant_id: TenantId
    old_key_hash: KeyHash
    key: KeyPart
    overlap_until: Utc
    requested_by: str


class KeyRotatedV1(Event, type="key.rotated.v1"):
    tenant_id: TenantId
    old_key_hash: KeyHash
    key: KeyPart
    overlap_until: Utc
    created_at: Utc
    requested_by: str


class RevokeKeyV1(Command, type="key.revoke.v1", to=Service.TENANT):
    tenant_id: TenantId
    key_hash: KeyHash
    requested_by: str


class KeyRevokedV1(Event, type="key.revoked.v1"):
    tenant_id: TenantId
    key_hash: KeyHash
    revoked_at: Utc
    requested_by: str


class FindKeyV1(Query, type="key.find.v1", to=Service.TENANT):
    """Asked once by a gateway instance that has not seen this key before."""

    tenant_id: TenantId
    key_hash: KeyHash


class KeyFoundV1(Reply, type="key.found.v1"):
    """`key` is absent when no such key was ever issued to that tenant."""

    tenant_id: TenantId
    key_hash: KeyHash
    key: StoredKeyPart | None = None
    tenant_status: str = ""


class ListKeysV1(Query, type="key.list.v1", to=Service.TENANT):
    tenant_id: TenantId


class KeyListV1(Reply, type="key.page.v1"):
    tenant_id: TenantId
    keys: tuple[StoredKeyPart, ...]

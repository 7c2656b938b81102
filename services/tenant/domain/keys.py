"""API keys, known here by their hashes."""

from datetime import datetime

from contracts.identifiers import TenantId
from contracts.keys import (
    IssueKeyV1,
    KeyIssuedV1,
    KeyRevokedV1,
    KeyRotatedV1,
    RevokeKeyV1,
    RotateKeyV1,
)
from services.tenant.domain.deciding import Outcome, refuse, unknown
from services.tenant.domain.facts import KeyAdded, KeyEnds
from services.tenant.domain.tenant import Tenant

MOST_KEYS = 100


def issue_key(state: Tenant, command: IssueKeyV1, now: datetime) -> Outcome:
    if refusal := _no_more_keys(state, command.tenant_id):
        return refusal
    event = KeyIssuedV1(
        tenant_id=command.tenant_id,
        key=command.key,
        created_at=now,
        requested_by=command.requested_by,
    )
    return (KeyAdded(key=command.key, at=now, by=command.requested_by),), (event,)


def rotate_key(state: Tenant, command: RotateKeyV1, now: datetime) -> Outcome:
    old = state.keys.get(command.old_key_hash)
    if old is None or not old.is_active:
        return _unknown_key(command.tenant_id)
    if refusal := _no_more_keys(state, command.tenant_id):
        return refusal
    event = KeyRotatedV1(
        tenant_id=command.tenant_id,
        old_key_hash=command.old_key_hash,
        key=command.key,
        overlap_until=command.overlap_until,
        created_at=now,
        requested_by=command.requested_by,
    )
    facts = (
        KeyEnds(key_hash=command.old_key_hash, at=command.overlap_until, revoked=False),
        KeyAdded(key=command.key, at=now, by=command.requested_by),
    )
    return facts, (event,)


def revoke_key(state: Tenant, command: RevokeKeyV1, now: datetime) -> Outcome:
    if command.key_hash not in state.keys:
        return _unknown_key(command.tenant_id)
    event = KeyRevokedV1(
        tenant_id=command.tenant_id,
        key_hash=command.key_hash,
        revoked_at=now,
        requested_by=command.requested_by,
    )
    return (KeyEnds(key_hash=command.key_hash, at=now, revoked=True),), (event,)


def _unknown_key(tenant: TenantId) -> Outcome:
    return refuse(tenant, "key_not_found", "there is no such active key")


def _no_more_keys(state: Tenant, tenant: TenantId) -> Outcome | None:
    if not state.exists:
        return unknown(tenant)
    if sum(stored.is_active for stored in state.keys.values()) >= MOST_KEYS:
        return refuse(tenant, "too_many_keys", f"at most {MOST_KEYS} keys; revoke one first")
    return None

"""API keys, known here by their hashes."""

from datetime import datetime

from contracts.identifiers import KeyHash, TenantId
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
from services.tenant.domain.tenant import Tenant, is_live

MOST_KEYS = 100
MOST_ENDED = 50_000
"""As many ends are remembered, in about a megabyte. Then none is forgotten, and no key made."""


def issue_key(state: Tenant, command: IssueKeyV1, now: datetime) -> Outcome:
    if refusal := _not_to_be_made(state, command, now):
        return refusal
    event = KeyIssuedV1(
        tenant_id=command.tenant_id,
        key=command.key,
        created_at=now,
        requested_by=command.requested_by,
    )
    return (KeyAdded(key=command.key, at=now, by=command.requested_by),), (event,)


def rotate_key(state: Tenant, command: RotateKeyV1, now: datetime) -> Outcome:
    """The new key works at once, the old one until the overlap ends or it would have anyway."""
    old = state.keys.get(command.old_key_hash)
    if old is None or not is_live(old, now):
        return _unknown_key(command.tenant_id, command.old_key_hash)
    if refusal := _not_to_be_made(state, command, now):
        return refusal
    until = min(command.overlap_until, old.key.expires_at or command.overlap_until)
    event = KeyRotatedV1(
        tenant_id=command.tenant_id,
        old_key_hash=command.old_key_hash,
        key=command.key,
        overlap_until=until,
        created_at=now,
        requested_by=command.requested_by,
    )
    facts = (
        KeyEnds(key_hash=command.old_key_hash, at=until, revoked=False),
        KeyAdded(key=command.key, at=now, by=command.requested_by),
    )
    return facts, (event,)


def revoke_key(state: Tenant, command: RevokeKeyV1, now: datetime) -> Outcome:
    """Revoking again says when it was revoked first."""
    stored = state.keys.get(command.key_hash)
    if stored is None:
        return _unknown_key(command.tenant_id, command.key_hash)
    event = KeyRevokedV1(
        tenant_id=command.tenant_id,
        key_hash=command.key_hash,
        revoked_at=stored.revoked_at or now,
        requested_by=command.requested_by,
    )
    if stored.revoked_at is not None:
        return (), (event,)
    return (KeyEnds(key_hash=command.key_hash, at=now, revoked=True),), (event,)


def _unknown_key(tenant: TenantId, key_hash: KeyHash) -> Outcome:
    return refuse(tenant, "key_not_found", f"{tenant} has no live key {key_hash}")


def _not_to_be_made(
    state: Tenant, command: IssueKeyV1 | RotateKeyV1, now: datetime
) -> Outcome | None:
    """A repeat may come after its key has ended, however long ago: it never opens again."""
    tenant, key = command.tenant_id, command.key
    if not state.exists:
        return unknown(tenant)
    if key.expires_at is not None and key.expires_at <= now:
        detail = f"expires_at {key.expires_at} is not in the future"
        return refuse(tenant, "key_expired", detail)
    if key.key_hash in state.keys or state.has_ended(key.key_hash):
        return refuse(tenant, "key_exists", "this very key was issued before")
    if len(state.live_keys(now)) >= MOST_KEYS:
        return refuse(tenant, "too_many_keys", f"at most {MOST_KEYS} keys; revoke one first")
    if len(state.ends_at(now)) >= MOST_ENDED:
        detail = (
            f"{MOST_ENDED} keys were revoked or rotated before their end, and no more can be "
            "remembered; let keys end by an expires_at of their own, and ask the operator"
        )
        return refuse(tenant, "too_many_keys", detail)
    return None

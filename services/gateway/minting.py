"""New keys: the same again for a repeat, and what to do when nobody heard that one was made.

A key's text exists only in the gateway that answers with it. When that answer is
lost, a repeat with the same Idempotency-Key has the same text again, at any
instance, and its owner answers with its first decision: one key, which works.
"""

from datetime import datetime

from contracts.identifiers import KeyHash, TenantId
from contracts.keys import KeyPart
from services.gateway import idempotency, keys

_REPEAT = "Repeat the request with the same Idempotency-Key: it is answered with the very same key."
_NEXT_TIME = "With an Idempotency-Key a repeat is answered with the very same key."


def mint(tenant_id: TenantId, pepper: bytes) -> keys.ApiKey:
    """The current request makes one key."""
    seed = idempotency.seed()
    return keys.derive(tenant_id, pepper, seed) if seed else keys.mint(tenant_id)


def key_part(
    key: keys.ApiKey,
    pepper: bytes,
    description: str = "",
    narrowed: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> KeyPart:
    return KeyPart(
        key_hash=key.hash(pepper),
        last_four=key.last_four,
        description=description,
        scopes=narrowed,
        expires_at=expires_at,
    )


def key_lost(key_hash: KeyHash) -> str:
    """For whom no answer came: what became of the key that was asked for."""
    if idempotency.seed():
        return f"No answer in time; the key may have been made. {_REPEAT}"
    return (
        f"No answer in time; if the key was made, its text is lost. List the keys: if {key_hash} "
        f"is there, revoke it; then make another. {_NEXT_TIME}"
    )


def first_key_lost(tenant_id: TenantId, key_hash: KeyHash, *, guest: bool) -> str:
    """The same of an onboarding."""
    if idempotency.seed():
        return f"No answer in time; the onboarding may go on. {_REPEAT}"
    if guest:
        return (
            f"No answer in time; the onboarding may go on, and the key of {tenant_id} is lost. "
            f"Repeat the request: if {tenant_id} is said to exist, ask the operator for a key."
        )
    path = f"/api/v1/admin/tenants/{tenant_id}"
    return (
        f"No answer in time; the onboarding may go on, and its key is lost. Look at GET {path}: "
        f"if it is there, make a key by POST /api/v1/admin/api-keys and revoke {key_hash}; "
        f"if not, repeat the request. {_NEXT_TIME}"
    )

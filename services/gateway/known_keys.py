"""What this instance remembers of API keys: bounded, and wrong about none for long.

Keys that work and keys that do not are remembered apart, so that a stranger who
tries a million of them pushes nobody else's key out.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from contracts.calls import ActorKind
from contracts.identifiers import KeyHash, TenantId
from contracts.keys import KeyFoundV1, KeyPart
from contracts.tenants import TenantStatus

KEPT = 100_000
REFUSED_KEPT = 10_000
TRUSTED_FOR = timedelta(minutes=1)
"""Behind the events, which say what has changed, and the forgetting when they break off."""
UNKNOWN_FOR = timedelta(seconds=10)
OUTLASTS = timedelta(hours=1)
"""So much longer a key counts while the tenant service, which alone can end it, is down."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made a call, as far as a key says so."""

    kind: ActorKind
    key: str = ""
    """The end of a tenant's key, or the fingerprint of an operator's."""
    scopes: frozenset[str] = frozenset()
    """Empty: everything its tenant may do."""
    key_hash: KeyHash | None = None
    """Of a tenant's key."""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a key, until it must be asked again."""

    tenant_id: TenantId
    key_hash: KeyHash
    usable: bool
    ask_again_at: datetime
    actor: Actor = Actor(ActorKind.TENANT)
    suspended: bool = False
    learnt_in: int = 0
    """How often what is remembered had been doubted when it was asked for."""

    def opens(self, now: datetime) -> bool:
        ends = self.actor.expires_at
        return self.usable and (ends is None or ends > now)


def learn(found: KeyFoundV1, now: datetime, doubts: int) -> Known:
    stored = found.key
    usable = (
        stored is not None
        and stored.is_active
        and found.tenant_status != TenantStatus.OFFBOARDED
        and (stored.key.expires_at is None or stored.key.expires_at > now)
    )
    return Known(
        tenant_id=found.tenant_id,
        key_hash=found.key_hash,
        usable=usable,
        ask_again_at=now + (TRUSTED_FOR if usable else UNKNOWN_FOR),
        actor=_actor(found.key_hash, stored.key) if stored else Actor(ActorKind.TENANT),
        suspended=found.tenant_status == TenantStatus.SUSPENDED,
        learnt_in=doubts,
    )


def _actor(key_hash: KeyHash, key: KeyPart) -> Actor:
    scopes = frozenset(key.scopes)
    return Actor(ActorKind.TENANT, key.last_four, scopes, key_hash, key.expires_at)


class Hashes:
    """Of texts of keys that opened before, which are not kept themselves.

    A text is found by a digest that nobody can foretell: it takes a sixth of the time
    that checking its form and making its hash takes, which are the same each time.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._secret = os.urandom(32)
        self._kept = kept
        self._hashes: OrderedDict[bytes, KeyHash] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, text: str) -> KeyHash | None:
        return self._hashes.get(self._digest(text))

    def keep(self, text: str, key_hash: KeyHash) -> None:
        if len(self._hashes) >= self._kept:
            self._hashes.popitem(last=False)
        self._hashes[self._digest(text)] = key_hash

    def _digest(self, text: str) -> bytes:
        data = text.encode(errors="surrogateescape")
        return blake2b(data, digest_size=32, key=self._secret).digest()


class KnownKeys:
    """For one event loop."""

    def __init__(self, kept: int = KEPT, refused_kept: int = REFUSED_KEPT) -> None:
        self._good: OrderedDict[KeyHash, Known] = OrderedDict()
        self._bad: OrderedDict[KeyHash, Known] = OrderedDict()
        self._bounds = ((self._good, kept), (self._bad, refused_kept))
        self._of_tenant: dict[TenantId, set[KeyHash]] = {}

    def __len__(self) -> int:
        return len(self._good) + len(self._bad)

    def find(self, key_hash: KeyHash, now: datetime, *, outlasting: bool = False) -> Known | None:
        known = self._good.get(key_hash)
        if known is not None:
            self._good.move_to_end(key_hash)
        else:
            known = self._bad.get(key_hash)
        if known is None or known.ask_again_at > now:
            return known
        outlasts = outlasting and known.usable and known.ask_again_at + OUTLASTS > now
        return known if outlasts else None

    def remember(self, known: Known) -> None:
        self.forget(known.key_hash)
        (self._good if known.usable else self._bad)[known.key_hash] = known
        self._of_tenant.setdefault(known.tenant_id, set()).add(known.key_hash)
        for keys, most in self._bounds:
            while len(keys) > most:
                self.forget(next(iter(keys)))

    def forget(self, key_hash: KeyHash) -> None:
        known = self._good.pop(key_hash, None) or self._bad.pop(key_hash, None)
        if known is None:
            return
        others = self._of_tenant[known.tenant_id]
        others.discard(key_hash)
        if not others:
            del self._of_tenant[known.tenant_id]

    def forget_tenant(self, tenant_id: TenantId) -> None:
        for key_hash in tuple(self._of_tenant.get(tenant_id, ())):
            self.forget(key_hash)

"""What this instance remembers of API keys: bounded, and wrong about none for long.

Keys that work and keys that do not are remembered apart, so that a stranger who
tries a million of them pushes nobody else's key out.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.identifiers import KeyHash, TenantId
from contracts.keys import KeyFoundV1
from contracts.tenants import TenantStatus

KEPT = 100_000
REFUSED_KEPT = 10_000
TRUSTED_FOR = timedelta(minutes=1)
"""Behind the events, which say what has changed, and the forgetting when they break off."""
UNKNOWN_FOR = timedelta(seconds=10)
OUTLASTS = timedelta(hours=1)
"""So much longer a key counts while the tenant service, which alone can end it, is down."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a key, until it must be asked again."""

    tenant_id: TenantId
    key_hash: KeyHash
    usable: bool
    ask_again_at: datetime
    suspended: bool = False
    last_four: str = ""
    scopes: frozenset[str] = frozenset()
    """Empty: everything its tenant may do."""
    expires_at: datetime | None = None
    learnt_in: int = 0
    """How often what is remembered had been doubted when it was asked for."""

    def opens(self, now: datetime) -> bool:
        return self.usable and (self.expires_at is None or self.expires_at > now)


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
        suspended=found.tenant_status == TenantStatus.SUSPENDED,
        last_four=stored.key.last_four if stored else "",
        scopes=frozenset(stored.key.scopes) if stored else frozenset(),
        expires_at=stored.key.expires_at if stored else None,
        learnt_in=doubts,
    )


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
        if known is None:
            return None
        more = OUTLASTS if outlasting and known.usable else timedelta()
        return known if known.ask_again_at + more > now else None

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

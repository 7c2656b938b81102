"""One tenant as its facts have left it."""

from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import BaseModel, Field

from contracts.credentials import CredentialPart
from contracts.identifiers import CredentialId, KeyHash
from contracts.keys import StoredKeyPart
from contracts.message import Utc
from contracts.tenants import (
    LimitOverridesPart,
    LimitsPart,
    OffboardTenantV1,
    OnboardTenantV1,
    TenantPart,
    TenantStatus,
)
from services.tenant.domain import facts
from services.tenant.domain.facts import Fact
from services.tenant.domain.plans import limits_of

ENDED_KEYS_SHOWN = 100
NEWLY_ENDED = 256
"""So many ends are put into the great number of others at once, since that is copied for it."""
MARK_DIGITS = 16
"""Of a key's hash, which is random: two keys share a mark less often than disks lie."""


class Tenant(Fact):
    """One tenant as of its last record; `profile` is absent before onboarding."""

    profile: OnboardTenantV1 | None = None
    status: TenantStatus = TenantStatus.OFFBOARDED
    created_at: Utc | None = None
    plan: str = ""
    overrides: LimitOverridesPart = LimitOverridesPart()
    datasets: tuple[str, ...] = ()
    keys: dict[KeyHash, StoredKeyPart] = Field(default_factory=dict)
    ended: dict[str, Utc | None] = Field(default_factory=dict)
    """Marks of keys that were ended before their time, until they would have ended themselves."""
    newly_ended: dict[str, Utc | None] = Field(default_factory=dict)
    """Those that are not among them yet."""
    credentials: dict[CredentialId, CredentialPart] = Field(default_factory=dict)
    ciphertexts: dict[CredentialId, str] = Field(default_factory=dict)
    """Where each credential's ciphertext lies."""
    doomed: tuple[str, ...] = ()
    """Ciphertexts that nothing needs any more and that are still to be destroyed."""
    leaving: OffboardTenantV1 | None = None
    """Offboarding that has begun; its datasets are still to be seen to."""

    @property
    def exists(self) -> bool:
        return self.profile is not None and self.status is not TenantStatus.OFFBOARDED

    @property
    def limits(self) -> LimitsPart:
        return limits_of(self.plan, self.overrides)

    def live_keys(self, now: datetime) -> list[KeyHash]:
        return [key_hash for key_hash, stored in self.keys.items() if is_live(stored, now)]

    def has_ended(self, key_hash: KeyHash) -> bool:
        """Whether a key was ended before its time, as far as that is remembered."""
        mark = mark_of(key_hash)
        return mark in self.ended or mark in self.newly_ended

    def ends_at(self, now: datetime) -> dict[str, Utc | None]:
        """What has to be remembered of keys that were ended before their time."""
        return _still_remembered({**self.ended, **self.newly_ended}, now)

    def part(self) -> TenantPart | None:
        if self.profile is None or self.created_at is None:
            return None
        return TenantPart(
            tenant_id=self.profile.tenant_id,
            company_name=self.profile.company_name,
            admin_email=self.profile.admin_email,
            description=self.profile.description,
            status=self.status,
            plan=self.plan,
            limits=self.limits,
            datasets=self.datasets,
            created_at=self.created_at,
            overrides=self.overrides,
        )


_NOBODY = Tenant()


def is_live(stored: StoredKeyPart, now: datetime) -> bool:
    ends = stored.key.expires_at
    return stored.is_active and (ends is None or ends > now)


def mark_of(key_hash: KeyHash) -> str:
    return key_hash[-MARK_DIGITS:]


def _still_remembered(ended: dict[str, Utc | None], now: datetime) -> dict[str, Utc | None]:
    """Without those whose own end has come: nobody can make them again, as it is past."""
    return {mark: until for mark, until in ended.items() if until is None or until > now}


def evolve(state: Tenant, fact: BaseModel) -> Tenant:
    """Apply one fact; total over every kind of fact."""
    return state.model_copy(update=_changes(state, fact))


def _changes(state: Tenant, fact: BaseModel) -> dict[str, Any]:
    changes: dict[str, Any]
    match fact:
        case facts.KeyAdded(at=at):
            changes = {"keys": _changed_keys(state, fact)}
            if len(state.newly_ended) >= NEWLY_ENDED:
                changes |= {"ended": state.ends_at(at), "newly_ended": {}}
            return changes
        case facts.KeyEnds(key_hash=key_hash):
            changes = {"keys": _changed_keys(state, fact)}
            if not state.has_ended(key_hash):
                would_have = state.keys[key_hash].key.expires_at
                changes["newly_ended"] = {**state.newly_ended, mark_of(key_hash): would_have}
            return changes
        case facts.CredentialKept() | facts.CredentialDropped() | facts.CiphertextsGone():
            return _changed_credentials(state, fact)
        case facts.PlanChosen(plan=plan, overrides=overrides):
            return {"plan": plan, "overrides": overrides}
        case _:
            return _changed_lifecycle(state, fact)


def _changed_lifecycle(state: Tenant, fact: BaseModel) -> dict[str, Any]:  # noqa: PLR0911  one per kind
    match fact:
        case facts.Registered(command=command, at=at):
            return {
                "profile": command,
                "status": TenantStatus.PROVISIONING,
                "created_at": at,
                "plan": command.plan,
                "datasets": (str(command.tenant_id),),
            }
        case facts.Withdrawn():
            return {name: getattr(_NOBODY, name) for name in Tenant.model_fields}
        case facts.Provisioned():
            return {"status": TenantStatus.ACTIVE}
        case facts.DatasetAdded(dataset=dataset):
            return {"datasets": (*state.datasets, str(dataset))}
        case facts.StatusChanged(status=status):
            return {"status": status}
        case facts.LeavingBegun(command=command):
            return {"leaving": command}
        case facts.Left(dropped=dropped):
            kept = tuple(name for name in state.datasets if name not in dropped)
            return {"leaving": None, "datasets": kept}
        case _:
            raise TypeError(fact)


def _changed_credentials(
    state: Tenant,
    fact: facts.CredentialKept | facts.CredentialDropped | facts.CiphertextsGone,
) -> dict[str, Any]:
    if isinstance(fact, facts.CiphertextsGone):
        return {"doomed": tuple(ref for ref in state.doomed if ref not in fact.refs)}
    credentials, ciphertexts = dict(state.credentials), dict(state.ciphertexts)
    if isinstance(fact, facts.CredentialKept):
        name = fact.part.credential_id
        before = ciphertexts.get(name)
        credentials[name], ciphertexts[name] = fact.part, fact.ref
    else:
        before = ciphertexts.pop(fact.credential_id, None)
        credentials.pop(fact.credential_id, None)
    return {
        "credentials": credentials,
        "ciphertexts": ciphertexts,
        "doomed": (*state.doomed, before) if before else state.doomed,
    }


def _changed_keys(
    state: Tenant, fact: facts.KeyAdded | facts.KeyEnds
) -> dict[KeyHash, StoredKeyPart]:
    if isinstance(fact, facts.KeyAdded):
        stored = StoredKeyPart(key=fact.key, is_active=True, created_at=fact.at, created_by=fact.by)
        return _without_long_ended({**state.keys, fact.key.key_hash: stored}, fact.at)
    old = state.keys[fact.key_hash]
    if fact.revoked:
        ended = old.model_copy(update={"is_active": False, "revoked_at": fact.at})
    else:
        key = old.key.model_copy(update={"expires_at": fact.at})
        ended = old.model_copy(update={"key": key})
    return {**state.keys, fact.key_hash: ended}


def _without_long_ended(
    keys: dict[KeyHash, StoredKeyPart], now: datetime
) -> dict[KeyHash, StoredKeyPart]:
    """The oldest keys that have ended are forgotten here; audit_log keeps their record."""
    ended = [key_hash for key_hash, stored in keys.items() if not is_live(stored, now)]
    forgotten = set(islice(ended, max(0, len(ended) - ENDED_KEYS_SHOWN)))
    return {key_hash: stored for key_hash, stored in keys.items() if key_hash not in forgotten}

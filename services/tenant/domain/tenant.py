"""One tenant as its facts have left it."""

from typing import Any

from pydantic import BaseModel, Field

from contracts.credentials import CredentialPart, SealedPart
from contracts.identifiers import CredentialId, KeyHash
from contracts.keys import StoredKeyPart
from contracts.message import Utc
from contracts.tenants import (
    LimitOverridesPart,
    LimitsPart,
    OnboardTenantV1,
    TenantPart,
    TenantStatus,
)
from services.tenant.domain.facts import (
    CredentialDropped,
    CredentialKept,
    Fact,
    KeyAdded,
    KeyEnds,
    PlanChosen,
    Provisioned,
    Registered,
    StatusChanged,
)
from services.tenant.domain.plans import limits_of


class Tenant(Fact):
    """One tenant as of its last record; `profile` is absent before onboarding."""

    profile: OnboardTenantV1 | None = None
    status: TenantStatus = TenantStatus.OFFBOARDED
    created_at: Utc | None = None
    plan: str = ""
    overrides: LimitOverridesPart = LimitOverridesPart()
    datasets: tuple[str, ...] = ()
    keys: dict[KeyHash, StoredKeyPart] = Field(default_factory=dict)
    credentials: dict[CredentialId, CredentialPart] = Field(default_factory=dict)
    sealed: dict[CredentialId, SealedPart] = Field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.profile is not None and self.status is not TenantStatus.OFFBOARDED

    @property
    def limits(self) -> LimitsPart:
        return limits_of(self.plan, self.overrides)

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
        )


def evolve(state: Tenant, fact: BaseModel) -> Tenant:
    """Apply one fact; total over every kind of fact."""
    return state.model_copy(update=_changes(state, fact))


def _changes(state: Tenant, fact: BaseModel) -> dict[str, Any]:  # noqa: PLR0911  one per kind
    match fact:
        case Registered(command=command, at=at):
            return {
                "profile": command,
                "status": TenantStatus.PROVISIONING,
                "created_at": at,
                "plan": command.plan,
            }
        case Provisioned(datasets=datasets):
            return {"status": TenantStatus.ACTIVE, "datasets": datasets}
        case StatusChanged(status=status):
            return {"status": status}
        case PlanChosen(plan=plan, overrides=overrides):
            return {"plan": plan, "overrides": overrides}
        case KeyAdded() | KeyEnds():
            return {"keys": _changed_keys(state, fact)}
        case CredentialKept(part=part, sealed=sealed):
            name = part.credential_id
            return {
                "credentials": {**state.credentials, name: part},
                "sealed": {**state.sealed, name: sealed},
            }
        case CredentialDropped(credential_id=name):
            return {
                "credentials": {k: v for k, v in state.credentials.items() if k != name},
                "sealed": {k: v for k, v in state.sealed.items() if k != name},
            }
        case _:
            raise TypeError(fact)


def _changed_keys(state: Tenant, fact: KeyAdded | KeyEnds) -> dict[KeyHash, StoredKeyPart]:
    if isinstance(fact, KeyAdded):
        stored = StoredKeyPart(key=fact.key, is_active=True, created_at=fact.at, created_by=fact.by)
        return {**state.keys, fact.key.key_hash: stored}
    old = state.keys[fact.key_hash]
    if fact.revoked:
        ended = old.model_copy(update={"is_active": False, "revoked_at": fact.at})
    else:
        key = old.key.model_copy(update={"expires_at": fact.at})
        ended = old.model_copy(update={"key": key})
    return {**state.keys, fact.key_hash: ended}

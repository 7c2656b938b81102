"""Who a tenant is: pure decisions over one tenant's stream."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialPart,
    CredentialStoredV1,
    DeleteCredentialV1,
    SealedPart,
    StoreCredentialV1,
)
from contracts.identifiers import CredentialId, KeyHash, TenantId
from contracts.keys import (
    IssueKeyV1,
    KeyIssuedV1,
    KeyPart,
    KeyRevokedV1,
    KeyRotatedV1,
    RevokeKeyV1,
    RotateKeyV1,
    StoredKeyPart,
)
from contracts.message import Message, Utc
from contracts.platform import CommandRefusedV1
from contracts.tenants import (
    ChangePlanV1,
    LimitOverridesPart,
    LimitsPart,
    OffboardTenantV1,
    OnboardTenantV1,
    PlanChangedV1,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantPart,
    TenantResumedV1,
    TenantStatus,
    TenantSuspendedV1,
)
from services.tenant.plans import PLANS, limits_of

RESERVED = frozenset({"tenants", "metadata", "admin", "system", "public", "information_schema"})
MOST_KEYS = 100
MOST_CREDENTIALS = 100


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Registered(Fact):
    kind: Literal["registered"] = "registered"
    command: OnboardTenantV1
    at: Utc


class Provisioned(Fact):
    kind: Literal["provisioned"] = "provisioned"
    datasets: tuple[str, ...]


class StatusChanged(Fact):
    kind: Literal["status_changed"] = "status_changed"
    status: TenantStatus


class PlanChosen(Fact):
    kind: Literal["plan_chosen"] = "plan_chosen"
    plan: str
    overrides: LimitOverridesPart


class KeyAdded(Fact):
    kind: Literal["key_added"] = "key_added"
    key: KeyPart
    at: Utc
    by: str


class KeyEnds(Fact):
    """A key ends at a time: now when revoked, later when rotated."""

    kind: Literal["key_ends"] = "key_ends"
    key_hash: KeyHash
    at: Utc
    revoked: bool


class CredentialKept(Fact):
    kind: Literal["credential_kept"] = "credential_kept"
    part: CredentialPart
    sealed: SealedPart


class CredentialDropped(Fact):
    kind: Literal["credential_dropped"] = "credential_dropped"
    credential_id: CredentialId


AnyFact = Annotated[
    Registered
    | Provisioned
    | StatusChanged
    | PlanChosen
    | KeyAdded
    | KeyEnds
    | CredentialKept
    | CredentialDropped,
    Field(discriminator="kind"),
]
FACTS: TypeAdapter[Fact] = TypeAdapter(AnyFact)


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


class FinishProvisioning(Message):
    """Not a contract: the handler says that datasets are ready."""

    command: OnboardTenantV1
    datasets: tuple[str, ...]

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class FinishOffboarding(Message):
    """Not a contract: the handler says that datasets are dropped, or kept."""

    command: OffboardTenantV1
    dropped: tuple[str, ...]

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


Outcome = tuple[tuple[Fact, ...], tuple[Message, ...]]


def refuse(tenant_id: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant_id, code=code, detail=detail),)


def onboard(state: Tenant, command: OnboardTenantV1, now: datetime) -> Outcome:
    """Register; the datasets are made next, and only then is the tenant announced."""
    tenant = command.tenant_id
    if tenant in RESERVED:
        return refuse(tenant, "tenant_id_reserved", f"{tenant} is a system name; choose another")
    if state.profile is not None:
        return refuse(tenant, "tenant_exists", f"tenant {tenant} exists already; choose another")
    if command.plan not in PLANS:
        known = ", ".join(PLANS)
        return refuse(tenant, "unknown_plan", f"plan {command.plan!r} is none of {known}")
    return (Registered(command=command, at=now),), ()


def finish_provisioning(state: Tenant, message: FinishProvisioning, now: datetime) -> Outcome:
    if state.status is not TenantStatus.PROVISIONING:
        return (), ()
    command = message.command
    facts: list[Fact] = [Provisioned(datasets=message.datasets)]
    emits: list[Message] = [
        TenantOnboardedV1(
            tenant_id=command.tenant_id,
            company_name=command.company_name,
            admin_email=command.admin_email,
            description=command.description,
            plan=state.plan,
            limits=state.limits,
            datasets=message.datasets,
            created_at=state.created_at or now,
            requested_by=command.requested_by,
        )
    ]
    if command.first_key is not None:
        facts.append(KeyAdded(key=command.first_key, at=now, by=command.requested_by))
        emits.append(
            KeyIssuedV1(
                tenant_id=command.tenant_id,
                key=command.first_key,
                created_at=now,
                requested_by=command.requested_by,
            )
        )
    return tuple(facts), tuple(emits)


def suspend(state: Tenant, command: SuspendTenantV1, _: datetime) -> Outcome:
    if state.status is not TenantStatus.ACTIVE:
        return _wrong_status(state, command.tenant_id, "suspended")
    event = TenantSuspendedV1(
        tenant_id=command.tenant_id, reason=command.reason, requested_by=command.requested_by
    )
    return (StatusChanged(status=TenantStatus.SUSPENDED),), (event,)


def resume(state: Tenant, command: ResumeTenantV1, _: datetime) -> Outcome:
    if state.status is not TenantStatus.SUSPENDED:
        return _wrong_status(state, command.tenant_id, "resumed")
    event = TenantResumedV1(tenant_id=command.tenant_id, requested_by=command.requested_by)
    return (StatusChanged(status=TenantStatus.ACTIVE),), (event,)


def change_plan(state: Tenant, command: ChangePlanV1, _: datetime) -> Outcome:
    tenant = command.tenant_id
    if not state.exists:
        return _unknown(tenant)
    if command.plan not in PLANS:
        known = ", ".join(PLANS)
        return refuse(tenant, "unknown_plan", f"plan {command.plan!r} is none of {known}")
    event = PlanChangedV1(
        tenant_id=tenant,
        plan=command.plan,
        limits=limits_of(command.plan, command.overrides),
        requested_by=command.requested_by,
    )
    return (PlanChosen(plan=command.plan, overrides=command.overrides),), (event,)


def offboard(state: Tenant, command: OffboardTenantV1, now: datetime) -> Outcome:
    """Shut every door at once; datasets are seen to next, and then it is announced."""
    if not state.exists:
        return _unknown(command.tenant_id)
    live = [key_hash for key_hash, stored in state.keys.items() if stored.is_active]
    facts: list[Fact] = [StatusChanged(status=TenantStatus.OFFBOARDED)]
    facts += [KeyEnds(key_hash=key_hash, at=now, revoked=True) for key_hash in live]
    facts += [CredentialDropped(credential_id=name) for name in state.credentials]
    tenant, by = command.tenant_id, command.requested_by
    revoked = [
        KeyRevokedV1(tenant_id=tenant, key_hash=key_hash, revoked_at=now, requested_by=by)
        for key_hash in live
    ]
    deleted = [
        CredentialDeletedV1(tenant_id=tenant, credential_id=name, requested_by=by)
        for name in state.credentials
    ]
    return tuple(facts), (*revoked, *deleted)


def finish_offboarding(state: Tenant, message: FinishOffboarding, _: datetime) -> Outcome:
    kept = tuple(name for name in state.datasets if name not in message.dropped)
    event = TenantOffboardedV1(
        tenant_id=message.command.tenant_id,
        dropped_datasets=message.dropped,
        kept_datasets=kept,
        requested_by=message.command.requested_by,
    )
    return (), (event,)


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


def store_credential(state: Tenant, command: StoreCredentialV1, now: datetime) -> Outcome:
    tenant, name = command.tenant_id, command.credential_id
    if not state.exists:
        return _unknown(tenant)
    known = state.credentials.get(name)
    if known is None and len(state.credentials) >= MOST_CREDENTIALS:
        return refuse(
            tenant, "too_many_credentials", f"at most {MOST_CREDENTIALS}; delete one first"
        )
    part = CredentialPart(
        credential_id=name,
        provider=command.provider,
        created_at=known.created_at if known else now,
        updated_at=now,
    )
    event = CredentialStoredV1(
        tenant_id=tenant,
        credential_id=name,
        provider=command.provider,
        action=CredentialAction.UPDATED if known else CredentialAction.CREATED,
        requested_by=command.requested_by,
    )
    return (CredentialKept(part=part, sealed=command.sealed),), (event,)


def delete_credential(state: Tenant, command: DeleteCredentialV1, _: datetime) -> Outcome:
    name = command.credential_id
    if name not in state.credentials:
        return refuse(command.tenant_id, "credential_not_found", f"there is no credential {name}")
    event = CredentialDeletedV1(
        tenant_id=command.tenant_id, credential_id=name, requested_by=command.requested_by
    )
    return (CredentialDropped(credential_id=name),), (event,)


def _unknown(tenant: TenantId) -> Outcome:
    return refuse(tenant, "tenant_not_found", f"there is no tenant {tenant}")


def _unknown_key(tenant: TenantId) -> Outcome:
    return refuse(tenant, "key_not_found", "there is no such active key")


def _no_more_keys(state: Tenant, tenant: TenantId) -> Outcome | None:
    if not state.exists:
        return _unknown(tenant)
    if sum(stored.is_active for stored in state.keys.values()) >= MOST_KEYS:
        return refuse(tenant, "too_many_keys", f"at most {MOST_KEYS} keys; revoke one first")
    return None


def _wrong_status(state: Tenant, tenant: TenantId, wanted: str) -> Outcome:
    if not state.exists:
        return _unknown(tenant)
    detail = f"tenant {tenant} is {state.status} and cannot be {wanted}"
    return refuse(tenant, "wrong_status", detail)


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

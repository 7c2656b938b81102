"""What can become of a tenant; the slot log keeps nothing else."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts.credentials import CredentialPart, SealedPart
from contracts.identifiers import CredentialId, KeyHash
from contracts.keys import KeyPart
from contracts.message import Utc
from contracts.tenants import LimitOverridesPart, OnboardTenantV1, TenantStatus


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

"""What can become of a tenant; the slot log keeps nothing else."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts.credentials import CredentialPart
from contracts.identifiers import CredentialId, DatasetName, KeyHash
from contracts.keys import KeyPart
from contracts.message import Utc
from contracts.tenants import (
    LimitOverridesPart,
    OffboardTenantV1,
    OnboardTenantV1,
    TenantStatus,
)


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Registered(Fact):
    kind: Literal["registered"] = "registered"
    command: OnboardTenantV1
    at: Utc


class Withdrawn(Fact):
    """The registration came to nothing: it is as if the tenant had never been."""

    kind: Literal["withdrawn"] = "withdrawn"


class Provisioned(Fact):
    kind: Literal["provisioned"] = "provisioned"


class DatasetAdded(Fact):
    kind: Literal["dataset_added"] = "dataset_added"
    dataset: DatasetName


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
    """The ciphertext lies under `ref`, outside the log, so that it can be destroyed."""

    kind: Literal["credential_kept"] = "credential_kept"
    part: CredentialPart
    ref: str


class CredentialDropped(Fact):
    kind: Literal["credential_dropped"] = "credential_dropped"
    credential_id: CredentialId


class CiphertextsGone(Fact):
    kind: Literal["ciphertexts_gone"] = "ciphertexts_gone"
    refs: tuple[str, ...]


class LeavingBegun(Fact):
    kind: Literal["leaving_begun"] = "leaving_begun"
    command: OffboardTenantV1


class Left(Fact):
    kind: Literal["left"] = "left"
    dropped: tuple[str, ...]


AnyFact = Annotated[
    Registered
    | Withdrawn
    | Provisioned
    | DatasetAdded
    | StatusChanged
    | PlanChosen
    | KeyAdded
    | KeyEnds
    | CredentialKept
    | CredentialDropped
    | CiphertextsGone
    | LeavingBegun
    | Left,
    Field(discriminator="kind"),
]
FACTS: TypeAdapter[Fact] = TypeAdapter(AnyFact)

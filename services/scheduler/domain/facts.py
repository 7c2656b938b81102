"""What happens to a ledger, as it is written down."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts.identifiers import ConfigId, RunId
from contracts.message import Utc
from contracts.pipelines import (
    ConfigPart,
)
from contracts.runs import (
    RunRequestedV1,
    RunStatus,
)
from contracts.tenants import (
    LimitsPart,
)


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class TenantKnown(Fact):
    kind: Literal["tenant_known"] = "tenant_known"
    plan: str
    limits: LimitsPart
    datasets: tuple[str, ...] | None = None


class TenantMay(Fact):
    kind: Literal["tenant_may"] = "tenant_may"
    suspended: bool
    gone: bool = False


class ConfigKept(Fact):
    kind: Literal["config_kept"] = "config_kept"
    config: ConfigPart


class ConfigDropped(Fact):
    kind: Literal["config_dropped"] = "config_dropped"
    config_id: ConfigId


class Admitted(Fact):
    """A run is charged, and has a slot or a place in the queue."""

    kind: Literal["admitted"] = "admitted"
    request: RunRequestedV1
    queued: bool
    priority: int
    day: str
    lease_until: Utc


class Requested(Fact):
    """A run has a slot for its next attempt."""

    kind: Literal["requested"] = "requested"
    run_id: RunId
    attempt: int
    lease_until: Utc


class LeaseExtended(Fact):
    kind: Literal["lease_extended"] = "lease_extended"
    run_id: RunId
    until: Utc
    started_at: Utc | None = None


class CancelAsked(Fact):
    kind: Literal["cancel_asked"] = "cancel_asked"
    run_id: RunId


class Ended(Fact):
    kind: Literal["ended"] = "ended"
    run_id: RunId
    status: RunStatus
    refund: bool = False


AnyFact = Annotated[
    TenantKnown
    | TenantMay
    | ConfigKept
    | ConfigDropped
    | Admitted
    | Requested
    | LeaseExtended
    | CancelAsked
    | Ended,
    Field(discriminator="kind"),
]
FACTS: TypeAdapter[Fact] = TypeAdapter(AnyFact)

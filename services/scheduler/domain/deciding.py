"""What every decision is given beside its message, and what comes of it."""

from datetime import datetime, timedelta

from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.pipelines import (
    DefinitionPart,
    SaveConfigV1,
)
from contracts.platform import CommandRefusedV1
from services.scheduler.domain.facts import Fact
from services.scheduler.domain.ledger import Ledger


class TenantUnknownError(Exception):
    """The tenant's onboarding has not reached this service yet, or never happened."""

    def __init__(self, tenant: TenantId) -> None:
        super().__init__(f"tenant {tenant}")


class Rules(Fact):
    """What the deployment decides."""

    lease_seconds: float = 60.0
    max_attempts: int = 5
    queue_limit: int = 100
    max_bytes_billed: int = 1 << 40


class KeepConfig(Message):
    """Not a contract: a definition that the handler has read."""

    command: SaveConfigV1
    definition: DefinitionPart

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class Look(Message):
    """Not a contract: a tick, for one tenant's ledger."""

    tenant_id: TenantId


Outcome = tuple[tuple[Fact, ...], tuple[Message, ...]]
NOTHING: Outcome = ((), ())


def refuse(tenant: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant, code=code, detail=detail),)


def check_known(state: Ledger, tenant: TenantId) -> None:
    if not state.known:
        raise TenantUnknownError(tenant)


def lease_until(now: datetime, rules: Rules) -> datetime:
    return now + timedelta(seconds=rules.lease_seconds)

"""Which handler is for which message; those that only the ledger decides are all alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.backfills import ChangeBackfillV1
from contracts.datasets import DatasetRegisteredV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    CancelRunV1,
)
from contracts.schedules import DeleteScheduleV1
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from services.scheduler.configuring import ConfigHandlers
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminders, Revisions
from services.scheduler.planning import PlanHandlers
from services.scheduler.running import RunHandlers
from services.scheduler.templates.library import Library
from services.scheduler.ticking import Sender, TickHandler

LedgerMessage = (
    TenantOnboardedV1
    | PlanChangedV1
    | DatasetRegisteredV1
    | TenantSuspendedV1
    | TenantResumedV1
    | TenantOffboardedV1
    | DeleteScheduleV1
    | ChangeBackfillV1
    | CancelRunV1
    | AttemptStartedV1
    | AttemptHeartbeatV1
    | AttemptReturnedV1
    | AttemptFinishedV1
)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What the handlers work with."""

    ledgers: Ledgers
    reminders: Reminders
    revisions: Revisions
    templates: Library
    sender: Sender


def register(router: Router, by: Neighbours) -> None:
    @router.on(
        TenantOnboardedV1,
        PlanChangedV1,
        DatasetRegisteredV1,
        TenantSuspendedV1,
        TenantResumedV1,
        TenantOffboardedV1,
        DeleteScheduleV1,
        ChangeBackfillV1,
        CancelRunV1,
        AttemptStartedV1,
        AttemptHeartbeatV1,
        AttemptReturnedV1,
        AttemptFinishedV1,
    )
    async def on_ledger_message(message: LedgerMessage, context: Context) -> Sequence[Emit]:
        return await by.ledgers.decide(message.tenant_id, message, context.envelope)

    RunHandlers(by.ledgers, by.revisions, by.templates).register(router)
    ConfigHandlers(by.ledgers, by.revisions, by.templates).register(router)
    PlanHandlers(by.ledgers, by.templates).register(router)
    TickHandler(by.ledgers, by.reminders, by.revisions, by.sender).register(router)

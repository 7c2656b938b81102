"""What the catalogue says a service handles is what it handles, both ways."""

from datetime import UTC, datetime

import pytest

from contracts.catalogue import consumed_by
from contracts.message import Message, Service
from contracts.platform import CheckServiceV1
from libs.bus.router import Router
from libs.clock import system_clock
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.audit_log.handlers import Handlers as AuditHandlers
from services.audit_log.notice_handlers import NoticeHandlers
from services.audit_log.notice_store import NoticeDecider
from services.executor.costs import Costs
from services.executor.credential_care import CredentialCare
from services.executor.handlers import Runs
from services.executor.planner import Planner
from services.gateway import handlers as gateway
from services.gateway.live import LiveRuns
from services.scheduler import handlers as scheduler
from services.scheduler.handlers import Neighbours
from services.tenant.handlers import Handlers as TenantHandlers
from services.tenant.store import TenantDecider

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def nowhere() -> Warehouse:
    return Warehouse.connect(WarehouseSettings("p", endpoint="http://127.0.0.1:9"))


def registered(service: Service) -> set[type[Message]]:
    router, log = Router(), MemorySlotLog()
    match service:
        case Service.GATEWAY:
            gateway.register(router, LiveRuns(), None)  # type: ignore[arg-type] # only registered
        case Service.TENANT:
            tenants = Writer(log, TenantDecider(), service=service)
            TenantHandlers(tenants, None, None, None).register(router)  # type: ignore[arg-type] # as above
        case Service.SCHEDULER:
            parts = Neighbours(*[None] * 5)  # type: ignore[arg-type] # only registered
            scheduler.register(router, parts)
        case Service.EXECUTOR:
            Runs(None, "", None, system_clock, 1).register(router)  # type: ignore[arg-type] # only registered
            Planner({}, system_clock).register(router)
            CredentialCare(None, None, None).register(router)  # type: ignore[arg-type] # the same
            Costs(nowhere()).register(router)
        case Service.AUDIT_LOG:
            AuditHandlers(nowhere(), system_clock).register(router)
            streams = Writer(log, NoticeDecider(), service=service)
            NoticeHandlers(streams, None, None).register(router)  # type: ignore[arg-type] # only registered
    return set(router.handled)


@pytest.mark.parametrize("service", [s for s in Service if s is not Service.TICKS])
def test_declared_consumers_are_registered_handlers(service: Service) -> None:
    declared = set(consumed_by(service)) - {CheckServiceV1}  # answered by libs.service for all
    assert {m.__name__ for m in registered(service)} == {m.__name__ for m in declared}

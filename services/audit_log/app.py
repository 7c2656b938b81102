"""The composition root of audit_log."""

from aiohttp import web

from libs.bus.sink import BatchBounds
from libs.clock import system_clock
from libs.service import Parts, Process
from libs.settings import AuditLogSettings
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.audit_log.handlers import Given, Handlers


async def build(process: Process) -> Parts:
    settings = process.settings
    assert isinstance(settings, AuditLogSettings)  # noqa: S101  __main__ loads these
    process.batches = BatchBounds(settings.batch_rows, linger=settings.batch_linger_seconds)
    warehouse = Warehouse.connect(
        WarehouseSettings(
            settings.gcp_project_id,
            settings.bigquery_location,
            settings.bigquery_endpoint,
            settings.bigquery_storage_endpoint,
        )
    )
    handlers = Handlers(
        warehouse, system_clock, Given(settings.instance, settings.bigquery_price_per_tib)
    )
    handlers.register(process.router)
    handlers.measures.export()
    return Parts(
        router=process.router,
        routes=[web.get("/metrics", handlers.measures.page)],
        checks=(warehouse.check, handlers.check_bootstrapped),
        closers=(warehouse.close,),
    )

"""The composition root of audit_log."""

from aiohttp import web

from contracts.message import Service
from libs.bus.sink import BatchBounds
from libs.clock import system_clock
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.service import Parts, Process
from libs.settings import AuditLogSettings, Environment
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import CloudStorageSlotLog
from libs.slotlog.writer import Writer
from libs.vault.secrets import Secrets, SecretSettings
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.audit_log.delivery import Deliveries
from services.audit_log.handlers import Given, Handlers
from services.audit_log.notice_handlers import NoticeHandlers
from services.audit_log.notice_store import NoticeDecider
from services.audit_log.store import Records


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
    handlers.measures.waiting = process.bus.unrecorded
    handlers.measures.export()
    bucket = Bucket(
        BucketSettings(settings.gcp_project_id, settings.bucket, settings.storage_emulator_host)
    )
    secrets = Secrets.connect(
        SecretSettings(
            settings.gcp_project_id, settings.secrets_dir, settings.secret_manager_endpoint
        )
    )
    streams = Writer(CloudStorageSlotLog(bucket), NoticeDecider(), service=Service.AUDIT_LOG)
    development = settings.environment is Environment.DEVELOPMENT
    deliveries = Deliveries(
        streams,
        Outgoing(OutgoingRules.of(development=development)),
        secrets,
        settings.instance,
        system_clock,
    )
    NoticeHandlers(streams, deliveries, Records(warehouse), system_clock).register(process.router)

    async def deliver() -> None:
        await deliveries.run(process.bus.publisher)

    return Parts(
        router=process.router,
        routes=[web.get("/metrics", handlers.measures.page)],
        background=(deliver,),
        checks=(warehouse.check, handlers.check_bootstrapped, bucket.check),
        closers=(bucket.close, secrets.close, warehouse.close, streams.close, deliveries.close),
    )

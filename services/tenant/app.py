"""The composition root of the tenant service."""

from contracts.message import Service
from libs.service import Parts, Process
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import Claims, CloudStorageSlotLog
from libs.slotlog.writer import Writer
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.tenant.ciphertexts import Ciphertexts
from services.tenant.handlers import Handlers
from services.tenant.provisioning import Provisioner
from services.tenant.store import TenantDecider


async def build(process: Process) -> Parts:
    settings = process.settings
    bucket = Bucket(
        BucketSettings(settings.gcp_project_id, settings.bucket, settings.storage_emulator_host)
    )
    warehouse = Warehouse.connect(
        WarehouseSettings(
            settings.gcp_project_id,
            settings.bigquery_location,
            settings.bigquery_endpoint,
            settings.bigquery_storage_endpoint,
        )
    )
    tenants = Writer(CloudStorageSlotLog(bucket), TenantDecider(), service=Service.TENANT)
    provisioner = Provisioner(warehouse, Claims(bucket))
    sender = process.bus.publisher
    Handlers(tenants, provisioner, Ciphertexts(bucket), sender).register(process.router)

    return Parts(
        router=process.router,
        checks=(bucket.check, warehouse.check),
        closers=(bucket.close, warehouse.close, tenants.close),
    )

"""The composition root of the scheduler."""

from contracts.message import Service
from libs.clock import system_clock
from libs.service import Parts, Process
from libs.settings import SchedulerSettings
from libs.slotlog.cloud_storage import Bucket, BucketSettings, CloudStorageSlotLog
from libs.slotlog.writer import Writer
from services.scheduler.domain.deciding import Rules
from services.scheduler.handlers import Handlers
from services.scheduler.store import LedgerDecider


async def build(process: Process) -> Parts:
    settings = process.settings
    assert isinstance(settings, SchedulerSettings)  # noqa: S101  __main__ loads these
    bucket = Bucket(
        BucketSettings(settings.gcp_project_id, settings.bucket, settings.storage_emulator_host)
    )
    rules = Rules(
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        queue_limit=settings.queue_limit,
        max_bytes_billed=settings.max_bytes_billed,
    )
    log = CloudStorageSlotLog(bucket)
    ledgers = Writer(log, LedgerDecider(rules), service=Service.SCHEDULER, clock=system_clock)
    Handlers(ledgers, system_clock).register(process.router)

    async def close_bucket() -> None:
        bucket.close()

    return Parts(
        router=process.router, checks=(bucket.check,), closers=(close_bucket, ledgers.close)
    )

"""The composition root of the executor."""

from contracts.envelope import Envelope
from contracts.runs import RunRequestedV1
from libs.clock import system_clock
from libs.service import Parts, Process
from libs.settings import ExecutorSettings
from libs.slotlog.cloud_storage import Bucket, BucketSettings, Claims
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.executor.handlers import Runs
from services.executor.runner import Attempt
from services.executor.steps.registry import step_types


async def build(process: Process) -> Parts:
    settings = process.settings
    assert isinstance(settings, ExecutorSettings)  # noqa: S101  __main__ loads these
    bucket = Bucket(
        BucketSettings(settings.gcp_project_id, settings.bucket, settings.storage_emulator_host)
    )
    warehouse = Warehouse.connect(
        WarehouseSettings(
            settings.gcp_project_id,
            settings.bigquery_location,
            settings.bigquery_endpoint,
            settings.bigquery_storage_endpoint,
            threads=settings.max_runs,
        )
    )
    types = step_types(warehouse)

    def start(request: RunRequestedV1, cause: Envelope) -> Attempt:
        return Attempt(
            request,
            cause,
            process.bus.publisher,
            types,
            system_clock,
            parallel=settings.max_parallel_steps,
        )

    runs = Runs(Claims(bucket), settings.instance, start, settings.max_runs)
    runs.register(process.router)

    async def finish() -> None:
        await runs.finish(settings.shutdown_grace_seconds / 2)

    async def close_bucket() -> None:
        bucket.close()

    return Parts(
        router=process.router,
        checks=(bucket.check, warehouse.check),
        before_drain=(finish,),
        closers=(close_bucket, warehouse.close),
    )

"""The composition root of the executor."""

from pathlib import Path

from contracts.envelope import Envelope
from contracts.message import Service
from contracts.runs import RunRequestedV1
from contracts.topology import durable_subscriptions, own_subscriptions
from libs.clock import system_clock
from libs.objects import Objects
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.service import Parts, Process
from libs.settings import Environment, ExecutorSettings
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import Claims
from libs.vault.vault import Vault, VaultSettings
from libs.warehouse.accounts import OwnAccounts
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.executor.costs import Costs
from services.executor.credential_care import CredentialCare
from services.executor.credentials import StoredCredentials
from services.executor.handlers import Runs
from services.executor.planner import Planner
from services.executor.providers import Places, Providers
from services.executor.room import Room
from services.executor.runner import Attempt, Surroundings
from services.executor.steps.registry import step_types
from services.executor.steps.tools import Tools


async def build(process: Process) -> Parts:
    settings = process.settings
    assert isinstance(settings, ExecutorSettings)  # noqa: S101  __main__ loads these
    process.subscriptions = (
        *durable_subscriptions(Service.EXECUTOR),
        *own_subscriptions(Service.EXECUTOR, settings.instance),
    )
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
    data = Objects(
        BucketSettings(
            settings.gcp_project_id, settings.deliveries_bucket, settings.storage_emulator_host
        )
    )
    vault = Vault.connect(VaultSettings(settings.kms_key_name, settings.kms_endpoint))
    development = settings.environment is Environment.DEVELOPMENT
    outgoing = Outgoing(OutgoingRules.of(development=development))
    stored = StoredCredentials(process.bus.requester, vault)
    tools = Tools(
        warehouse=warehouse,
        files=bucket,
        data=data,
        credentials=stored,
        outgoing=outgoing,
        clock=system_clock,
        price_per_tib_usd=settings.price_per_tib_usd,
        development=development,
        landing_folder=Path(settings.landing_folder) if settings.landing_folder else None,
        accounts=OwnAccounts(warehouse, warehouse.acting_as) if settings.tenant_accounts else None,
    )
    types = step_types(tools)
    surroundings = Surroundings(
        sender=process.bus.publisher,
        objects=bucket,
        types=types,
        clock=system_clock,
        parallel=settings.max_parallel_steps,
        room=Room(settings.max_steps, settings.max_loads),
    )

    def start(request: RunRequestedV1, cause: Envelope) -> Attempt:
        return Attempt(request, cause, surroundings)

    runs = Runs(Claims(bucket), settings.instance, start, system_clock, settings.max_runs)
    runs.register(process.router)
    Planner(types, system_clock).register(process.router)
    places = Places.at(settings.providers_at) if settings.providers_at else Places()
    providers = Providers(places, system_clock)
    CredentialCare(stored, vault, providers).register(process.router)
    Costs(warehouse).register(process.router)

    async def finish() -> None:
        await runs.finish(settings.shutdown_grace_seconds / 2)

    async def close_data() -> None:
        data.close()

    return Parts(
        router=process.router,
        checks=(bucket.check, warehouse.check),
        before_drain=(finish,),
        closers=(outgoing.close, vault.close, bucket.close, close_data, warehouse.close),
    )

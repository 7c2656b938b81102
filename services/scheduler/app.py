"""The composition root of the scheduler."""

from collections.abc import Callable

from contracts.envelope import Wire
from contracts.message import Service
from libs.clock import system_clock
from libs.service import Parts, Process
from libs.settings import SchedulerSettings
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import CloudStorageSlotLog
from libs.slotlog.writer import Writer
from services.scheduler.domain.deciding import Rules
from services.scheduler.handlers import Neighbours, register
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminders, Revisions
from services.scheduler.store import LedgerDecider, PlaceDecider
from services.scheduler.templates.library import Library
from services.scheduler.ticking import Sender


async def build(process: Process) -> Parts:
    settings = process.settings
    assert isinstance(settings, SchedulerSettings)  # noqa: S101  __main__ loads these
    bucket = Bucket(
        BucketSettings(settings.gcp_project_id, settings.bucket, settings.storage_emulator_host)
    )
    rules = rules_of(settings)
    log = CloudStorageSlotLog(bucket)
    writer = Writer(log, LedgerDecider(rules), service=Service.SCHEDULER, clock=system_clock)
    reminders = Reminders(bucket)
    places = Writer(
        log,
        PlaceDecider(rules),
        service=Service.SCHEDULER,
        clock=system_clock,
        prefix="scheduler-places",
    )
    ledgers = Ledgers(writer, places, reminders, rules, system_clock)
    neighbours = Neighbours(
        ledgers=ledgers,
        reminders=reminders,
        revisions=Revisions(bucket),
        templates=Library.packaged(),
        sender=LaterSender(lambda: process.bus.publisher),
    )
    register(process.router, neighbours)

    return Parts(
        router=process.router,
        checks=(bucket.check,),
        closers=(bucket.close, writer.close, places.close),
    )


def rules_of(settings: SchedulerSettings) -> Rules:
    """What the rules take of the settings, each under its own name."""
    return Rules.model_validate(settings.model_dump(include=set(Rules.model_fields)))


class LaterSender:
    """The bus's publisher, which is made when the router is complete."""

    def __init__(self, publisher: Callable[[], Sender]) -> None:
        self._publisher = publisher

    async def send(self, *emits: Wire) -> object:
        return await self._publisher().send(*emits)

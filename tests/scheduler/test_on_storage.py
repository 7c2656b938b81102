"""Two schedulers over one bucket, over Cloud Storage's API: places, reminders, old revisions."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.envelope import Envelope, Wire
from contracts.identifiers import RunId, TenantId
from contracts.message import Kind, Message, Service
from contracts.pipelines import SaveConfigV1
from contracts.runs import AttemptFinishedV1, RunRequestedV1, RunStatus, SubmitRunV1
from contracts.tenants import LimitsPart, TenantOnboardedV1
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.cloud_storage import CloudStorageSlotLog
from libs.slotlog.writer import Writer
from libs.testing.processes import EmulatorProcess, emulator
from services.scheduler.domain.deciding import KeepConfig, Rules
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminders
from services.scheduler.store import LedgerDecider, PlaceDecider
from tests.scheduler.platforms import CONFIG, DEFINITION

NOW = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)
TENANTS = (TenantId("first_inc"), TenantId("second_inc"))
RULES = Rules(max_running=2)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with emulator("storage", state_dir=tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture
async def bucket(storage: EmulatorProcess) -> AsyncIterator[Bucket]:
    endpoint = f"http://127.0.0.1:{storage.ports['http']}"
    found = Bucket(BucketSettings("project-one", f"bucket-{uuid4().hex}", endpoint))
    await found.ensure()
    yield found
    await found.close()


def scheduler(bucket: Bucket) -> Ledgers:
    def clock() -> datetime:
        return NOW

    log, reminders = CloudStorageSlotLog(bucket), Reminders(bucket)
    writer: Any = Writer(log, LedgerDecider(RULES), service=Service.SCHEDULER, clock=clock)
    places: Any = Writer(
        log, PlaceDecider(RULES), service=Service.SCHEDULER, clock=clock, prefix="scheduler-places"
    )
    return Ledgers(writer, places, reminders, RULES, clock)


async def tell(one: Ledgers, message: Message) -> list[RunRequestedV1]:
    """What starts."""
    tenant = message.scope
    assert tenant is not None
    envelope = Envelope(str(uuid4()), "x.v1", Kind.COMMAND, "test", NOW, tenant)
    wires: list[Wire] = list(await one.decide(tenant, message, envelope))
    types = [w for w in wires if w.attributes["ce-type"] == RunRequestedV1.wire_type]
    return [RunRequestedV1.decode(wire.data) for wire in types]


async def onboard(one: Ledgers, tenant: TenantId) -> None:
    limits = LimitsPart(daily=50, monthly=50, concurrent=3)
    onboarded = TenantOnboardedV1(
        tenant_id=tenant,
        company_name="Acme",
        admin_email="a@b.c",
        plan="STARTER",
        limits=limits,
        datasets=(tenant,),
        created_at=NOW,
        requested_by="test",
    )
    await tell(one, onboarded)
    save = SaveConfigV1(tenant_id=tenant, config_id=CONFIG, source="…", requested_by="test")
    await tell(one, KeepConfig(command=save, definition=DEFINITION))


def submit(tenant: TenantId) -> SubmitRunV1:
    return SubmitRunV1(
        tenant_id=tenant, run_id=RunId(str(uuid4())), config_id=CONFIG, run_date=NOW.date()
    )


def finished(run: RunRequestedV1) -> AttemptFinishedV1:
    return AttemptFinishedV1(
        tenant_id=run.tenant_id,
        run_id=run.run_id,
        attempt=run.attempt,
        status=RunStatus.COMPLETED,
        started_at=NOW,
        finished_at=NOW,
    )


async def test_places_go_round_between_tenants_and_schedulers(bucket: Bucket) -> None:
    instances = [scheduler(bucket), scheduler(bucket)]
    for tenant in TENANTS:
        await onboard(instances[0], tenant)
    going: list[RunRequestedV1] = []
    for number in range(8):
        going += await tell(instances[number % 2], submit(TENANTS[number // 4]))
        assert len(going) <= 2
    ended = []
    while going:
        run = going.pop()
        ended.append(run)
        going += await tell(instances[len(ended) % 2], finished(run))
        assert len(going) <= 2
    assert len({run.run_id for run in ended}) == 8
    assert (await instances[0].places()).used == 0
    keys = [key async for key in instances[0].each_tenant()]
    assert keys == list(TENANTS)


async def test_what_is_due_is_listed_in_order_and_dropped_once(bucket: Bucket) -> None:
    one = scheduler(bucket)
    for tenant in TENANTS:
        await onboard(one, tenant)
        assert len(await tell(one, submit(tenant))) == 1
    reminders = Reminders(bucket)
    assert await reminders.due(NOW, None, 10) == []
    later = NOW + timedelta(seconds=RULES.lease_seconds)
    due = await reminders.due(later, None, 10)
    assert [reminder.tenant_id for reminder in due] == list(TENANTS)
    assert await reminders.due(later, due[0], 10) == due[1:]
    for reminder in due:
        assert await one.reminder(reminder.tenant_id) == reminder
        await reminders.drop(reminder)
        await reminders.drop(reminder)
    assert await reminders.due(later, None, 10) == []

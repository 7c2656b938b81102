"""A ledger that cannot be read, or a storage that fails for one tenant, holds up no other."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from contracts.envelope import Wire
from contracts.identifiers import RunId, TenantId
from contracts.message import Message
from contracts.runs import RunRequestedV1, SubmitRunV1
from contracts.schedules import SaveScheduleV1, SchedulePart
from contracts.tenants import LimitsPart, PlanChangedV1
from contracts.ticks import TickJob, TickV1
from libs.outages import OutageError
from libs.slotlog.bucket import StorageUnavailableError
from services.scheduler import ticking
from services.scheduler.sparing import TenantsFailedError, TenantsUnreachedError
from tests.scheduler.simulation import CONFIG, Instance, Plan, World

BAD, GOOD = TenantId("tenant_0"), TenantId("tenant_1")
WIDE = LimitsPart(daily=50, monthly=500, concurrent=2)


async def told(world: World, instance: Instance, message: Message) -> list[Any]:
    return list(await instance.handle(message, world._envelope(message)))


async def calm(max_running: int = 0) -> World:
    """Two tenants, each with a schedule; the first has the first reminder."""
    plan = Plan(tenants=2, instances=1, scheduled=False, limits=WIDE, max_running=max_running)
    world = World(1, plan)
    world.log.trouble = 0.0
    await world._begin()
    for tenant in (BAD, GOOD):
        schedule = SchedulePart(config_id=CONFIG, cron="*/10 * * * *")
        save = SaveScheduleV1(tenant_id=tenant, schedule=schedule, requested_by="test")
        await told(world, world.instances[0], save)
    return world


def spoil(world: World, tenant: TenantId) -> None:
    """Its snapshot is of another release, and its records have expired."""
    stream = f"scheduler/{tenant}"
    last = max(world.log._slots[stream])
    world.log._slots[stream].clear()
    world.log._snapshots[stream] = (last, b'{"version":99,"state":{},"inbox":[]}')


def begun(world: World, tenant: TenantId) -> int:
    wires = [w for w in world.published.values() if _is_of(w, tenant)]
    return len({RunRequestedV1.decode(wire.data).run_id for wire in wires})


def _is_of(wire: Wire, tenant: TenantId) -> bool:
    about = wire.attributes
    return about["ce-type"] == RunRequestedV1.wire_type and about["ce-tenantid"] == tenant


@pytest.mark.parametrize("job", [*TickJob])
@pytest.mark.parametrize("page", [1, 100])
async def test_a_ledger_that_cannot_be_read_holds_up_no_other_tenant(
    job: TickJob, page: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ticking, "AT_ONCE", page)
    world = await calm()
    spoil(world, BAD)
    fresh = Instance(world)
    for number in (1, 2, 3):
        world.now += timedelta(minutes=10)
        with (
            caplog.at_level(logging.ERROR),
            pytest.raises(TenantsFailedError, match=f"1 tenants .*: {BAD};") as caught,
        ):
            await told(world, fresh, TickV1(job=job))
        assert not isinstance(caught.value, OutageError)
        assert begun(world, GOOD) == min(number, WIDE.concurrent)
        assert f"tenant {BAD} could not be served" in caplog.text
    assert begun(world, BAD) == 0
    due = [name for name in world.objects.bodies if name.startswith("due/")]
    assert any(f"/{BAD}/" in name for name in due), "it is looked at again when it can be read"


async def test_a_storage_that_fails_once_costs_only_what_failed() -> None:
    world = await calm()
    world.now += timedelta(minutes=10)
    instance = world.instances[0]
    delete = world.objects.delete
    failed: list[str] = []

    async def once(name: str) -> None:
        if not failed:
            failed.append(name)
            raise StorageUnavailableError("bucket", "it answered 503")
        await delete(name)

    world.objects.delete = once  # type: ignore[method-assign] # fails once
    with pytest.raises(TenantsUnreachedError):
        await told(world, instance, TickV1(job=TickJob.TRIGGER))
    assert (begun(world, BAD), begun(world, GOOD)) == (1, 1)
    await told(world, instance, TickV1(job=TickJob.TRIGGER))
    assert (begun(world, BAD), begun(world, GOOD)) == (1, 1)
    assert failed[0] not in world.objects.bodies


async def test_places_given_to_a_ledger_that_cannot_be_read_hold_up_no_other() -> None:
    world = await calm(max_running=1)
    instance = world.instances[0]
    for number, tenant in enumerate((GOOD, BAD, GOOD)):
        await told(world, instance, submission(world, tenant, number))
    spoil(world, BAD)
    more = PlanChangedV1(tenant_id=GOOD, plan="SCALE", limits=WIDE, requested_by="admin")
    world.rules = world.rules.model_copy(update={"max_running": 3})
    wider = Instance(world)
    said = await told(world, wider, more)
    assert [_is_of(wire, GOOD) for wire in said].count(True) == 1
    with pytest.raises(TenantsFailedError):
        await told(world, wider, TickV1(job=TickJob.TRIGGER))


def submission(world: World, tenant: TenantId, number: int) -> SubmitRunV1:
    return SubmitRunV1(
        tenant_id=tenant,
        run_id=RunId(f"00000000-0000-4000-8000-{number:012d}"),
        config_id=CONFIG,
        run_date=world.now.date(),
    )

"""What a tick answers is what it did; doing it again does nothing and says so."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from contracts.envelope import Wire
from contracts.runs import CancelRunV1, SubmitRunV1
from contracts.schedules import SaveScheduleV1, SchedulePart
from contracts.tenants import LimitsPart, PlanChangedV1
from contracts.ticks import TickAppliedV1, TickJob, TickV1
from libs.slotlog.bucket import StorageUnavailableError
from services.scheduler.sparing import TenantsUnreachedError
from tests.scheduler.instances import Broker
from tests.scheduler.simulation import CONFIG, Instance, World
from tests.scheduler.test_expiry import calm, submission, told

WIDE = LimitsPart(daily=50, monthly=500, concurrent=2)
NOTHING = (0, 0, 0, 0)


async def busy(limits: LimitsPart = WIDE) -> tuple[World, Instance]:
    world, instance = await calm()
    tenant = world.tenants[0]
    plan = PlanChangedV1(tenant_id=tenant, plan="SCALE", limits=limits, requested_by="admin")
    await told(world, instance, plan)
    return world, instance


async def scheduled(world: World, instance: Instance) -> None:
    schedule = SchedulePart(config_id=CONFIG, cron="*/10 * * * *")
    tenant = world.tenants[0]
    await told(
        world,
        instance,
        SaveScheduleV1(tenant_id=tenant, schedule=schedule, requested_by="test"),
    )


async def tick(world: World, instance: Instance, job: TickJob) -> tuple[int, int, int, int]:
    (said,) = await told(world, instance, TickV1(job=job))
    assert isinstance(said, TickAppliedV1)
    assert said.job is job
    return said.triggered_count, said.queued_count, said.retried_count, said.expired_count


@pytest.mark.parametrize("job", [TickJob.TRIGGER, TickJob.QUEUE, TickJob.DAILY])
async def test_a_due_schedule_is_counted_once(job: TickJob) -> None:
    world, instance = await busy()
    await scheduled(world, instance)
    world.now += timedelta(minutes=10)
    assert await tick(world, instance, job) == (1, 0, 0, 0)
    assert await tick(world, instance, job) == NOTHING


async def test_a_run_over_the_limit_was_not_triggered() -> None:
    world, instance = await busy(LimitsPart(daily=0, monthly=500, concurrent=2))
    await scheduled(world, instance)
    world.now += timedelta(minutes=10)
    assert await tick(world, instance, TickJob.TRIGGER) == NOTHING


async def test_runs_that_are_lost_are_counted_when_they_are_requested_again() -> None:
    world, instance = await busy()
    for number in range(2):
        await told(world, instance, submission(world, number))
    world.now += timedelta(seconds=61)
    assert await tick(world, instance, TickJob.TRIGGER) == (0, 0, 2, 0)
    assert await tick(world, instance, TickJob.TRIGGER) == NOTHING


async def test_runs_that_waited_are_counted_when_they_begin() -> None:
    """A run that was to be cancelled, and whose executor is silent, makes room for one."""
    world, instance = await busy(LimitsPart(daily=50, monthly=500, concurrent=1))
    first, second = submission(world, 1), submission(world, 2)
    await told(world, instance, first)
    await told(world, instance, second)
    await told(world, instance, cancellation(first))
    world.now += timedelta(seconds=61)
    assert await tick(world, instance, TickJob.QUEUE) == (0, 1, 0, 0)
    assert await tick(world, instance, TickJob.QUEUE) == NOTHING


async def test_what_is_forgotten_is_counted() -> None:
    world, instance = await busy()
    for number in range(2):
        run = submission(world, number)
        await told(world, instance, run)
        await told(world, instance, cancellation(run))
    world.now += timedelta(seconds=61)
    await tick(world, instance, TickJob.TRIGGER)
    world.now += timedelta(days=91)
    assert await tick(world, instance, TickJob.DAILY) == (0, 0, 0, 2)
    assert await tick(world, instance, TickJob.DAILY) == NOTHING


def cancellation(run: SubmitRunV1) -> CancelRunV1:
    about: dict[str, Any] = {"tenant_id": run.tenant_id, "run_id": run.run_id}
    return CancelRunV1(**about, requested_by="test")


async def test_what_was_published_is_not_published_again_while_its_reminder_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, instance = await busy()
    await scheduled(world, instance)
    sent: list[str] = []
    send = Broker.send

    async def noted(broker: Broker, *wires: Wire) -> None:
        sent.extend(wire.attributes["ce-id"] for wire in wires)
        await send(broker, *wires)

    async def fail(name: str) -> None:
        raise StorageUnavailableError("bucket", f"{name}: it answered 503")

    monkeypatch.setattr(Broker, "send", noted)
    world.objects.delete = fail  # type: ignore[method-assign] # from now on
    world.now += timedelta(minutes=10)
    for _ in range(3):
        with pytest.raises(TenantsUnreachedError):
            await tick(world, instance, TickJob.TRIGGER)
    assert sent
    assert len(sent) == len(set(sent))


async def test_ticks_that_wait_are_answered_by_one_round_together() -> None:
    world, instance = await busy()
    await scheduled(world, instance)
    names, listed, may_go_on = world.objects.names, list[str](), asyncio.Event()

    async def slow(prefix: str, start: str = "", limit: int = 1000) -> list[str]:
        listed.append(prefix)
        await may_go_on.wait()
        return await names(prefix, start, limit)

    world.objects.names = slow  # type: ignore[method-assign] # until it may go on
    ticks = [asyncio.create_task(tick(world, instance, TickJob.TRIGGER))]
    async with asyncio.timeout(60):
        while not listed:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0)
        ticks += [asyncio.create_task(tick(world, instance, TickJob.TRIGGER)) for _ in range(3)]
        await asyncio.sleep(0)
        world.now += timedelta(minutes=10)
        may_go_on.set()
        first, *others = await asyncio.gather(*ticks)
    assert others == [others[0]] * 3
    assert first[0] + others[0][0] == 1, "the schedule that came due is started once"
    assert len(listed) <= 4, "two rounds, each of which lists until nothing more is due"


async def test_a_round_that_failed_answers_for_no_other() -> None:
    world, instance = await busy()
    await scheduled(world, instance)
    world.now += timedelta(minutes=10)
    fetched, failed = world.objects.names, list[str]()

    async def once(prefix: str, start: str = "", limit: int = 1000) -> list[str]:
        if not failed:
            failed.append(prefix)
            raise StorageUnavailableError("bucket", "it answered 503")
        return await fetched(prefix, start, limit)

    world.objects.names = once  # type: ignore[method-assign] # fails once
    first, second = await asyncio.gather(
        *(tick(world, instance, TickJob.TRIGGER) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(first, StorageUnavailableError)
    assert second == (1, 0, 0, 0)

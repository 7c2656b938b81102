"""What operators see of all tenants, and a tenant of its own run, while work waits for places."""

from datetime import timedelta

from contracts.identifiers import RunId, TenantId
from contracts.quota import GetSchedulerStatusV1, SchedulerStatusV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptStartedV1,
    ExplainRunV1,
    RunExplainedV1,
    RunStatus,
    SubmitRunV1,
)
from tests.scheduler.simulation import CONFIG, Instance, Plan, World
from tests.scheduler.test_expiry import told

LASTS = timedelta(seconds=30)


def a_run(number: int) -> RunId:
    return RunId(f"00000000-0000-4000-8000-{number:012d}")


async def submit(world: World, instance: Instance, tenant: TenantId, number: int) -> None:
    about = {"tenant_id": tenant, "run_id": a_run(number), "config_id": CONFIG}
    run = SubmitRunV1.model_validate({**about, "run_date": world.now.date()})
    await told(world, instance, run)


async def start(world: World, instance: Instance, tenant: TenantId, number: int) -> None:
    about = {"tenant_id": tenant, "run_id": a_run(number), "config_id": CONFIG, "attempt": 1}
    began = {**about, "steps": (), "started_at": world.now}
    await told(world, instance, AttemptStartedV1.model_validate(began))


async def two_places_of_three_tenants() -> tuple[World, Instance]:
    """The first has both places and one run more, the second waits for one, the third is idle."""
    world = World(1, Plan(tenants=3, instances=1, scheduled=False, max_running=2))
    world.log.trouble = 0.0
    await world._begin()
    instance, (first, second, _) = world.instances[0], world.tenants
    for number in range(3):
        await submit(world, instance, first, number)
    await start(world, instance, first, 0)
    world.now += LASTS
    ended = {
        "tenant_id": first,
        "run_id": a_run(0),
        "attempt": 1,
        "status": RunStatus.COMPLETED,
        "started_at": world.now - LASTS,
        "finished_at": world.now,
    }
    await told(world, instance, AttemptFinishedV1.model_validate(ended))
    await submit(world, instance, first, 3)
    await submit(world, instance, second, 4)
    for number in (1, 2):
        await start(world, instance, first, number)
    return world, instance


async def test_the_status_shows_each_tenants_share_and_what_holds_it_up() -> None:
    world, instance = await two_places_of_three_tenants()
    world.now += timedelta(seconds=10)
    (said,) = await told(world, instance, GetSchedulerStatusV1())
    assert isinstance(said, SchedulerStatusV1)
    assert (said.max_running, said.running, said.next_after) == (2, 2, None)
    assert said.waiting == 1, "one more could go on if there were more places"
    rows = {
        one.tenant_id: (one.running, one.waiting, one.share, one.blocking_limit)
        for one in said.tenants
    }
    first, second, third = world.tenants
    assert rows == {
        first: (2, 1, 1.0, "concurrent"),
        second: (0, 1, 0.0, "platform"),
        third: (0, 0, 0.0, ""),
    }
    busy, late, idle = said.tenants
    assert {one.weight for one in said.tenants} == {2}
    assert busy.expected_start_at == world.now + LASTS, "the first place is the other's"
    assert (late.oldest_wait_seconds, late.expected_start_at) == (10, None)
    assert idle.expected_start_at is None


async def test_the_status_goes_on_page_by_page() -> None:
    world, instance = await two_places_of_three_tenants()
    (one,) = await told(world, instance, GetSchedulerStatusV1(limit=2))
    assert [row.tenant_id for row in one.tenants] == world.tenants[:2]
    (rest,) = await told(world, instance, GetSchedulerStatusV1(limit=2, after=one.next_after))
    assert ([row.tenant_id for row in rest.tenants], rest.next_after) == (world.tenants[2:], None)


async def test_a_tenant_is_told_the_limit_and_the_place_of_its_run() -> None:
    world, instance = await two_places_of_three_tenants()
    for tenant, number, limit in (
        (world.tenants[0], 3, "concurrent"),
        (world.tenants[1], 4, "platform"),
    ):
        (said,) = await told(world, instance, ExplainRunV1(tenant_id=tenant, run_id=a_run(number)))
        assert isinstance(said, RunExplainedV1)
        assert (said.status, said.place, said.blocking_limit) == ("QUEUED", 1, limit)

"""What operators change of one tenant: at once, again, and after it has left."""

import asyncio

import pytest

from contracts.identifiers import TenantId
from contracts.platform import CommandRefusedV1
from contracts.tenants import (
    ChangePlanV1,
    LimitOverridesPart,
    OffboardTenantV1,
    PlanChangedV1,
    PlanField,
    TenantOffboardedV1,
    TenantOnboardedV1,
)
from libs.slotlog.bucket import Bucket
from libs.warehouse.warehouse import Warehouse
from tests.tenant.desk import Desk, kinds, onboarding

ACME = TenantId("acme")


def change(*only: PlanField, plan: str = "", **limits: int | None) -> ChangePlanV1:
    return ChangePlanV1(
        tenant_id=ACME,
        plan=plan,
        overrides=LimitOverridesPart.model_validate(limits),
        only=only,
        requested_by="admin",
    )


def leave(tenant: str, *, drop: bool) -> OffboardTenantV1:
    return OffboardTenantV1(tenant_id=TenantId(tenant), drop_datasets=drop, requested_by="admin")


async def test_changes_that_are_made_at_once_lose_nothing_of_each_other(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await desk.expect(onboarding("acme"), TenantOnboardedV1)
    desks = [Desk(warehouse, bucket, desk.log) for _ in range(4)]
    for one in desks:
        await one.state("acme")  # each has seen the tenant as it was
    wanted = [
        change(PlanField.PLAN, plan="SCALE"),
        change(PlanField.DAILY, daily=250),
        change(PlanField.MONTHLY, monthly=5000),
        change(PlanField.CONCURRENT, concurrent=7),
    ]
    await asyncio.gather(*(one.give(said) for one, said in zip(desks, wanted, strict=True)))
    state = await desk.state("acme")
    assert (state.plan, state.overrides) == (
        "SCALE",
        LimitOverridesPart(daily=250, monthly=5000, concurrent=7),
    )


async def test_a_limit_goes_back_to_the_plans_and_leaves_the_others(desk: Desk) -> None:
    await desk.expect(onboarding("acme"), TenantOnboardedV1)
    await desk.give(change(PlanField.DAILY, PlanField.MONTHLY, daily=250, monthly=5000))
    event = await desk.expect(change(PlanField.DAILY, daily=None), PlanChangedV1)
    assert (event.plan, event.limits.daily, event.limits.monthly) == ("STARTER", 6, 5000)


async def test_a_change_that_does_not_say_what_changes_means_all_of_it(desk: Desk) -> None:
    """As gateways of before send it."""
    await desk.expect(onboarding("acme"), TenantOnboardedV1)
    await desk.give(change(PlanField.DAILY, daily=250))
    whole = change(plan="SCALE", monthly=1).model_copy(update={"only": None})
    event = await desk.expect(whole, PlanChangedV1)
    assert (event.plan, event.limits.daily, event.limits.monthly) == ("SCALE", 100, 1)


async def test_datasets_that_were_kept_can_be_dropped_later_and_it_is_recorded(
    desk: Desk, warehouse: Warehouse
) -> None:
    await desk.expect(onboarding("kept"), TenantOnboardedV1)
    kept = await desk.expect(leave("kept", drop=False), TenantOffboardedV1)
    assert (kept.kept_datasets, kept.dropped_datasets) == (("kept",), ())
    assert await warehouse.tables("kept")
    said = await desk.give(leave("kept", drop=True))
    assert kinds(said) == ["tenant.offboarded.v1"]
    dropped = said[0]
    assert isinstance(dropped, TenantOffboardedV1)
    assert (dropped.kept_datasets, dropped.dropped_datasets) == ((), ("kept",))
    sql = "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA WHERE schema_name = 'kept'"
    assert not list(await warehouse.query(sql))
    again = await desk.expect(leave("kept", drop=True), TenantOffboardedV1)
    assert (again.kept_datasets, again.dropped_datasets) == ((), ())


async def test_two_who_drop_at_once_are_both_told(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await desk.expect(onboarding("twice"), TenantOnboardedV1)
    await desk.give(leave("twice", drop=False))
    desks = [Desk(warehouse, bucket, desk.log) for _ in range(2)]
    said = await asyncio.gather(*(one.give(leave("twice", drop=True)) for one in desks))
    assert [kinds(each) for each in said] == [["tenant.offboarded.v1"]] * 2
    assert (await desk.state("twice")).datasets == ()


@pytest.mark.parametrize("drop", [False, True])
async def test_nobody_who_was_never_there_is_seen_off(desk: Desk, *, drop: bool) -> None:
    refusal = await desk.expect(leave("never", drop=drop), CommandRefusedV1)
    assert refusal.code == "tenant_not_found"

"""What is dropped when a tenant leaves: what is its own, and nothing else."""

import pytest

from contracts.datasets import DatasetRegisteredV1
from contracts.identifiers import TenantId
from contracts.platform import CommandRefusedV1
from contracts.tenants import OffboardTenantV1, TenantOffboardedV1, TenantOnboardedV1
from libs.slotlog.bucket import Bucket
from libs.slotlog.memory import MemorySlotLog
from libs.warehouse.schema import Column, Dataset, Table
from libs.warehouse.warehouse import Warehouse
from tests.tenant.crashing import Crash, dying
from tests.tenant.desk import Desk, context_of, onboarding
from tests.tenant.test_names import register

BOOKS = "books"


def leave(tenant: str) -> OffboardTenantV1:
    return OffboardTenantV1(tenant_id=TenantId(tenant), drop_datasets=True, requested_by="admin")


async def begun(desk: Desk, tenant: str) -> None:
    """Its onboarding has ended in the dead letters, before anything was made."""
    command = onboarding(tenant)
    assert await desk.tenants.submit(tenant, command, context_of(command).envelope) == ()


async def with_books(warehouse: Warehouse, dataset: str) -> None:
    await warehouse.ensure(Table(dataset, BOOKS, (Column("id", "STRING"),)))


async def test_a_dataset_that_was_there_before_the_tenant_outlives_it(
    desk: Desk, warehouse: Warehouse
) -> None:
    await warehouse.ensure(Dataset("payroll", "somebody's own"))
    await with_books(warehouse, "payroll")
    await begun(desk, "payroll")
    left = await desk.expect(leave("payroll"), TenantOffboardedV1)
    assert (left.dropped_datasets, left.kept_datasets) == ((), ("payroll",))
    assert await warehouse.tables("payroll") == [BOOKS]


async def test_another_tenants_dataset_outlives_who_came_by_its_name(
    desk: Desk, warehouse: Warehouse
) -> None:
    await desk.expect(onboarding("owner"), TenantOnboardedV1)
    await desk.expect(register("owner", "owner_raw"), DatasetRegisteredV1)
    await with_books(warehouse, "owner_raw")
    await begun(desk, "owner_raw")
    left = await desk.expect(leave("owner_raw"), TenantOffboardedV1)
    assert left.kept_datasets == ("owner_raw",)
    assert await warehouse.tables("owner_raw") == [BOOKS]


async def test_a_dataset_that_another_put_in_place_of_the_tenants_outlives_it(
    desk: Desk, warehouse: Warehouse
) -> None:
    await desk.expect(onboarding("usurped"), TenantOnboardedV1)
    await desk.expect(register("usurped", "usurped_raw"), DatasetRegisteredV1)
    await warehouse.drop_dataset(Dataset("usurped_raw"))
    await warehouse.ensure(Dataset("usurped_raw", "put there by somebody else"))
    await with_books(warehouse, "usurped_raw")
    left = await desk.expect(leave("usurped"), TenantOffboardedV1)
    assert (left.dropped_datasets, left.kept_datasets) == (("usurped",), ("usurped_raw",))
    assert await warehouse.tables("usurped_raw") == [BOOKS]


@pytest.mark.parametrize("point", range(1, 6))
async def test_a_registration_that_was_cut_off_leaves_nothing_once_its_tenant_has_left(
    warehouse: Warehouse, bucket: Bucket, point: int
) -> None:
    name, log = f"cut_off_{point}", MemorySlotLog()
    whole, command = Desk(warehouse, bucket, log), register(name, f"{name}_raw")
    await whole.expect(onboarding(name), TenantOnboardedV1)
    with pytest.raises(Crash):
        await dying(whole, log, point).give(command, "the-same-id")
    await whole.give(leave(name))
    (refusal,) = await Desk(warehouse, bucket, log).give(command, "the-same-id")
    assert isinstance(refusal, CommandRefusedV1)
    assert await bucket.names("claims/") == [f"claims/datasets/{name}"]
    sql = f"SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA WHERE schema_name = '{name}_raw'"
    assert await warehouse.query(sql) == []


async def test_what_somebody_has_put_into_it_stays_when_a_registration_comes_to_nothing(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await desk.expect(onboarding("filled"), TenantOnboardedV1)
    log = desk.log
    assert isinstance(log, MemorySlotLog)
    with pytest.raises(Crash):
        await dying(desk, log, 5).give(register("filled", "filled_raw"))
    await with_books(warehouse, "filled_raw")
    await desk.give(leave("filled"))
    await desk.give(register("filled", "filled_raw"))
    assert await warehouse.tables("filled_raw") == [BOOKS]

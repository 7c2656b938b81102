"""Names of datasets: checked before they are claimed, given back when nothing comes of them."""

import pytest

from contracts.datasets import DatasetRegisteredV1, RegisterDatasetV1
from contracts.identifiers import DatasetName, TenantId
from contracts.platform import CommandRefusedV1
from contracts.tenants import OffboardTenantV1, ProvisionTenantV1, TenantOnboardedV1
from libs.slotlog.bucket import Bucket
from libs.slotlog.cloud_storage import Claims
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import Warehouse
from tests.tenant.desk import Desk, onboarding


def register(tenant: str, dataset: str) -> RegisterDatasetV1:
    return RegisterDatasetV1(
        tenant_id=TenantId(tenant), dataset=DatasetName(dataset), requested_by="test"
    )


async def test_provisioning_a_mistyped_tenant_takes_no_name(desk: Desk, bucket: Bucket) -> None:
    command = ProvisionTenantV1(tenant_id=TenantId("acmee"), requested_by="admin")
    assert (await desk.expect(command, CommandRefusedV1)).code == "tenant_not_found"
    assert await bucket.names("claims/") == []


async def test_a_tenant_that_has_left_is_not_provisioned(desk: Desk, bucket: Bucket) -> None:
    tenant = TenantId("long_gone")
    await desk.expect(onboarding(tenant), TenantOnboardedV1)
    await desk.give(OffboardTenantV1(tenant_id=tenant, requested_by="admin"))
    before = await bucket.names("claims/")
    command = ProvisionTenantV1(tenant_id=tenant, requested_by="admin")
    assert (await desk.expect(command, CommandRefusedV1)).code == "tenant_not_found"
    assert await bucket.names("claims/") == before


@pytest.mark.parametrize("dataset", ["nobodys_raw", "other_raw"], ids=["no tenant", "not its own"])
async def test_a_dataset_that_may_not_be_registered_takes_no_name(
    desk: Desk, bucket: Bucket, dataset: str
) -> None:
    refusal = await desk.expect(register("nobodys", dataset), CommandRefusedV1)
    assert refusal.code == "tenant_not_found"
    assert await bucket.names("claims/") == []


async def test_the_name_of_an_onboarding_that_came_to_nothing_is_free_again(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await warehouse.ensure(Dataset("finance_desk", "somebody's own"))
    assert (await desk.expect(onboarding("finance_desk"), CommandRefusedV1)).code == "dataset_taken"
    assert await bucket.names("claims/") == []
    await warehouse.drop_dataset(Dataset("finance_desk"))
    await desk.expect(onboarding("finance_desk"), TenantOnboardedV1)


async def test_an_onboarding_that_was_given_up_says_so_when_it_comes_again(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await warehouse.ensure(Dataset("finance_room", "somebody's own"))
    first = await desk.give(onboarding("finance_room"), "the-same-id")
    await warehouse.drop_dataset(Dataset("finance_room"))
    assert await desk.give(onboarding("finance_room"), "the-same-id") == first
    assert await bucket.names("claims/") == []


async def test_the_name_of_a_dataset_that_came_to_nothing_is_free_again(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await desk.expect(onboarding("finance"), TenantOnboardedV1)
    await warehouse.ensure(Dataset("finance_two", "somebody's own"))
    refusal = await desk.expect(register("finance", "finance_two"), CommandRefusedV1)
    assert refusal.code == "dataset_taken"
    assert await bucket.names("claims/") == ["claims/datasets/finance"]
    await warehouse.drop_dataset(Dataset("finance_two"))
    await desk.expect(onboarding("finance_two"), TenantOnboardedV1)


class Leaving(Claims):
    """The tenant is seen off by somebody else while it claims a name."""

    def __init__(self, bucket: Bucket, other: Desk) -> None:
        super().__init__(bucket)
        self._other = other

    async def claim(self, name: str, owner: str) -> bool:
        won = await super().claim(name, owner)
        await self._other.give(OffboardTenantV1(tenant_id=TenantId(owner), requested_by="admin"))
        return won


async def test_a_tenant_that_leaves_meanwhile_leaves_no_dataset_and_no_name(
    desk: Desk, warehouse: Warehouse, bucket: Bucket
) -> None:
    await desk.expect(onboarding("hasty"), TenantOnboardedV1)
    slow = Desk(warehouse, bucket, desk.log, claims=Leaving(bucket, desk))
    refusal = await slow.expect(register("hasty", "hasty_raw"), CommandRefusedV1)
    assert refusal.code == "tenant_not_found"
    assert await bucket.names("claims/") == ["claims/datasets/hasty"]
    await desk.expect(onboarding("hasty_raw"), TenantOnboardedV1)


async def test_a_name_that_is_used_is_kept_when_it_is_asked_for_again(
    desk: Desk, warehouse: Warehouse
) -> None:
    await desk.expect(onboarding("steady"), TenantOnboardedV1)
    await desk.expect(register("steady", "steady_raw"), DatasetRegisteredV1)
    await warehouse.drop_dataset(Dataset("steady_raw"))
    await warehouse.ensure(Dataset("steady_raw", "put there by somebody else"))
    refusal = await desk.expect(register("steady", "steady_raw"), CommandRefusedV1)
    assert refusal.code == "dataset_taken"
    stranger = await desk.expect(onboarding("steady_raw"), CommandRefusedV1)
    assert stranger.code == "dataset_taken"

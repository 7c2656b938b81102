"""What of a tenant waits for BigQuery, and what does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from contracts.catalogue import CATALOGUE
from contracts.datasets import DatasetRegisteredV1, RegisterDatasetV1
from contracts.identifiers import DatasetName, TenantId
from contracts.keys import FindKeyV1, KeyFoundV1, KeyRevokedV1, RevokeKeyV1
from contracts.message import Service
from contracts.tenants import (
    SuspendTenantV1,
    TenantOnboardedV1,
    TenantSuspendedV1,
)
from contracts.topology import durable_subscriptions, instance_subscriptions, topology
from libs.bus.memory import MemoryTransport
from libs.bus.requester import Requester
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.warehouse.warehouse import Warehouse
from services.tenant.ciphertexts import Ciphertexts
from services.tenant.handlers import Handlers
from services.tenant.provisioning import Provisioner
from services.tenant.store import TenantDecider
from tests.tenant.desk import key, onboarding

ACME = TenantId("acme")
SOON_SECONDS = 30.0
LONG_SECONDS = 90.0


class Stuck(Warehouse):
    """BigQuery, which answers only while the gate is open."""

    def __init__(self) -> None:
        """It has no client."""
        self.gate, self.begun = asyncio.Event(), asyncio.Event()

    async def ensure(self, *_: Any) -> Any:
        self.begun.set()
        await self.gate.wait()
        return []


class Everybody:
    """Has every name it asks for."""

    async def claim(self, name: str, owner: str) -> bool:
        return bool(name and owner)

    async def holds(self, name: str, owner: str) -> bool:
        return bool(name and owner)

    async def release(self, name: str, owner: str) -> None:
        """Nobody else is there."""


class NoObjects:
    async def put(self, name: str, body: bytes) -> None:
        raise AssertionError(name, body)

    async def fetch(self, name: str) -> bytes | None:
        raise AssertionError(name)

    async def delete(self, name: str) -> None:
        raise AssertionError(name)


@asynccontextmanager
async def running(warehouse: Warehouse) -> AsyncIterator[Requester]:
    """A gateway's questions to a tenant service, over one broker."""
    transport, router = MemoryTransport(topology()), Router()
    heard = BusOptions("tenant-one", durable_subscriptions(Service.TENANT))
    tenant = Bus(Service.TENANT, router, transport, heard)
    tenants = Writer(MemorySlotLog(), TenantDecider(), service=Service.TENANT)
    provisioner = Provisioner(warehouse, Everybody())
    Handlers(tenants, provisioner, Ciphertexts(NoObjects()), tenant.publisher).register(router)
    answered = BusOptions("one", instance_subscriptions("one"))
    gateway = Bus(Service.GATEWAY, Router(), transport, answered)
    for bus in (tenant, gateway):
        await bus.start()
    try:
        yield gateway.requester
    finally:
        for bus in (gateway, tenant):
            await bus.drain(1)
        await tenants.close()


def registration() -> RegisterDatasetV1:
    return RegisterDatasetV1(tenant_id=ACME, dataset=DatasetName("acme_raw"), requested_by="tenant")


async def test_a_key_ends_and_a_tenant_is_suspended_while_bigquery_is_waited_for() -> None:
    warehouse, mine = Stuck(), key(1).key_hash
    warehouse.gate.set()
    async with running(warehouse) as gateway:
        await gateway.ask(
            onboarding("acme", first_key=key(1)), TenantOnboardedV1, within=LONG_SECONDS
        )
        warehouse.gate.clear()
        warehouse.begun.clear()
        waiting = [
            asyncio.create_task(
                gateway.ask(registration(), DatasetRegisteredV1, within=LONG_SECONDS)
            )
            for _ in range(3)
        ]
        async with asyncio.timeout(LONG_SECONDS):
            await warehouse.begun.wait()
        async with asyncio.timeout(SOON_SECONDS):
            revoke = RevokeKeyV1(tenant_id=ACME, key_hash=mine, requested_by="admin")
            await gateway.ask(revoke, KeyRevokedV1, within=SOON_SECONDS)
            found = await gateway.ask(
                FindKeyV1(tenant_id=ACME, key_hash=mine), KeyFoundV1, within=SOON_SECONDS
            )
            assert found.key is not None
            assert not found.key.is_active
            suspend = SuspendTenantV1(tenant_id=ACME, reason="stolen", requested_by="admin")
            await gateway.ask(suspend, TenantSuspendedV1, within=SOON_SECONDS)
        assert not any(task.done() for task in waiting)
        warehouse.gate.set()
        for done in await asyncio.gather(*waiting):
            assert done.datasets == ("acme", "acme_raw")


def test_only_what_may_wait_for_bigquery_is_in_its_lane() -> None:
    lanes = {e.model.wire_type for e in CATALOGUE if e.ordering_key == "tenant_id/warehouse"}
    assert lanes == {
        "tenant.onboard.v1",
        "tenant.provision.v1",
        "tenant.offboard.v1",
        "tenant.change_plan.v1",
        "dataset.register.v1",
    }

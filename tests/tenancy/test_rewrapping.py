"""Wrapping a tenant's credentials anew: what cannot be is said, and the rest is done."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialListV1,
    CredentialPart,
    CredentialStoredV1,
    DeleteCredentialV1,
    ListCredentialsV1,
    Provider,
    SealedPart,
    StoreCredentialV1,
)
from contracts.examples import example_part
from contracts.identifiers import CredentialId, TenantId
from contracts.message import Message, Service
from contracts.tenants import TenantOnboardedV1
from contracts.topology import (
    durable_subscriptions,
    instance_subscriptions,
    own_subscriptions,
    topology,
)
from libs.bus.memory import MemoryTransport
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.clock import system_clock
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.vault.vault import CannotOpenError, Purpose, Vault
from services.executor.credential_care import CredentialCare
from services.executor.credentials import StoredCredentials
from services.executor.providers import Places, Providers
from services.gateway.api import credentials
from services.gateway.questions import Questions
from services.tenant.ciphertexts import Ciphertexts
from services.tenant.handlers import Handlers
from services.tenant.provisioning import Provisioner
from services.tenant.store import TenantDecider
from tests.gateway.edges import ADMIN_KEY, edge_on, once_for, serving
from tests.tenant.desk import onboarding
from tests.tenant.test_lanes import Everybody, Stuck

ACME = TenantId("acme")
SOON_SECONDS = 60.0
NEW_KEY = "the-newest-version"
NIGHTLY = {"Idempotency-Key": "nightly"}


@dataclass
class Shelf:
    """Where ciphertexts lie; has no room for those of `full`."""

    kept: dict[str, bytes] = field(default_factory=dict)
    full: str = ""

    async def put(self, name: str, body: bytes) -> None:
        if self.full and f"/{self.full}/" in name:
            raise OSError(name)
        self.kept[name] = body

    async def fetch(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def delete(self, name: str) -> None:
        self.kept.pop(name, None)

    @property
    def wrapped_anew(self) -> set[str]:
        return self.wrapped_by(NEW_KEY)

    def wrapped_by(self, kms_key: str) -> set[str]:
        names = (name for name, body in self.kept.items() if kms_key.encode() in body)
        return {name.split("/")[-2] for name in names}


class Kms(Vault):
    """Wraps anew what is not `damaged`; its owner deletes `unwanted` meanwhile."""

    def __init__(self) -> None:
        """It has no client."""
        self.damaged = self.unwanted = ""
        self.newest = NEW_KEY
        self.owner: Bus | None = None

    async def rewrap(self, sealed: SealedPart, purpose: Purpose) -> SealedPart:
        if purpose.credential_id == self.damaged:
            raise CannotOpenError(purpose)
        if purpose.credential_id == self.unwanted and self.owner:
            command = DeleteCredentialV1(
                tenant_id=ACME, credential_id=CredentialId(self.unwanted), requested_by="tenant"
            )
            await self.owner.requester.ask(command, CredentialDeletedV1, within=SOON_SECONDS)
        return sealed.model_copy(update={"kms_key": self.newest})


@dataclass
class Platform:
    """A gateway, a tenant service and an executor over one broker; a tenant has three."""

    shelf: Shelf
    kms: Kms
    url: str
    owner: Bus

    async def rewrap(self, **headers: str) -> Any:
        return await rewrapped(self.url, **headers)


async def rewrapped(url: str, **headers: str) -> Any:
    path = f"{url}/api/v1/admin/tenants/{ACME}/credentials/rewrap"
    async with (
        aiohttp.ClientSession(headers={"X-Admin-Key": ADMIN_KEY, **headers}) as session,
        session.post(path) as response,
    ):
        assert response.status == 200, await response.text()
        return await response.json()


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    transport, shelf, kms = MemoryTransport(topology()), Shelf(), Kms()

    def bus(service: Service, router: Router, *own: Any) -> Bus:
        heard = (*durable_subscriptions(service), *own)
        return Bus(service, router, transport, BusOptions(f"{service}-one", heard))

    tenant_router, executor_router = Router(), Router()
    tenant = bus(Service.TENANT, tenant_router)
    executor = bus(
        Service.EXECUTOR, executor_router, *own_subscriptions(Service.EXECUTOR, "executor-one")
    )
    gateway = bus(Service.GATEWAY, Router(), *instance_subscriptions("gateway-one"))
    tenants = Writer(MemorySlotLog(), TenantDecider(), service=Service.TENANT)
    warehouse = Stuck()
    warehouse.gate.set()
    provisioner = Provisioner(warehouse, Everybody())
    Handlers(tenants, provisioner, Ciphertexts(shelf), tenant.publisher).register(tenant_router)
    stored = StoredCredentials(executor.requester, kms)
    CredentialCare(stored, kms, Providers(Places(), system_clock)).register(executor_router)
    kms.owner = gateway
    buses = (tenant, executor, gateway)
    for one in buses:
        await one.start()
    await gateway.requester.ask(onboarding(ACME), TenantOnboardedV1, within=SOON_SECONDS)
    for name in ("one", "two", "three"):
        await gateway.requester.ask(_storing(name), CredentialStoredV1, within=SOON_SECONDS)
    edge = replace(edge_on(), questions=Questions(gateway.requester, SOON_SECONDS))
    async with serving(edge, [once_for(edge.auth).layer]) as url:
        yield Platform(shelf, kms, url, gateway)
    for one in reversed(buses):
        await one.drain(1)
    await tenants.close()


def _storing(name: str) -> StoreCredentialV1:
    return StoreCredentialV1(
        tenant_id=ACME,
        credential_id=CredentialId(name),
        provider=Provider.GENERIC,
        sealed=example_part(SealedPart),
        requested_by="tenant",
    )


async def test_all_are_kept_when_it_says_so(platform: Platform) -> None:
    assert await platform.rewrap() == {
        "tenant_id": ACME,
        "rewrapped": 3,
        "done": ["one", "two", "three"],
        "failed": [],
    }
    assert platform.shelf.wrapped_anew == {"one", "two", "three"}


async def test_one_that_does_not_open_holds_up_none_behind_it(platform: Platform) -> None:
    platform.kms.damaged = "one"
    said = await platform.rewrap()
    assert (said["rewrapped"], said["done"]) == (2, ["two", "three"])
    (failed,) = said["failed"]
    assert (failed["credential_id"], failed["code"]) == ("one", "credential_unreadable")
    assert platform.shelf.wrapped_anew == {"two", "three"}


async def test_one_that_is_deleted_meanwhile_is_not_counted(platform: Platform) -> None:
    platform.kms.unwanted = "two"
    said = await platform.rewrap()
    assert said["done"] == ["one", "three"]
    (failed,) = said["failed"]
    assert (failed["credential_id"], failed["code"]) == ("two", "credential_changed")
    assert platform.shelf.wrapped_anew == {"one", "three"}


async def test_what_is_wrapped_and_not_kept_is_not_done(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "TRYING_SECONDS", 2.0)
    platform.shelf.full = "three"
    said = await platform.rewrap()
    assert said["done"] == ["one", "two"]
    (failed,) = said["failed"]
    assert (failed["credential_id"], failed["code"]) == ("three", "no_answer_yet")


async def test_those_that_no_time_is_left_for_are_named(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "REWRAPPING_SECONDS", 0.0)
    said = await platform.rewrap()
    assert (said["rewrapped"], [one["credential_id"] for one in said["failed"]]) == (
        0,
        ["one", "two", "three"],
    )


async def test_a_repeat_wraps_anew_what_there_is_by_then(platform: Platform) -> None:
    """A script's key stays the same from one rotation to the next."""
    platform.kms.damaged = "two"
    assert (await platform.rewrap(**NIGHTLY))["done"] == ["one", "three"]
    platform.kms.damaged = ""
    assert (await platform.rewrap(**NIGHTLY))["done"] == ["one", "two", "three"]
    gone = DeleteCredentialV1(
        tenant_id=ACME, credential_id=CredentialId("one"), requested_by="tenant"
    )
    await platform.owner.requester.ask(gone, CredentialDeletedV1, within=SOON_SECONDS)
    platform.kms.newest = "the-version-after-it"
    assert (await platform.rewrap(**NIGHTLY))["done"] == ["two", "three"]
    assert platform.shelf.wrapped_by("the-version-after-it") == {"two", "three"}


@pytest.mark.parametrize(
    "other", [{"credential_id": "another"}, {"action": CredentialAction.UPDATED}]
)
async def test_another_decision_is_not_counted(other: dict[str, str]) -> None:
    part = example_part(CredentialPart)

    def script(question: Message) -> Message:
        if isinstance(question, ListCredentialsV1):
            return CredentialListV1(tenant_id=ACME, credentials=(part,))
        stored = {
            "credential_id": part.credential_id,
            "action": CredentialAction.REWRAPPED,
            "tenant_id": ACME,
        }
        found: Message = example_part(CredentialStoredV1).model_copy(update={**stored, **other})
        return found

    async with serving(edge_on(script)) as url:
        said = await rewrapped(url)
    assert (said["done"], said["failed"][0]["code"]) == ([], "credential_changed")

"""For every message that the tenant service handles: what has gone before, and the message.

`test_crashes` compares this with the handlers that are registered, so a new
message needs a scene here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.credentials import (
    DeleteCredentialV1,
    GetCredentialV1,
    KeepRewrappedV1,
    ListCredentialsV1,
)
from contracts.datasets import RegisterDatasetV1
from contracts.identifiers import DatasetName, TenantId
from contracts.keys import (
    FindKeyV1,
    IssueKeyV1,
    ListKeysV1,
    RevokeKeyV1,
    RotateKeyV1,
)
from contracts.message import Message
from contracts.tenants import (
    ChangePlanV1,
    GetTenantV1,
    ListTenantsV1,
    OffboardTenantV1,
    ProvisionTenantV1,
    ResumeTenantV1,
    SuspendTenantV1,
)
from tests.tenant.desk import NOW, Desk, key, onboarding
from tests.tenant.test_handlers import BILLING, store

BY: dict[str, Any] = {"requested_by": "admin"}
Before = Callable[[Desk, TenantId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """`told` is given after `before`, both of a tenant of their own."""

    before: Before
    told: Callable[[TenantId], Message]

    @property
    def kind(self) -> type[Message]:
        return type(self.told(TenantId("nobody")))


async def nothing(_: Desk, __: TenantId) -> None:
    """Nobody is there yet."""


async def settled(desk: Desk, tenant: TenantId) -> None:
    await desk.give(onboarding(tenant, first_key=key(1)), "onboarded")


async def suspended(desk: Desk, tenant: TenantId) -> None:
    await settled(desk, tenant)
    await desk.give(SuspendTenantV1(tenant_id=tenant, reason="unpaid", **BY), "suspended")


async def damaged(desk: Desk, tenant: TenantId) -> None:
    await settled(desk, tenant)
    await desk.warehouse.drop(f"{tenant}.x_meta_step_logs")
    await desk.warehouse.drop(f"{tenant}.tenant_comprehensive_view")


async def with_a_credential(desk: Desk, tenant: TenantId) -> None:
    await settled(desk, tenant)
    await desk.give(store(tenant, b"old"), "stored")


async def with_everything(desk: Desk, tenant: TenantId) -> None:
    await with_a_credential(desk, tenant)
    await desk.give(_further(tenant), "registered")


async def gone(desk: Desk, tenant: TenantId) -> None:
    await with_everything(desk, tenant)
    await desk.give(OffboardTenantV1(tenant_id=tenant, **BY), "left")


def _further(tenant: TenantId) -> RegisterDatasetV1:
    return RegisterDatasetV1(
        tenant_id=tenant, dataset=DatasetName(f"{tenant}_raw_openai"), requested_by="tenant"
    )


def _rewrapped(tenant: TenantId) -> KeepRewrappedV1:
    stored = store(tenant, b"new")
    return KeepRewrappedV1(
        tenant_id=tenant,
        credential_id=BILLING,
        provider=stored.provider,
        sealed=stored.sealed,
        of=NOW,
        **BY,
    )


SCENES = (
    Scene(nothing, lambda t: onboarding(t, first_key=key(1))),
    Scene(damaged, lambda t: ProvisionTenantV1(tenant_id=t, **BY)),
    Scene(with_everything, lambda t: OffboardTenantV1(tenant_id=t, drop_datasets=True, **BY)),
    Scene(with_everything, lambda t: OffboardTenantV1(tenant_id=t, drop_datasets=False, **BY)),
    Scene(gone, lambda t: OffboardTenantV1(tenant_id=t, drop_datasets=True, **BY)),
    Scene(settled, _further),
    Scene(with_a_credential, lambda t: store(t, b"new")),
    Scene(with_a_credential, _rewrapped),
    Scene(
        with_a_credential,
        lambda t: DeleteCredentialV1(tenant_id=t, credential_id=BILLING, **BY),
    ),
    Scene(settled, lambda t: SuspendTenantV1(tenant_id=t, reason="unpaid", **BY)),
    Scene(suspended, lambda t: ResumeTenantV1(tenant_id=t, **BY)),
    Scene(settled, lambda t: ChangePlanV1(tenant_id=t, plan="SCALE", **BY)),
    Scene(settled, lambda t: IssueKeyV1(tenant_id=t, key=key(2), **BY)),
    Scene(
        settled,
        lambda t: RotateKeyV1(
            tenant_id=t,
            old_key_hash=key(1).key_hash,
            key=key(2),
            overlap_until=NOW + timedelta(hours=1),
            **BY,
        ),
    ),
    Scene(settled, lambda t: RevokeKeyV1(tenant_id=t, key_hash=key(1).key_hash, **BY)),
    Scene(settled, lambda t: FindKeyV1(tenant_id=t, key_hash=key(1).key_hash)),
    Scene(settled, lambda t: ListKeysV1(tenant_id=t)),
    Scene(with_a_credential, lambda t: GetCredentialV1(tenant_id=t, credential_id=BILLING)),
    Scene(with_a_credential, lambda t: ListCredentialsV1(tenant_id=t)),
    Scene(settled, lambda t: GetTenantV1(tenant_id=t)),
    Scene(settled, lambda _: ListTenantsV1()),
)

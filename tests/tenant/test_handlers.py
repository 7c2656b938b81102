"""The handlers over BigQuery and Cloud Storage: what is made, kept and destroyed."""

import asyncio
from typing import Any

import pytest

from contracts.credentials import (
    CredentialAction,
    CredentialListV1,
    CredentialStoredV1,
    CredentialV1,
    DeleteCredentialV1,
    GetCredentialV1,
    ListCredentialsV1,
    Provider,
    SealedPart,
    StoreCredentialV1,
)
from contracts.datasets import DatasetRegisteredV1, RegisterDatasetV1
from contracts.identifiers import CredentialId, DatasetName, TenantId
from contracts.keys import IssueKeyV1, KeyRevokedV1
from contracts.platform import CommandRefusedV1, ObjectAction
from contracts.tenants import (
    OffboardTenantV1,
    ProvisionTenantV1,
    SuspendTenantV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantProvisionedV1,
)
from libs.slotlog.bucket import Bucket
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import Warehouse
from services.audit_log.tables import QUALITY_LOG, RUN_LOG, STEP_LOG
from tests.tenant.desk import NOW, Desk, key, kinds, onboarding

ACME = TenantId("acme")
BILLING = CredentialId("billing")
DOORS_SHUT = ["tenant.suspended.v1", "key.revoked.v1", "credential.deleted.v1"]


def store(tenant: TenantId, ciphertext: bytes = b"sealed") -> StoreCredentialV1:
    sealed = SealedPart.model_validate(
        {"version": 1, "kms_key": "k", "wrapped_key": "AAAA", "nonce": "AAAA", "ciphertext": "AAAA"}
    ).model_copy(update={"ciphertext": ciphertext})
    return StoreCredentialV1(
        tenant_id=tenant,
        credential_id=BILLING,
        provider=Provider.GCP,
        sealed=sealed,
        requested_by="tenant",
    )


async def views(warehouse: Warehouse, dataset: str) -> set[str]:
    sql = f"SELECT table_name FROM {dataset}.INFORMATION_SCHEMA.VIEWS"
    return {row["table_name"] for row in await warehouse.query(sql)}


async def record_a_run(warehouse: Warehouse, tenant: str) -> None:
    """One run of one step with two checks, as audit_log writes them."""
    run_id = f"run-of-{tenant}"
    base = {"event_time": NOW, "recorded_at": NOW, "tenant_id": tenant, "run_id": run_id}
    step = {**base, "step_id": "one", "attempt": 1}
    run = {**base, "event_id": "r", "attempt": 1, "status": "COMPLETED", "rank": 11}
    done = {**step, "event_id": "s", "step_type": "dq.check", "status": "COMPLETED"}
    check = {
        **step,
        "event_id": "q",
        "table_name": f"{tenant}.focus_costs",
        "check_kind": "rows",
        "severity": "warn",
        "checked_at": NOW,
    }
    verdicts = ["PASSED", "FAILED"]
    checks = [
        {**check, "check_number": number, "check_name": f"c{number}", "status": verdict}
        for number, verdict in enumerate(verdicts)
    ]
    await warehouse.append(RUN_LOG, [run])
    await warehouse.append(STEP_LOG, [done])
    await warehouse.append(QUALITY_LOG, checks)


async def test_a_tenant_is_announced_when_what_it_needs_is_there(
    desk: Desk, warehouse: Warehouse
) -> None:
    said = await desk.give(onboarding("made_whole", first_key=key(1)))
    assert kinds(said) == ["tenant.onboarded.v1", "key.issued.v1"]
    assert await views(warehouse, "made_whole") == {
        "x_meta_pipeline_runs",
        "x_meta_step_logs",
        "x_meta_dq_results",
        "tenant_comprehensive_view",
    }
    assert set(await warehouse.tables("made_whole")) == {
        "focus_costs",
        "focus_loads",
        "ocsf_compliance_findings",
    }


async def test_a_repeated_onboarding_has_the_first_ones_key_and_no_other(desk: Desk) -> None:
    """As a gateway sends it again for the same Idempotency-Key."""
    command = onboarding("patient", first_key=key(1))
    first = await desk.give(command, "the-same-id")
    assert await desk.give(command, "the-same-id") == first
    issue = IssueKeyV1(tenant_id=command.tenant_id, key=key(2), requested_by="tenant")
    issued = await desk.give(issue, "another-id")
    assert await desk.give(issue, "another-id") == issued
    assert list((await desk.state("patient")).keys) == [key(1).key_hash, key(2).key_hash]


async def test_a_tenants_views_show_its_own_records_and_nobody_elses(
    desk: Desk, warehouse: Warehouse
) -> None:
    for name in ("own", "own_too"):
        await desk.expect(onboarding(name), TenantOnboardedV1)
        await record_a_run(warehouse, name)
    for name in ("own", "own_too"):
        for view in sorted(await views(warehouse, name)):
            rows = await warehouse.query(f"SELECT tenant_id, run_id FROM {name}.{view}")
            assert {(row["tenant_id"], row["run_id"]) for row in rows} == {(name, f"run-of-{name}")}
    (row,) = await warehouse.query("SELECT * FROM own.tenant_comprehensive_view")
    shown = [row[name] for name in ("status", "step_status", "dq_checks", "dq_failed")]
    assert shown == ["COMPLETED", "COMPLETED", 2, 1]


async def test_a_dataset_that_is_not_ours_is_never_given_to_a_tenant(
    desk: Desk, warehouse: Warehouse
) -> None:
    await warehouse.ensure(Dataset("finance_team", "somebody's own"))
    (refusal,) = await desk.give(onboarding("finance_team"))
    assert isinstance(refusal, CommandRefusedV1)
    assert refusal.code == "dataset_taken"
    assert (await desk.state("finance_team")).profile is None


async def test_a_tenant_cannot_take_the_dataset_of_one_whose_id_begins_alike(desk: Desk) -> None:
    await desk.expect(onboarding("shop"), TenantOnboardedV1)
    await desk.expect(onboarding("shop_two"), TenantOnboardedV1)
    steal = RegisterDatasetV1(
        tenant_id=TenantId("shop"), dataset=DatasetName("shop_two"), requested_by="tenant"
    )
    refusal = await desk.expect(steal, CommandRefusedV1)
    assert refusal.code == "dataset_taken"
    assert (await desk.state("shop")).datasets == ("shop",)


async def test_a_registered_dataset_keeps_a_later_tenant_off_that_name(
    desk: Desk, warehouse: Warehouse
) -> None:
    await desk.expect(onboarding("store"), TenantOnboardedV1)
    register = RegisterDatasetV1(
        tenant_id=TenantId("store"), dataset=DatasetName("store_raw_openai"), requested_by="t"
    )
    event = await desk.expect(register, DatasetRegisteredV1)
    assert event.datasets == ("store", "store_raw_openai")
    assert await desk.expect(register, DatasetRegisteredV1) == event
    assert (await desk.expect(onboarding("store_raw_openai"), CommandRefusedV1)).code == (
        "dataset_taken"
    )
    assert (await desk.state("store_raw_openai")).profile is None


@pytest.mark.parametrize("name", ["other", "storefront", "tenants"])
async def test_a_dataset_is_named_after_its_tenant(desk: Desk, name: str) -> None:
    await desk.give(onboarding("store_b"))
    command = RegisterDatasetV1(
        tenant_id=TenantId("store_b"), dataset=DatasetName(name), requested_by="t"
    )
    assert (await desk.expect(command, CommandRefusedV1)).code == "dataset_name"


async def test_provisioning_mends_what_is_missing_and_only_that(
    desk: Desk, warehouse: Warehouse
) -> None:
    await desk.expect(onboarding("mended"), TenantOnboardedV1)
    await warehouse.drop("mended.x_meta_step_logs")
    command = ProvisionTenantV1(tenant_id=TenantId("mended"), requested_by="admin")
    event = await desk.expect(command, TenantProvisionedV1)
    made = {o.name for o in event.objects if o.action is not ObjectAction.UNCHANGED}
    assert made == {"mended.x_meta_step_logs"}


async def test_a_replaced_or_deleted_ciphertext_is_destroyed(desk: Desk, bucket: Bucket) -> None:
    tenant = TenantId("keeper")
    await desk.expect(onboarding(tenant), TenantOnboardedV1)
    first = await desk.expect(store(tenant, b"one"), CredentialStoredV1)
    second = await desk.expect(store(tenant, b"two"), CredentialStoredV1)
    assert (first.action, second.action) == (CredentialAction.CREATED, CredentialAction.UPDATED)
    ask = GetCredentialV1(tenant_id=tenant, credential_id=BILLING)
    assert (await desk.expect(ask, CredentialV1)).sealed.ciphertext == b"two"
    assert len(await bucket.names(f"ciphertexts/{tenant}/")) == 1
    await desk.give(DeleteCredentialV1(tenant_id=tenant, credential_id=BILLING, requested_by="t"))
    assert await bucket.names(f"ciphertexts/{tenant}/") == []
    assert (await desk.expect(ask, CommandRefusedV1)).code == "credential_not_found"


async def test_a_refused_credential_leaves_no_ciphertext(desk: Desk, bucket: Bucket) -> None:
    refusal = await desk.expect(store(TenantId("nobody")), CommandRefusedV1)
    assert refusal.code == "tenant_not_found"
    assert await bucket.names("ciphertexts/") == []


@pytest.mark.parametrize("drop", [False, True], ids=["kept", "dropped"])
async def test_leaving_destroys_credentials_and_keeps_or_drops_datasets(
    desk: Desk, warehouse: Warehouse, bucket: Bucket, *, drop: bool
) -> None:
    name = f"leaver_{drop}".lower()
    tenant = TenantId(name)
    await desk.expect(onboarding(name, first_key=key(1)), TenantOnboardedV1)
    register = RegisterDatasetV1(
        tenant_id=tenant, dataset=DatasetName(f"{name}_silver_cost"), requested_by="t"
    )
    await desk.expect(register, DatasetRegisteredV1)
    await desk.give(store(tenant))
    said = await desk.give(
        OffboardTenantV1(tenant_id=tenant, drop_datasets=drop, requested_by="admin")
    )
    assert kinds(said) == [*DOORS_SHUT, "tenant.offboarded.v1"]
    event = said[-1]
    assert isinstance(event, TenantOffboardedV1)
    both = (name, f"{name}_silver_cost")
    assert (event.dropped_datasets, event.kept_datasets) == ((both, ()) if drop else ((), both))
    assert await bucket.names(f"ciphertexts/{name}/") == []
    sql = f"SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA WHERE schema_name = '{name}'"
    assert bool(await warehouse.query(sql)) is not drop
    again = OffboardTenantV1(tenant_id=tenant, requested_by="admin")
    stands = await desk.expect(again, TenantOffboardedV1)
    assert (stands.dropped_datasets, stands.kept_datasets) == ((), () if drop else both)


class SlowDrop(Warehouse):
    """Passes everything on; a drop begins, and ends when it is let."""

    def __init__(self, target: Warehouse) -> None:
        self._target = target
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    async def ensure(self, *objects: Any) -> Any:
        return await self._target.ensure(*objects)

    async def drop_dataset(self, unwanted: Dataset, *, only_if_empty: bool = False) -> None:
        self.begun.set()
        await self.gate.wait()
        await self._target.drop_dataset(unwanted, only_if_empty=only_if_empty)


async def test_every_door_is_shut_before_a_dataset_is_dropped(
    warehouse: Warehouse, bucket: Bucket
) -> None:
    slow = SlowDrop(warehouse)
    desk, tenant = Desk(slow, bucket), TenantId("slowly")
    await desk.expect(onboarding("slowly", first_key=key(1)), TenantOnboardedV1)
    await desk.give(store(tenant))
    leave = OffboardTenantV1(tenant_id=tenant, drop_datasets=True, requested_by="admin")
    leaving = asyncio.create_task(desk.give(leave))
    async with asyncio.timeout(60):
        await slow.begun.wait()
    assert kinds(desk.sent) == DOORS_SHUT
    revoked = desk.sent[1]
    assert isinstance(revoked, KeyRevokedV1)
    assert revoked.key_hash == key(1).key_hash
    assert await bucket.names("ciphertexts/slowly/") == []
    slow.gate.set()
    assert kinds(await leaving) == [*DOORS_SHUT, "tenant.offboarded.v1"]


async def test_a_suspended_tenant_that_leaves_is_not_suspended_again(desk: Desk) -> None:
    tenant = TenantId("unpaid")
    await desk.expect(onboarding("unpaid"), TenantOnboardedV1)
    await desk.give(SuspendTenantV1(tenant_id=tenant, reason="unpaid", requested_by="admin"))
    said = await desk.give(OffboardTenantV1(tenant_id=tenant, requested_by="admin"))
    assert kinds(said) == ["tenant.offboarded.v1"]


async def test_credentials_are_listed_of_tenants_that_are_there(desk: Desk) -> None:
    await desk.expect(onboarding("lonely"), TenantOnboardedV1)
    mine = ListCredentialsV1(tenant_id=TenantId("lonely"))
    assert (await desk.expect(mine, CredentialListV1)).credentials == ()
    nobodys = ListCredentialsV1(tenant_id=TenantId("nobody"))
    assert (await desk.expect(nobodys, CommandRefusedV1)).code == "tenant_not_found"

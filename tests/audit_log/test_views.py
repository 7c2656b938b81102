"""Views say the newest of each thing, whatever came twice, late or out of order."""

from datetime import date, timedelta
from typing import Any

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialStoredV1,
    Provider,
)
from contracts.identifiers import ConfigId, CredentialId, KeyHash, RunId, StepId, TenantId
from contracts.keys import KeyIssuedV1, KeyPart, KeyRevokedV1, KeyRotatedV1
from contracts.pipelines import ConfigDeletedV1, ConfigSavedV1, DefinitionPart, StepPart
from contracts.runs import (
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunStatus,
    SubmitRunV1,
    TriggerPart,
    TriggerType,
)
from contracts.schedules import (
    ScheduleDeletedV1,
    SchedulePart,
    ScheduleSavedV1,
)
from contracts.steps import StepCompletedV1, StepStatus
from contracts.tenants import (
    LimitsPart,
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from tests.audit_log.recorder import START, Recorder

CONFIG = ConfigId("daily")
DAY = date(2026, 3, 14)


def run_id(number: int) -> RunId:
    return RunId(f"00000000-0000-4000-8000-{number:012}")


def onboarded(tenant: TenantId) -> TenantOnboardedV1:
    return TenantOnboardedV1(
        tenant_id=tenant,
        company_name="Acme",
        admin_email="a@acme.example",
        plan="STARTER",
        limits=LimitsPart(daily=6, monthly=180, concurrent=3),
        datasets=(tenant,),
        created_at=START,
        requested_by="admin",
    )


def queued(tenant: TenantId, number: int, by: TriggerType = TriggerType.API) -> RunQueuedV1:
    return RunQueuedV1(
        tenant_id=tenant,
        run_id=run_id(number),
        config_id=CONFIG,
        revision=1,
        run_date=DAY,
        trigger=TriggerPart(type=by),
        position=2,
        reason="no slot",
        submitted_at=START,
    )


def finished(tenant: TenantId, number: int, status: RunStatus) -> RunFinishedV1:
    return RunFinishedV1(
        tenant_id=tenant,
        run_id=run_id(number),
        config_id=CONFIG,
        revision=1,
        attempt=1,
        status=status,
        run_date=DAY,
        submitted_at=START,
        finished_at=START,
    )


def step_completed(tenant: TenantId, number: int, **more: Any) -> StepCompletedV1:
    said = {
        "tenant_id": tenant,
        "run_id": run_id(number),
        "attempt": 1,
        "step_id": StepId("load"),
        "step_type": "bq_etl.query",
        "status": StepStatus.COMPLETED,
        "finished_at": START,
    }
    return StepCompletedV1(**{**said, **more})


async def test_an_event_is_shown_once_as_it_was_recorded_first(recorder: Recorder) -> None:
    tenant = TenantId("view_events")
    await recorder.record_badly(onboarded(tenant), queued(tenant, 1))
    kept = await recorder.rows("tenants.event_log", tenant_id=tenant)
    shown = await recorder.rows("tenants.events", tenant_id=tenant)
    assert (len(kept), len(shown)) == (4, 2)
    first = {
        one: min(row["recorded_at"] for row in kept if row["event_id"] == one)
        for one in {row["event_id"] for row in kept}
    }
    assert {row["event_id"]: row["recorded_at"] for row in shown} == first


async def test_a_tenant_has_one_profile_and_its_newest_plan(recorder: Recorder) -> None:
    tenant = TenantId("view_profile")
    by = "admin"
    await recorder.record_badly(
        onboarded(tenant),
        TenantSuspendedV1(tenant_id=tenant, reason="late", requested_by=by),
        TenantResumedV1(tenant_id=tenant, requested_by=by),
        PlanChangedV1(
            tenant_id=tenant,
            plan="SCALE",
            limits=LimitsPart(daily=100, monthly=3000, concurrent=10, max_team=11),
            requested_by=by,
        ),
    )
    (profile,) = await recorder.rows("tenants.tenant_profiles", tenant_id=tenant)
    assert (profile["status"], profile["company_name"]) == ("ACTIVE", "Acme")
    assert profile["created_at"] == START
    (plan,) = await recorder.rows("tenants.tenant_subscriptions", tenant_id=tenant)
    assert (plan["plan_name"], plan["daily_limit"], plan["max_team"]) == ("SCALE", 100, 11)
    await recorder.record_badly(TenantOffboardedV1(tenant_id=tenant, requested_by=by))
    (profile,) = await recorder.rows("tenants.tenant_profiles", tenant_id=tenant)
    assert (profile["status"], profile["company_name"]) == ("OFFBOARDED", "Acme")


async def test_a_key_is_active_until_it_ends(recorder: Recorder) -> None:
    tenant, by = TenantId("view_keys"), "tenant:ann"
    hashes = [KeyHash(letter * 64) for letter in "abc"]

    def key(number: int) -> KeyPart:
        return KeyPart(key_hash=hashes[number], last_four="1234", scopes=("runs", "read"))

    await recorder.record_badly(
        KeyIssuedV1(tenant_id=tenant, key=key(0), created_at=START, requested_by=by),
        KeyIssuedV1(tenant_id=tenant, key=key(1), created_at=START, requested_by=by),
        KeyRevokedV1(tenant_id=tenant, key_hash=hashes[0], revoked_at=START, requested_by=by),
        KeyRotatedV1(
            tenant_id=tenant,
            old_key_hash=hashes[1],
            key=key(2),
            overlap_until=START + timedelta(hours=1),
            created_at=START,
            requested_by=by,
        ),
    )
    rows = {row["api_key_hash"]: row for row in await recorder.rows("metadata.api_keys")}
    assert [rows[one]["is_active"] for one in hashes] == [False, False, True]
    assert rows[hashes[1]]["expires_at"] == START + timedelta(hours=1)
    assert (rows[hashes[2]]["scopes"], rows[hashes[2]]["created_by"]) == ("runs,read", by)


async def test_a_credential_is_shown_until_it_is_deleted(recorder: Recorder) -> None:
    tenant, name = TenantId("view_secret"), CredentialId("aws_main")
    stored = CredentialStoredV1(
        tenant_id=tenant,
        credential_id=name,
        provider=Provider.AWS,
        action=CredentialAction.CREATED,
        requested_by="x",
    )
    await recorder.record_badly(stored)
    (row,) = await recorder.rows("tenants.tenant_cloud_credentials", tenant_id=tenant)
    assert (row["credential_id"], row["provider"], row["is_active"]) == (name, "AWS", True)
    await recorder.record_badly(
        CredentialDeletedV1(tenant_id=tenant, credential_id=name, requested_by="x")
    )
    (row,) = await recorder.rows("tenants.tenant_cloud_credentials", tenant_id=tenant)
    assert (row["provider"], row["is_active"]) == ("AWS", False)


async def test_a_config_shows_its_newest_revision(recorder: Recorder) -> None:
    tenant = TenantId("view_configs")
    step = StepPart(step_id=StepId("a"), type="bq_etl.query")
    saved = [
        ConfigSavedV1(
            tenant_id=tenant,
            config_id=CONFIG,
            revision=number,
            source=f"# {number}",
            definition=DefinitionPart(pipeline_id=CONFIG, name="Daily", steps=(step,)),
            requested_by="ann",
        )
        for number in (1, 2)
    ]
    await recorder.record_badly(*saved)
    (row,) = await recorder.rows("tenants.pipeline_configs", tenant_id=tenant)
    assert (row["pipeline_yaml"], row["revision"], row["is_active"]) == ("# 2", 2, True)
    cron = SchedulePart(config_id=CONFIG, cron="0 6 * * *", time_zone="Europe/Berlin")
    await recorder.record_badly(
        ScheduleSavedV1(tenant_id=tenant, schedule=cron, next_times=(START,), requested_by="ann")
    )
    (row,) = await recorder.rows("tenants.tenant_pipeline_configs", tenant_id=tenant)
    assert (row["cron"], row["is_scheduled"], row["next_run_time"]) == ("0 6 * * *", True, START)
    assert (row["revision"], row["is_active"]) == (2, True)
    await recorder.record_badly(
        ScheduleDeletedV1(tenant_id=tenant, config_id=CONFIG, requested_by="ann")
    )
    (row,) = await recorder.rows("tenants.tenant_pipeline_configs", tenant_id=tenant)
    assert (row["cron"], row["is_scheduled"], row["next_run_time"]) == (None, False, None)
    gone = ConfigDeletedV1(tenant_id=tenant, config_id=CONFIG, revision=2, requested_by="ann")
    await recorder.record_badly(gone)
    (row,) = await recorder.rows("tenants.tenant_pipeline_configs", tenant_id=tenant)
    assert (row["revision"], row["is_active"]) == (2, False)


async def test_the_queue_and_scheduled_runs_are_seen_as_they_stand(recorder: Recorder) -> None:
    tenant = TenantId("view_queue")
    asked = SubmitRunV1(
        tenant_id=tenant, run_id=run_id(1), config_id=CONFIG, run_date=DAY, priority=7
    )
    never_decided = asked.model_copy(update={"run_id": run_id(3)})
    await recorder.record_badly(
        asked,
        queued(tenant, 1),
        queued(tenant, 2, TriggerType.SCHEDULE),
        finished(tenant, 2, RunStatus.FAILED),
        never_decided,
    )
    rows = await recorder.rows("tenants.tenant_pipeline_execution_queue", tenant_id=tenant)
    found = {row["queue_id"]: (row["priority"], row["status"]) for row in rows}
    assert found == {run_id(1): (7, "QUEUED"), run_id(2): (0, "FAILED")}
    (row,) = await recorder.rows("tenants.scheduled_pipeline_runs", tenant_id=tenant)
    assert (row["scheduled_run_id"], row["status"]) == (run_id(2), "FAILED")


async def test_usage_counts_each_admitted_run_once(recorder: Recorder) -> None:
    tenant = TenantId("view_usage")
    rejected = RunRejectedV1(
        tenant_id=tenant,
        run_id=run_id(9),
        config_id=CONFIG,
        run_date=DAY,
        code="quota_exceeded",
        reason="full",
        submitted_at=START,
    )
    await recorder.record_badly(
        onboarded(tenant),
        *(queued(tenant, number) for number in (1, 2, 3)),
        finished(tenant, 1, RunStatus.COMPLETED),
        finished(tenant, 2, RunStatus.FAILED),
        rejected,
    )
    (row,) = await recorder.rows("tenants.tenant_usage_quotas", tenant_id=tenant)
    counts = ("run_today", "run_month", "succeeded_today", "failed_today")
    assert [row[f"pipelines_{name}"] for name in counts] == [3, 3, 1, 1]
    assert (row["queued"], row["daily_limit"], row["usage_date"]) == (1, 6, DAY)

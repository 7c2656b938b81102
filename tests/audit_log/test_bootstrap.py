"""What the bootstrap makes, says and keeps; and that making anew loses nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.envelope import Envelope
from contracts.identifiers import TenantId
from contracts.platform import (
    BootstrapPlatformV1,
    CommandRefusedV1,
    ObjectAction,
    PlatformBootstrappedV1,
)
from contracts.tenants import TenantOffboardedV1
from libs.bus.message import Context
from libs.clock import system_clock
from libs.testing.processes import EmulatorProcess
from libs.warehouse.schema import Column, Table
from libs.warehouse.snapshots import Snapshots, snapshot_name
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.audit_log.handlers import Handlers
from services.audit_log.tables import OBJECTS, SCHEMA_VERSION, SCHEMA_VERSIONS
from tests.audit_log.recorder import Recorder, delivery

ASKED = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
PROMISED = {
    "tenants.tenant_profiles": "tenant_id company_name admin_email status",
    "tenants.tenant_api_keys": "api_key_hash tenant_id is_active created_at created_by description",
    "tenants.tenant_subscriptions": "tenant_id plan_name daily_limit monthly_limit"
    " concurrent_limit max_team",
    "tenants.tenant_usage_quotas": "tenant_id pipelines_run_today pipelines_run_month"
    " concurrent_running",
    "tenants.tenant_pipeline_configs": "config_id tenant_id pipeline_yaml is_active cron"
    " next_run_time",
    "tenants.tenant_scheduled_pipeline_runs": "scheduled_run_id status",
    "tenants.tenant_pipeline_execution_queue": "queue_id priority",
    "tenants.tenant_cloud_credentials": "credential_id provider",
    "tenants.tenant_pipeline_runs": "pipeline_logging_id tenant_id pipeline_id status start_time"
    " end_time trigger_type trigger_by user_id ingestion_date",
    "tenants.tenant_step_logs": "step_id tenant_id status error_message rows bytes duration_ms",
    "tenants.tenant_dq_results": "check_name tenant_id status row_count",
    "tenants.events": "event_id event_type tenant_id data",
    "metadata.pipeline_runs": "pipeline_logging_id status",
    "metadata.api_keys": "api_key_hash is_active",
    "metadata.dq_results": "check_name status",
    "tenants.scheduled_pipeline_runs": "scheduled_run_id",
    "tenants.pipeline_execution_queue": "queue_id",
    "tenants.pipeline_configs": "config_id",
}
"""What users know the tables by."""


def asked(number: int) -> Envelope:
    at = ASKED + timedelta(minutes=number)
    return replace(delivery(BootstrapPlatformV1()).envelope, time=at, id=f"asked-{number}")


async def bootstrap(recorder: Recorder, cause: Envelope, **wanted: object) -> dict[str, str]:
    """What was done to each object."""
    command = BootstrapPlatformV1.model_validate(wanted)
    (done,) = await recorder.handlers.on_bootstrap(command, Context(cause))
    assert isinstance(done, PlatformBootstrappedV1)
    return {part.name: part.action.value for part in done.objects}


def left(tenant: str) -> TenantOffboardedV1:
    return TenantOffboardedV1(tenant_id=TenantId(tenant), requested_by="admin")


async def tenants_in(recorder: Recorder, table: str) -> set[str]:
    return {row["tenant_id"] for row in await recorder.rows(table)}


async def test_a_second_time_changes_nothing_and_every_object_is_told(recorder: Recorder) -> None:
    told = await bootstrap(recorder, asked(0))
    assert set(told.values()) == {"unchanged"}
    assert len(told) == len(OBJECTS)


@pytest.mark.parametrize("view", sorted(PROMISED))
async def test_tables_have_the_columns_that_users_know(recorder: Recorder, view: str) -> None:
    found = await recorder.warehouse.columns(view)
    assert found is not None
    assert set(PROMISED[view].split()) <= {column.name for column in found}


@pytest.mark.parametrize("confirm", ["", "acme", "TENANTS"])
async def test_nothing_is_recreated_without_the_datasets_name(
    recorder: Recorder, confirm: str
) -> None:
    await recorder.record(left("unsure"))
    command = BootstrapPlatformV1(force_recreate_tables=True, confirm=confirm)
    (refusal,) = await recorder.handlers.on_bootstrap(command, Context(asked(1)))
    assert isinstance(refusal, CommandRefusedV1)
    assert (refusal.code, '"tenants"' in refusal.detail) == ("confirmation_required", True)
    assert "unsure" in await tenants_in(recorder, "tenants.event_log")


async def test_recreated_tables_are_empty_and_their_rows_are_in_a_snapshot(
    recorder: Recorder, bigquery: EmulatorProcess
) -> None:
    await recorder.record(left("before"))
    cause = asked(2)
    told = await bootstrap(recorder, cause, force_recreate_tables=True, confirm="tenants")
    snapshot = snapshot_name("tenants", cause.time)
    assert told[f"{snapshot}.event_log"] == ObjectAction.SNAPSHOT
    assert told["tenants.event_log"] == ObjectAction.RECREATED
    assert told["tenants.events"] == told["metadata.schema_versions"] == ObjectAction.UNCHANGED
    assert "before" not in await tenants_in(recorder, "tenants.events")
    assert "before" in await tenants_in(recorder, f"{snapshot}.event_log")
    await recorder.record(left("since"))
    endpoint = f"http://127.0.0.1:{bigquery.ports['rest']}"
    where = WarehouseSettings("convergence-local", endpoint=endpoint)
    Snapshots(where, "tenants").restore(snapshot)
    assert {"before", "since"} <= await tenants_in(recorder, "tenants.events")


async def test_a_recreation_that_comes_again_drops_nothing_that_was_recorded_since(
    recorder: Recorder,
) -> None:
    await recorder.record(left("old"))
    cause = asked(3)
    wanted = {"force_recreate_tables": True, "confirm": "tenants"}
    await bootstrap(recorder, cause, **wanted)
    await recorder.record(left("young"))
    again = await bootstrap(recorder, cause, **wanted)
    assert set(again.values()) == {"unchanged"}
    assert await tenants_in(recorder, "tenants.events") == {"young"}
    kept = await recorder.rows(f"{snapshot_name('tenants', cause.time)}.event_log", tenant_id="old")
    assert len(kept) == 1


async def test_a_recreated_dataset_holds_what_is_declared_and_nothing_else(
    recorder: Recorder,
) -> None:
    stray = Table("tenants", "stray", (Column("note", "STRING"),))
    await recorder.warehouse.ensure(stray)
    await recorder.warehouse.append(stray, [{"note": "kept"}])
    await recorder.record(left("whole"))
    cause = asked(4)
    told = await bootstrap(recorder, cause, force_recreate_dataset=True, confirm="tenants")
    snapshot = snapshot_name("tenants", cause.time)
    made = {name for name, action in told.items() if action == ObjectAction.RECREATED}
    declared = {o.name if not hasattr(o, "path") else o.path for o in OBJECTS}
    assert made == {name for name in declared if name.split(".")[0] == "tenants"}
    assert "stray" not in await recorder.warehouse.tables("tenants")
    assert await recorder.rows(f"{snapshot}.stray") == [{"note": "kept"}]
    assert "whole" not in await tenants_in(recorder, "tenants.events")
    await recorder.record(left("after"))
    assert "after" in await tenants_in(recorder, "tenants.events")


class Crash(Exception):  # noqa: N818  it stands for no error
    """The process is gone: nothing after this point happens."""


class Interrupted(Warehouse):
    """Makes everything; its process is gone before a row is written."""

    def __init__(self, target: Warehouse) -> None:
        self._target = target

    @property
    def project(self) -> str:
        return self._target.project

    async def ensure(self, *objects: Any) -> Any:
        return await self._target.ensure(*objects)

    async def query(self, sql: str, *given: Any, **named: Any) -> Any:
        return await self._target.query(sql, *given, **named)

    async def append(self, *_: Any) -> None:
        raise Crash


async def versions(recorder: Recorder) -> list[int]:
    return [row["version"] for row in await recorder.rows(SCHEMA_VERSIONS.path)]


async def test_the_version_is_recorded_once(recorder: Recorder) -> None:
    await bootstrap(recorder, asked(5))
    await bootstrap(recorder, asked(6))
    (row,) = await recorder.rows(SCHEMA_VERSIONS.path)
    assert row["version"] == SCHEMA_VERSION
    assert row["applied_at"] <= datetime.now(UTC)


async def test_a_version_before_this_one_is_followed_by_it(recorder: Recorder) -> None:
    await recorder.warehouse.drop(SCHEMA_VERSIONS.path)
    await recorder.warehouse.ensure(SCHEMA_VERSIONS)
    old = {"version": SCHEMA_VERSION - 1, "applied_at": ASKED}
    await recorder.warehouse.append(SCHEMA_VERSIONS, [old])
    assert set((await bootstrap(recorder, asked(7))).values()) == {"unchanged"}
    assert sorted(await versions(recorder)) == [SCHEMA_VERSION - 1, SCHEMA_VERSION]
    await recorder.warehouse.drop(SCHEMA_VERSIONS.path)


async def test_a_bootstrap_that_was_cut_off_records_its_version_when_it_comes_again(
    recorder: Recorder,
) -> None:
    await recorder.warehouse.drop(SCHEMA_VERSIONS.path)
    dying = Recorder(recorder.warehouse, Handlers(Interrupted(recorder.warehouse), system_clock))
    with pytest.raises(Crash):
        await bootstrap(dying, asked(8))
    assert await versions(recorder) == []
    assert set((await bootstrap(recorder, asked(8))).values()) == {"unchanged"}
    assert await versions(recorder) == [SCHEMA_VERSION]


@pytest.mark.parametrize("whole", [False, True], ids=["its tables", "all of it"])
async def test_metadata_made_anew_says_its_version(recorder: Recorder, *, whole: bool) -> None:
    cause = asked(9 + whole)
    force = "force_recreate_dataset" if whole else "force_recreate_tables"
    told = await bootstrap(recorder, cause, **{force: True}, confirm="metadata")
    snapshot = snapshot_name("metadata", cause.time)
    assert told[f"{snapshot}.schema_versions"] == ObjectAction.SNAPSHOT
    assert told[SCHEMA_VERSIONS.path] == ObjectAction.RECREATED
    assert told["tenants.event_log"] == ObjectAction.UNCHANGED
    assert (told["metadata.pipeline_runs"] == ObjectAction.RECREATED) is whole
    assert await versions(recorder) == [SCHEMA_VERSION]
    assert len(await recorder.rows(f"{snapshot}.schema_versions")) == 1

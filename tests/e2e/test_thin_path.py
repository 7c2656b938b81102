"""One real run through all five services, over HTTP, as a tenant would do it."""

import asyncio
import os

import pytest

from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.pipelines import BAD_SQL, ONE_STEP, THREE_KINDS, reading
from tests.stack import Stack, eventually

TENANT = "acme_cloud"
CONFIGS = "/api/v1/pipelines/configs"
RECORDED = {
    "run.submit.v1",
    "run.requested.v1",
    "attempt.started.v1",
    "step.started.v1",
    "step.completed.v1",
    "attempt.finished.v1",
    "run.finished.v1",
}


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    stack.onboard(TENANT)
    answer = stack.call("PUT", f"{CONFIGS}/ones", text=ONE_STEP, tenant=TENANT)
    assert answer.status == 200, answer.body
    return TENANT


def warehouse_of(stack: Stack) -> Warehouse:
    ports = stack.ports()["bigquery"]
    return Warehouse.connect(
        WarehouseSettings(
            os.environ.get("GCP_PROJECT_ID", "convergence-local"),
            endpoint=f"http://127.0.0.1:{ports['rest']}",
            storage_endpoint=f"127.0.0.1:{ports['grpc']}",
        )
    )


def start(stack: Stack, tenant: str, config: str, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/api/v1/pipelines/run/{config}"
    answer = stack.call("POST", path, {"date": "2026-01-31"}, tenant=tenant, headers=named)
    assert answer.status == 202, answer.body
    assert answer.headers["Location"].endswith(answer.body["run_id"])
    return str(answer.body["run_id"])


def test_every_service_is_ready_when_the_platform_says_it_is_up(stack: Stack) -> None:
    assert stack.call("GET", "/healthz").body["status"] == "healthy"
    assert stack.call("GET", "/readyz").body == {"status": "ready"}


async def test_a_run_completes_and_its_rows_are_in_bigquery(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant, "ones")
    ended = stack.wait_for_run(tenant, run_id)
    assert (ended["status"], ended["error"]) == ("COMPLETED", None)
    warehouse = warehouse_of(stack)
    (row,) = await warehouse.query(f"SELECT * FROM {tenant}.ones")
    assert (row["one"], row["on_day"].isoformat(), row["run_id"]) == (1, "2026-01-31", run_id)
    await warehouse.close()


async def test_a_run_is_recorded_once_with_its_steps(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant, "ones")
    stack.wait_for_run(tenant, run_id)
    warehouse = warehouse_of(stack)

    async def rows(view: str) -> list[dict[str, object]]:
        sql = f"SELECT * FROM {view} WHERE run_id = @run_id"
        return await warehouse.query(sql, {"run_id": run_id})

    async def recorded() -> dict[str, object] | None:
        runs = await rows(f"{tenant}.x_meta_pipeline_runs")
        steps = await rows("tenants.tenant_step_logs")
        done = [row["status"] for row in (*runs, *steps)] == ["COMPLETED", "COMPLETED"]
        return steps[0] if done else None

    while (step := await recorded()) is None:
        pass
    assert (step["status"], step["row_count"]) == ("COMPLETED", 1)
    (old_name,) = await rows("metadata.pipeline_runs")
    assert old_name["status"] == "COMPLETE"
    sql = "SELECT event_type FROM tenants.events WHERE data LIKE CONCAT('%', @run_id, '%')"

    async def types_recorded() -> list[str]:
        return [row["event_type"] for row in await warehouse.query(sql, {"run_id": run_id})]

    async with asyncio.timeout(90):
        while set(types := await types_recorded()) != RECORDED:
            pass
    assert len(types) == len(set(types))
    await warehouse.close()


def test_a_failing_step_fails_the_run_with_its_reason(stack: Stack, tenant: str) -> None:
    assert stack.call("PUT", f"{CONFIGS}/bad", text=BAD_SQL, tenant=tenant).status == 200
    run_id = start(stack, tenant, "bad")
    ended = stack.wait_for_run(tenant, run_id)
    assert ended["status"] == "FAILED"
    assert ended["error"]["step_id"] == "make"
    assert "nothing_like_it" in ended["error"]["detail"]

    def steps_are_told() -> None:
        # The run's end and its steps come by different topics, in no order of their own.
        steps = stack.call("GET", f"/api/v1/pipelines/runs/{run_id}/steps", tenant=tenant).body
        states = {step["step_id"]: step["status"] for step in steps["steps"]}
        assert states == {"make": "FAILED", "after": "SKIPPED"}

    eventually(steps_are_told)


def test_a_plan_says_what_would_be_done_and_refused(stack: Stack, tenant: str) -> None:
    saved = stack.call("PUT", f"{CONFIGS}/planned", text=THREE_KINDS, tenant=tenant)
    assert saved.status == 200, saved.body
    answer = stack.call("POST", f"{CONFIGS}/planned/plan", {"date": "2026-01-31"}, tenant=tenant)
    assert answer.status == 200, answer.body
    good, thief, told = answer.body["steps"]
    assert (good["verdict"], good["sql"]) == ("allowed", "SELECT @run_date AS day")
    assert good["writes"] == [f"{tenant}.planned"]
    assert (thief["verdict"], thief["error"]["code"]) == ("refused", "sql_not_allowed")
    assert (told["level"], "hooks.example" in told["note"]) == (3, True)
    assert (answer.body["allowed"], answer.body["quota"]["would"]) == (False, "start")
    missing = stack.call("POST", f"{CONFIGS}/nothing/plan", {}, tenant=tenant)
    assert (missing.status, missing.body["code"]) == (404, "config_not_found")


def test_a_tenant_cannot_read_or_see_another(stack: Stack, tenant: str) -> None:
    stack.onboard("acme_cloud_two")
    run_id = start(stack, tenant, "ones")
    stack.wait_for_run(tenant, run_id)
    answer = stack.call("GET", f"/api/v1/pipelines/runs/{run_id}", tenant="acme_cloud_two")
    assert (answer.status, answer.body["code"]) == (404, "run_not_found")
    thief = reading(f"{tenant}.ones")
    saved = stack.call("PUT", f"{CONFIGS}/reading", text=thief, tenant="acme_cloud_two")
    assert saved.status == 200
    theft = stack.wait_for_run("acme_cloud_two", start(stack, "acme_cloud_two", "reading"))
    assert (theft["status"], theft["error"]["code"]) == ("FAILED", "sql_not_allowed")


def test_the_same_idempotency_key_starts_one_run(stack: Stack, tenant: str) -> None:
    first = start(stack, tenant, "ones", Idempotency_Key="once")
    assert start(stack, tenant, "ones", Idempotency_Key="once") == first
    other = stack.call(
        "POST",
        "/api/v1/pipelines/run/ones",
        {"trigger_by": "somebody else"},
        tenant=tenant,
        headers={"Idempotency-Key": "once"},
    )
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")


def test_limits_hold_and_say_when_they_reset(stack: Stack) -> None:
    stack.onboard("small_shop", plan="STARTER")
    stack.call("PUT", f"{CONFIGS}/ones", text=ONE_STEP, tenant="small_shop")
    path = "/api/v1/pipelines/run/ones"
    answers = [stack.call("POST", path, {}, tenant="small_shop") for _ in range(8)]
    assert [answer.status for answer in answers] == [202] * 6 + [429] * 2
    assert answers[-1].body["code"] == "quota_exceeded"
    assert answers[-1].body["limit"] == "daily"
    quota = stack.call("GET", "/api/v1/tenants/quota", tenant="small_shop").body
    assert (quota["used_today"], quota["limits"]["daily"]) == (6, 6)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "api_key_required"),
        ("nonsense", "invalid_api_key"),
        ("acme_cloud_api_" + "A" * 49, "invalid_api_key"),
    ],
    ids=["no key", "garbage", "wrong checksum"],
)
def test_calls_without_a_good_key_are_turned_away(stack: Stack, key: str, code: str) -> None:
    answer = stack.call("GET", "/api/v1/tenants/me", headers={"X-API-Key": key})
    assert (answer.status, answer.body["code"]) == (401, code)


def test_admin_routes_need_the_admin_key(stack: Stack) -> None:
    answer = stack.call("GET", "/api/v1/admin/tenants", headers={"X-Admin-Key": "wrong"})
    assert (answer.status, answer.body["code"]) == (401, "admin_key_required")
    found = stack.call("GET", "/admin/tenants").body["tenants"]
    assert [one["tenant_id"] for one in found] == sorted(one["tenant_id"] for one in found)


def test_a_bad_definition_is_refused_with_line_and_column(stack: Stack, tenant: str) -> None:
    text = "pipeline_id: x\nsteps:\n  - id: a\n    ps_type: bq_etl.query\n    colour: red\n"
    answer = stack.call("PUT", f"{CONFIGS}/x", text=text, tenant=tenant)
    assert (answer.status, answer.body["code"]) == (400, "invalid_definition")
    (error,) = answer.body["errors"]
    assert (error["line"], "colour" in error["detail"]) == (5, True)


def test_onboarding_twice_and_bootstrapping_twice_change_nothing(stack: Stack, tenant: str) -> None:
    body = {"tenant_id": tenant, "company_name": "x", "admin_email": "a@b.c"}
    answer = stack.call("POST", "/api/v1/tenants/onboard", body)
    assert (answer.status, answer.body["code"]) == (409, "tenant_exists")
    again = stack.call("POST", "/api/v1/admin/bootstrap", {}).body
    assert {made["action"] for made in again["objects"]} == {"unchanged"}


def test_a_revoked_key_stops_working_everywhere_soon(stack: Stack) -> None:
    stack.onboard("leaky_inc")
    made = stack.call("POST", "/api/v1/admin/api-keys", {"tenant_id": "leaky_inc"}).body
    stack.keys["leaky_inc"] = made["api_key"]
    assert stack.call("GET", "/api/v1/tenants/me", tenant="leaky_inc").status == 200
    path = f"/api/v1/admin/api-keys/{made['api_key_hash']}?tenant_id=leaky_inc"
    assert stack.call("DELETE", path).status == 204

    def refused() -> None:
        assert stack.call("GET", "/api/v1/tenants/me", tenant="leaky_inc").status == 401

    eventually(refused, within=20)  # far less than what is remembered of a key counts


def test_no_secret_is_in_any_log(stack: Stack, tenant: str) -> None:
    secrets = [*stack.keys.values(), (stack.state_dir / "secrets/api-key-pepper").read_text()]
    logs = "".join(path.read_text() for path in stack.state_dir.rglob("*.log"))
    assert f'"tenant_id":"{tenant}"' in logs
    assert not [secret[-8:] for secret in secrets if secret in logs]


def test_the_api_is_told_and_every_answer_was_documented(stack: Stack) -> None:
    assert stack.call("GET", "/openapi.json").body["openapi"] == "3.1.0"
    log = (stack.state_dir / "logs/gateway.log").read_text()
    assert "undocumented answer" not in log

"""What the scheduler owns, over HTTP: templates, revisions, schedules, backfills, retries."""

import pytest

from tests.pipelines import BAD_SQL, ONE_STEP
from tests.stack import Stack, eventually

TENANT = "sched_inc"
BILLING = """
steps:
  - id: make
    ps_type: bq_etl.query
    config:
      source_query: >-
        SELECT STRUCT('p' AS id) AS project, STRUCT('BigQuery' AS description) AS service,
        'EUR' AS currency, 2.5 AS cost, TIMESTAMP '2026-03-14 10:00:00' AS usage_start_time
      target_table: ${tenant_id}.gcp_billing_export
"""
RUN_TEMPLATE = f"/api/v1/pipelines/run/{TENANT}/gcp/cost/billing_by_service"


@pytest.fixture(scope="module", autouse=True)
def tenant(stack: Stack) -> str:
    stack.onboard(TENANT)
    stack.onboard("sched_other")
    return TENANT


def test_a_template_runs_with_its_parameters_checked(stack: Stack) -> None:
    listed = stack.call("GET", "/api/v1/templates", tenant=TENANT).body["templates"]
    assert "gcp/cost/billing_by_service" in [one["template_id"] for one in listed]
    refused = stack.call("POST", RUN_TEMPLATE, {"parameters": {"minimum_cost": -1}}, tenant=TENANT)
    assert (refused.status, refused.body["code"]) == (400, "invalid_parameters")
    assert refused.body["errors"][0]["pointer"] == "/parameters/minimum_cost"
    stack.call("PUT", "/api/v1/pipelines/configs/bill", text=BILLING, tenant=TENANT)
    first = stack.call("POST", "/api/v1/pipelines/run/bill", {}, tenant=TENANT).body["run_id"]
    assert stack.wait_for_run(TENANT, first)["status"] == "COMPLETED"
    started = stack.call("POST", RUN_TEMPLATE, {"date": "2026-03-14"}, tenant=TENANT)
    assert started.status == 202, started.body
    ended = stack.wait_for_run(TENANT, started.body["run_id"])
    assert ended["status"] == "COMPLETED", ended
    assert ended["config_id"] == "gcp-cost-billing_by_service"


def test_what_there_is_not_is_404(stack: Stack) -> None:
    other = RUN_TEMPLATE.replace(TENANT, "someone_else")
    assert stack.call("POST", other, {}, tenant=TENANT).status == 404
    unknown = stack.call("GET", "/api/v1/templates/gcp/cost/nothing", tenant=TENANT)
    assert (unknown.status, unknown.body["code"]) == (404, "template_not_found")


CONFIG = "/api/v1/pipelines/configs/ones"
SCHEDULES = f"/api/v1/scheduler/customer/{TENANT}/pipelines"


@pytest.fixture(scope="module")
def config(stack: Stack) -> str:
    assert stack.call("PUT", CONFIG, text=ONE_STEP, tenant=TENANT).status == 200
    return "ones"


def test_revisions_stay_and_a_change_says_what_it_changes(stack: Stack, config: str) -> None:
    blind = stack.call("PUT", CONFIG, text=ONE_STEP, tenant=TENANT)
    assert (blind.status, blind.body["code"]) == (428, "if_match_required")
    tag = stack.call("GET", CONFIG, tenant=TENANT).headers["ETag"]
    changed = ONE_STEP.replace("One step", "Changed")
    saved = stack.call("PUT", CONFIG, text=changed, tenant=TENANT, headers={"If-Match": tag})
    assert saved.body["revision"] == 2
    stale = stack.call("PUT", CONFIG, text=changed, tenant=TENANT, headers={"If-Match": tag})
    assert (stale.status, stale.body["code"]) == (412, "revision_conflict")
    listed = stack.call("GET", f"{CONFIG}/revisions", tenant=TENANT).body["revisions"]
    assert [one["revision"] for one in listed] == [2, 1]
    first = stack.call("GET", f"{CONFIG}/revisions/1", tenant=TENANT).body
    assert first["source"] == ONE_STEP
    assert stack.call("GET", f"{CONFIG}/revisions/9", tenant=TENANT).status == 404


def test_a_pipeline_is_deleted_as_it_was_read_and_its_revisions_stay(stack: Stack) -> None:
    path = "/api/v1/pipelines/configs/short_lived"
    for tag in ("*", '"1"'):
        stack.call("PUT", path, text=ONE_STEP, tenant=TENANT, headers={"If-Match": tag})
    blind = stack.call("DELETE", path, tenant=TENANT)
    assert (blind.status, blind.body["code"]) == (428, "if_match_required")
    stale = stack.call("DELETE", path, tenant=TENANT, headers={"If-Match": '"1"'})
    assert (stale.status, stale.body["code"]) == (412, "revision_conflict")
    assert stack.call("DELETE", path, tenant=TENANT, headers={"If-Match": '"2"'}).status == 204
    assert stack.call("GET", path, tenant=TENANT).status == 404
    assert stack.call("GET", f"{path}/revisions/1", tenant=TENANT).body["source"] == ONE_STEP
    missing = stack.call("DELETE", path, tenant=TENANT, headers={"If-Match": "*"})
    assert (missing.status, missing.body["code"]) == (404, "config_not_found")


def test_a_definition_is_checked_without_being_saved(stack: Stack) -> None:
    path = "/api/v1/pipelines/validate"
    good = stack.call("POST", path, text=ONE_STEP, tenant=TENANT).body
    assert (good["valid"], good["definition"]["steps"][0]["step_id"]) == (True, "make")
    bad = stack.call("POST", path, text="steps:\n  - {id: a, colour: red}\n", tenant=TENANT).body
    assert [(p["line"], p["pointer"]) for p in bad["problems"]] == [
        (2, "/steps/0/ps_type"),
        (2, "/steps/0/colour"),
    ]


def test_a_schedule_runs_when_its_time_has_come(stack: Stack, config: str) -> None:
    body = {"config_id": config, "cron": "* * * * *", "time_zone": "Europe/Berlin"}
    saved = stack.call("POST", SCHEDULES, body, tenant=TENANT)
    assert saved.status == 201, saved.body
    assert len(saved.body["next_times"]) == 10

    def ran() -> None:
        ticked = stack.call("POST", "/api/v1/scheduler/trigger", {})
        assert ticked.status == 200, ticked.body
        (row,) = stack.call("GET", SCHEDULES, tenant=TENANT).body["schedules"]
        assert row["last_due_at"]

    eventually(ran, within=150)
    paused = stack.call("POST", SCHEDULES, {**body, "enabled": False}, tenant=TENANT)
    assert paused.body["next_times"] == []
    assert stack.call("DELETE", f"{SCHEDULES}/{config}", tenant=TENANT).status == 204
    assert stack.call("DELETE", f"{SCHEDULES}/{config}", tenant=TENANT).status == 404

    def shown() -> None:
        runs = stack.call("GET", "/api/v1/pipelines/runs", tenant=TENANT).body["runs"]
        assert "schedule" in {run["trigger"]["type"] for run in runs}

    eventually(shown)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"cron": "61 * * * *"}, "/cron"), ({"time_zone": "Mars/Olympus"}, "/time_zone")],
)
def test_a_bad_schedule_names_its_field(
    stack: Stack, config: str, change: dict[str, str], field: str
) -> None:
    body = {"config_id": config, "cron": "@daily", **change}
    refused = stack.call("POST", SCHEDULES, body, tenant=TENANT)
    assert (refused.status, refused.body["code"]) == (400, "invalid_schedule")
    assert refused.body["errors"][0]["pointer"] == field


def test_a_backfill_runs_the_days_that_are_missing(stack: Stack, config: str) -> None:
    path = f"{CONFIG}/backfills"
    body = {"from": "2026-02-27", "to": "2026-03-02", "max_active": 4}
    plan = stack.call("POST", path, {**body, "dry_run": True}, tenant=TENANT).body
    assert (plan["days"], plan["runs"]) == (4, 4)
    started = stack.call("POST", path, body, tenant=TENANT)
    assert started.status == 202, started.body

    def ended() -> None:
        found = stack.call("GET", f"{path}/{started.body['backfill_id']}", tenant=TENANT).body
        assert (found["status"], found["completed"]) == ("COMPLETED", 4)

    eventually(ended)
    plan = stack.call("POST", path, {**body, "dry_run": True}, tenant=TENANT).body
    assert plan["runs"] == 0


def test_a_backfill_is_paused_resumed_and_cancelled(stack: Stack, config: str) -> None:
    path = f"/api/v1/pipelines/configs/{config}/backfills"
    body = {"from": "2024-01-01", "to": "2024-12-31"}
    begun = stack.call("POST", path, body, tenant=TENANT).body
    one = f"{path}/{begun['backfill_id']}"
    for action, status in (("pause", "PAUSED"), ("resume", "ACTIVE"), ("pause", "PAUSED")):
        changed = stack.call("PATCH", one, {"action": action}, tenant=TENANT)
        assert (changed.status, changed.body["status"]) == (200, status)
        assert stack.call("GET", one, tenant=TENANT).body["status"] == status
    wrong = stack.call("PATCH", one, {"action": "stop"}, tenant=TENANT)
    assert (wrong.status, wrong.body["errors"][0]["pointer"]) == (400, "/action")
    cancelled = stack.call("DELETE", one, tenant=TENANT)
    assert (cancelled.status, cancelled.body["status"]) == (200, "CANCELLED")
    late = stack.call("PATCH", one, {"action": "resume"}, tenant=TENANT)
    assert (late.status, late.body["code"]) == (409, "backfill_ended")


def test_a_failed_run_is_repeated_as_a_new_one(stack: Stack) -> None:
    text = BAD_SQL.replace("needs: [make]", "on_failure: continue")
    stack.call("PUT", "/api/v1/pipelines/configs/bad", text=text, tenant=TENANT)
    first = stack.call("POST", "/api/v1/pipelines/run/bad", {}, tenant=TENANT).body["run_id"]
    assert stack.wait_for_run(TENANT, first)["status"] == "FAILED"
    path = f"/api/v1/pipelines/runs/{first}/retry"
    again = stack.call("POST", path, {"from": "failed"}, tenant=TENANT)
    assert again.status == 202, again.body
    assert again.body["retry_of"] == first
    assert stack.wait_for_run(TENANT, again.body["run_id"])["status"] == "FAILED"
    assert stack.wait_for_run(TENANT, first)["status"] == "FAILED"
    unknown = stack.call("POST", path, {"from": "nowhere"}, tenant=TENANT)
    assert (unknown.status, unknown.body["code"]) == (400, "unknown_step")
    said = stack.call("GET", f"/api/v1/pipelines/runs/{first}/explain", tenant=TENANT).body
    assert (said["status"], said["blocking_limit"]) == ("FAILED", "")


def test_the_operator_sees_what_each_tenant_has(stack: Stack) -> None:
    found = stack.call("GET", "/api/v1/scheduler/status").body
    assert TENANT in [one["tenant_id"] for one in found["tenants"]]
    assert stack.call("GET", "/api/v1/scheduler/status", tenant=TENANT).status == 401
    counts = {"triggered_count", "queued_count", "retried_count", "expired_count"}
    jobs = {"trigger": "trigger", "process-queue": "queue", "reset-daily-quotas": "daily"}
    for path, job in jobs.items():
        done = stack.call("POST", f"/api/v1/scheduler/{path}", {})
        assert (done.status, done.body.pop("job"), set(done.body)) == (200, job, counts)


@pytest.fixture(scope="module")
def three_schedules(stack: Stack, config: str) -> None:
    for other in (config, "aaa", "bbb"):
        path, tag = f"/api/v1/pipelines/configs/{other}", {"If-Match": "*"}
        saved = stack.call("PUT", path, text=ONE_STEP, tenant=TENANT, headers=tag)
        assert saved.status == 200, saved.body
        body = {"config_id": other, "cron": "@yearly", "enabled": False}
        assert stack.call("POST", SCHEDULES, body, tenant=TENANT).status == 201


@pytest.mark.usefixtures("three_schedules")
@pytest.mark.parametrize(
    ("path", "items", "tenant"),
    [
        ("/api/v1/pipelines/configs", "configs/config_id", TENANT),
        (SCHEDULES, "schedules/config_id", TENANT),
        ("/api/v1/admin/tenants", "tenants/tenant_id", ""),
        ("/api/v1/scheduler/status", "tenants/tenant_id", ""),
    ],
)
def test_lists_go_on_where_their_cursor_says(
    stack: Stack, path: str, items: str, tenant: str
) -> None:
    name, _, key = items.partition("/")
    whole = stack.call("GET", f"{path}?limit=200", tenant=tenant).body
    assert whole["next_cursor"] is None
    names, cursor = [], ""
    for _ in whole[name]:
        page = stack.call("GET", f"{path}?limit=1{cursor}", tenant=tenant).body
        names += [one[key] for one in page[name]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert len(names) >= 2
    assert names == sorted(names) == [one[key] for one in whole[name]]
    forged = stack.call("GET", f"{path}?cursor=aaa", tenant=tenant)
    assert (forged.status, forged.body["code"]) == (400, "invalid_cursor")

"""A tenant's life, with tenants made for the purpose; never run against production."""

import re
import time
from typing import Any

from deploy.suites.checks import (
    CHANGING,
    CheckError,
    SkippedError,
    World,
    check,
    demand,
    expect,
    problem,
)
from deploy.suites.client import Answer

PATIENCE = 60.0
PAUSE = 0.2
REVOKED_SECONDS = 2.0
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
PIPELINE = """
pipeline_id: suite
steps:
  - id: one
    ps_type: bq_etl.query
    config: {source_query: "SELECT 1 AS one", target_table: "${tenant_id}.suite"}
"""
CREDENTIALS = "/api/v1/tenants/{tenant_id}/credentials"
MOST_REQUESTS = 600


@check("bootstrap", CHANGING)
def bootstrapping_again_changes_nothing(world: World) -> None:
    path = "/api/v1/admin/bootstrap"
    expect(world.client.call("POST", path, {}, admin=True), 200, path)
    again = expect(world.client.call("POST", path, {}, admin=True), 200, path).body
    changed = [one["name"] for one in again["objects"] if one["action"] != "unchanged"]
    demand(not changed, f"the second time these changed: {changed}")


@check("bootstrap", CHANGING)
def force_needs_a_confirmation(world: World) -> None:
    body = {"force_recreate_tables": True}
    found = world.client.call("POST", "/api/v1/admin/bootstrap", body, admin=True)
    problem(found, 422, "force without confirm")


@check("tenant life cycle", CHANGING)
def a_tenant_onboards_and_sees_itself_and_its_limits(world: World) -> None:
    name = world.tenant()
    me = expect(world.client.get("/api/v1/tenants/me", tenant=name), 200, "me").body
    demand(me["tenant_id"] == name, f"me is {me}")
    expect(world.client.get("/api/v1/tenants/quota", tenant=name), 200, "quota")
    again = {"tenant_id": name, "company_name": "X", "admin_email": "x@example.com"}
    found = world.client.call("POST", "/api/v1/tenants/onboard", again, admin=True)
    demand(found.status in {400, 409}, f"onboarding twice is answered {found.status}")


@check("tenant life cycle", CHANGING)
def a_pipeline_is_saved_and_run_to_its_end(world: World) -> None:
    name = world.tenant()
    save(world, name)
    run = wait_for(world, name, start(world, name))
    demand(run["status"] == "COMPLETED", f"the run ended {run['status']}: {run.get('error')}")
    path = f"/api/v1/pipelines/runs/{run['run_id']}/steps"
    steps = eventually(lambda: steps_of(world.client.get(path, tenant=name)))
    demand(steps[0]["status"] == "COMPLETED", f"the step is {steps[0]}")


@check("tenant life cycle", CHANGING)
def the_same_idempotency_key_is_the_same_run(world: World) -> None:
    name = world.tenant()
    save(world, name)
    demand(start(world, name, "once") == start(world, name, "once"), "two runs for one key")


@check("keys rejected", CHANGING)
def a_revoked_key_opens_nothing_within_two_seconds(world: World) -> None:
    name = world.tenant()
    path = "/api/v1/admin/api-keys"
    made = world.client.call("POST", path, {"tenant_id": name, "description": "s"}, admin=True)
    issued = expect(made, 201, path).body
    sent = {"X-API-Key": issued["api_key"]}
    expect(world.client.call("GET", "/api/v1/tenants/me", headers=sent), 200, "a new key")
    gone = f"{path}/{issued['api_key_hash']}?tenant_id={name}"
    expect(world.client.call("DELETE", gone, admin=True), (200, 202, 204), gone)
    end = time.monotonic() + REVOKED_SECONDS * world.slack
    while (found := world.client.call("GET", "/api/v1/tenants/me", headers=sent)).status == 200:  # noqa: PLR2004  HTTP
        if time.monotonic() > end:
            break
        time.sleep(PAUSE)
    problem(found, 401, "a revoked key")


@check("isolation", CHANGING)
def another_tenants_run_is_not_there(world: World) -> None:
    owner, other = world.tenant(), world.tenant(1)
    save(world, owner)
    run_id = start(world, owner)
    for path in ("", "/steps"):
        found = world.client.get(f"/api/v1/pipelines/runs/{run_id}{path}", tenant=other)
        demand(
            found.status == 404 or (path and not found.body.get("steps")),  # noqa: PLR2004  HTTP
            f"another tenant's run{path} is answered {found.status}: {found.body}",
        )
    listed = world.client.get("/api/v1/pipelines/runs", tenant=other)
    demand(run_id not in str(listed.body), "another tenant's run is listed")


@check("isolation", CHANGING)
def another_tenants_table_cannot_be_read(world: World) -> None:
    owner, other = world.tenant(), world.tenant(1)
    text = PIPELINE.replace("SELECT 1 AS one", f"SELECT * FROM {owner}.suite")  # noqa: S608  to be refused
    path = "/api/v1/pipelines/configs/suite"
    saved = world.client.call("PUT", path, tenant=other, text=text, headers={"If-Match": "*"})
    if saved.status >= 400:  # noqa: PLR2004  refused already when saved: just as good
        return
    run = wait_for(world, other, start(world, other))
    demand(run["status"] == "FAILED", f"reading another tenant's table ended {run['status']}")


@check("kms", CHANGING)
def credentials_are_sealed_and_never_shown(world: World) -> None:
    if not world.offers(CREDENTIALS):
        reason = "this gateway offers no credentials"
        raise SkippedError(reason)
    name, secret = world.tenant(), f"sk-suite-only-for-tests-{world.mark}"
    path = CREDENTIALS.replace("{tenant_id}", name)
    body = {"provider": "OPENAI", "credentials": {"api_key": secret}}
    made = world.client.call("POST", path, body, tenant=name)
    expect(made, (200, 201), path)
    demand(secret not in str(made.body), "the answer shows the secret")
    listed = eventually(lambda: expect(world.client.get(path, tenant=name), 200, path))
    demand(secret not in str(listed.body), "the list shows the secret")


@check("rate limits", CHANGING)
def a_flood_is_refused_with_when_to_come_back(world: World) -> None:
    name = world.tenant(2)
    first = world.client.get("/api/v1/tenants/me", tenant=name)
    policy = re.search(r";\s*q=(\d+)", first.header("RateLimit-Policy"))
    if policy is None:
        reason = "answers carry no RateLimit-Policy"
        raise SkippedError(reason)
    for _ in range(min(MOST_REQUESTS, 3 * int(policy.group(1)))):
        found = world.client.get("/api/v1/tenants/me", tenant=name)
        if found.status == 429:  # noqa: PLR2004  HTTP
            demand(found.header("Retry-After"), "a refusal without Retry-After")
            return
    raise CheckError(f"no request was refused under the policy {policy.group(0)}")


@check("errors", CHANGING)
def what_is_wrong_with_a_body_is_said_with_its_place(world: World) -> None:
    body = {"tenant_id": "Not A Name", "unknown": 1}
    found = world.client.call("POST", "/api/v1/tenants/onboard", body, admin=True)
    problem(found, 400, "a bad body")
    pointers = [one["pointer"] for one in found.body["errors"]]
    demand("/tenant_id" in pointers, f"the places named are {pointers}")


def save(world: World, tenant: str) -> None:
    path = "/api/v1/pipelines/configs/suite"
    saved = world.client.call("PUT", path, tenant=tenant, text=PIPELINE, headers={"If-Match": "*"})
    expect(saved, (200, 201), path)


def start(world: World, tenant: str, key: str = "") -> str:
    sent = {"Idempotency-Key": key} if key else {}
    path = "/api/v1/pipelines/run/suite"
    found = world.client.call("POST", path, {}, tenant=tenant, headers=sent)
    return str(expect(found, 202, path).body["run_id"])


def wait_for(world: World, tenant: str, run_id: str) -> Any:
    path = f"/api/v1/pipelines/runs/{run_id}"

    def ended() -> Any:
        body = expect(world.client.get(f"{path}?wait=5", tenant=tenant), 200, path).body
        demand(body["status"] in FINAL, f"the run is still {body['status']}")
        return body

    return eventually(ended)


def steps_of(answer: Answer) -> Any:
    steps = expect(answer, 200, "steps").body["steps"]
    demand(steps and steps[0]["status"] != "RUNNING", f"the steps are {steps}")
    return steps


def eventually(ask: Any) -> Any:
    """Repeat until it holds; raises the last failure when it takes too long."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except CheckError:
            if time.monotonic() > end:
                raise
        time.sleep(PAUSE)

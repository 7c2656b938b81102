"""Two tenants, every route, every identifier swapped: 404, and nothing of the other is seen.

One tenant's id begins like the other's. Routes come from the gateway's own
document, so a new one is walked, or its parameter has to be named here.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.pipelines import ONE_STEP
from tests.stack import Answer, Stack
from tests.tenancy.secrets_of_tests import credentials
from tests.tenancy.walk import Operation, operations, swaps

FIRST, SECOND = "twin", "twin_two"
CREATES_ITS_OWN = frozenset(
    f"{method} /api/v1/pipelines/configs/{{config_id}}" for method in ("PUT", "POST")
)
"""Where a tenant gives a name of its choice: another's name is as good as any."""


@dataclass
class Twin:
    """One of the two, with one of everything."""

    name: str
    mark: str
    ids: dict[str, str] = field(default_factory=dict)

    def secrets(self) -> list[str]:
        """What the other must never see, unless it said so itself."""
        return [self.mark, *self.ids.values()]


def settled(stack: Stack, name: str) -> Twin:
    twin, mark = Twin(name, f"mark-of-{name}-7f3a"), f"mark-of-{name}-7f3a"
    stack.onboard(name, plan="SCALE")
    config, credential = f"secret_{name}_plan", f"hidden-{name}-id"
    definition = ONE_STEP.replace("One step, whatever there is.", mark)
    path = f"/api/v1/pipelines/configs/{config}"
    assert stack.call("PUT", path, text=definition, tenant=name).status == 200
    body = {"trigger_by": mark}
    run = stack.call("POST", f"/api/v1/pipelines/run/{config}", body, tenant=name).body
    stack.wait_for_run(name, run["run_id"])
    path, body = "/api/v1/tenants/api-keys", {"description": mark}
    key = stack.call("POST", path, body, tenant=name).body
    generic = {"provider": "GENERIC", "credentials": credentials()["GENERIC"]}
    path = f"/api/v1/tenants/{name}/credentials"
    hidden = {**generic, "credential_id": credential}
    assert stack.call("POST", path, hidden, tenant=name).status == 200
    path, days = f"/api/v1/pipelines/configs/{config}/backfills", {"from": "2026-02-01"}
    backfill = stack.call("POST", path, {**days, "to": "2026-02-01"}, tenant=name)
    assert backfill.status == 202, backfill.body
    path = "/api/v1/notifications/webhooks"
    hook = {"url": f"http://127.0.0.1:9/{mark}", "events": ["run.failed"], "description": mark}
    webhook = stack.call("POST", path, hook, tenant=name)
    assert webhook.status == 201, webhook.body
    webhook_id = webhook.body["webhook_id"]
    notice = stack.call("POST", f"{path}/{webhook_id}/test", tenant=name)
    assert notice.status in {200, 202}, notice.body
    twin.ids = {
        "webhook_id": webhook_id,
        "notice_id": notice.body["notice_id"],
        "tenant_id": name,
        "config_id": config,
        "pipeline": config,
        "run_id": run["run_id"],
        "backfill_id": backfill.body["backfill_id"],
        "credential_id": credential,
        "key_hash": key["api_key_hash"],
    }
    return twin


@pytest.fixture(scope="module")
def twins(stack: Stack) -> tuple[Twin, Twin]:
    return settled(stack, FIRST), settled(stack, SECOND)


@pytest.fixture(scope="module")
def routes(stack: Stack) -> list[Operation]:
    found = [one for one in operations(stack.call("GET", "/openapi.json").body) if one.is_tenants]
    # Last what makes things under the victim's names, or the later routes would find those.
    return sorted(found, key=lambda one: one.name in CREATES_ITS_OWN)


@pytest.fixture(params=["the longer id", "the shorter id"])
def sides(twins: tuple[Twin, Twin], request: pytest.FixtureRequest) -> tuple[Twin, Twin]:
    """Who intrudes, and on whom."""
    first, second = twins
    return (second, first) if request.param == "the longer id" else (first, second)


def visit(stack: Stack, intruder: Twin, one: Operation, path: str, body: Any = None) -> Answer:
    example, media = one.body
    body = example if body is None else body
    headers = {"Content-Type": media} if media else {}
    if one.method == "DELETE":
        headers["If-Match"] = "*"  # whatever is there: nothing must be there for a stranger
    text = body if isinstance(body, str) else None if body is None else json.dumps(body)
    return stack.call(one.method, path, tenant=intruder.name, headers=headers, text=text)


def leaks(answer: Answer, victim: Twin, said: str) -> list[str]:
    """What of the victim is in an answer beyond what was said in the request itself."""
    seen = json.dumps([answer.body, dict(answer.headers)], default=str)
    return [
        secret
        for secret in victim.secrets()
        if secret in seen and secret not in said and secret != victim.name
    ]


def what_it_has(stack: Stack, twin: Twin) -> dict[str, Any]:
    paths = [
        "/api/v1/tenants/me",
        "/api/v1/tenants/api-keys",
        f"/api/v1/tenants/{twin.name}/credentials",
        f"/api/v1/pipelines/configs/{twin.ids['config_id']}",
        f"/api/v1/pipelines/runs/{twin.ids['run_id']}",
    ]
    found = {path: stack.call("GET", path, tenant=twin.name) for path in paths}
    assert {answer.status for answer in found.values()} == {200}
    return {path: answer.body for path, answer in found.items()}


def test_every_identifier_of_a_path_is_known_here(
    routes: list[Operation], twins: tuple[Twin, Twin]
) -> None:
    unknown = {
        (one.name, name) for one in routes for name in one.identifiers if name not in twins[0].ids
    }
    assert not unknown, "say in `settled` what a tenant has under these names"


def test_anothers_identifiers_as_filters_show_nothing(
    stack: Stack, routes: list[Operation], sides: tuple[Twin, Twin]
) -> None:
    # Before the intrusions: those are in the intruder's own audit trail, as it made them.
    intruder, victim = sides
    asked = 0
    for one in routes:
        if one.method != "GET" or one.identifiers:
            continue
        for name in ["", *(name for name in one.filters if name in victim.ids)]:
            path = f"{one.path}?{name}={victim.ids[name]}" if name else one.path
            answer = visit(stack, intruder, one, path)
            assert answer.status in {200, 400, 403, 404}, (path, answer.body)
            assert leaks(answer, victim, path) == [], path
            asked += 1
    assert asked > 5


def test_anothers_identifiers_lead_nowhere(
    stack: Stack, routes: list[Operation], sides: tuple[Twin, Twin]
) -> None:
    intruder, victim = sides
    before, walked = what_it_has(stack, victim), 0
    for one in routes:
        for values in swaps(one.identifiers, intruder.ids, victim.ids):
            path = one.filled(values)
            answer = visit(stack, intruder, one, path)
            assert leaks(answer, victim, path) == [], one.name
            if one.name not in CREATES_ITS_OWN:
                assert answer.status == 404, (one.name, values, answer.body)
            walked += 1
    assert walked > 15
    assert what_it_has(stack, victim) == before


def test_anothers_identifiers_in_a_body_lead_nowhere(
    stack: Stack, routes: list[Operation], sides: tuple[Twin, Twin]
) -> None:
    intruder, victim = sides
    for one in routes:
        body, _ = one.body
        if one.method == "GET" or one.identifiers or not isinstance(body, dict):
            continue
        theirs = {name: victim.ids[name] for name in body if name in victim.ids}
        if "dataset" in body:
            theirs["dataset"] = victim.name
        answer = visit(stack, intruder, one, one.path, {**body, **theirs})
        assert leaks(answer, victim, json.dumps(theirs)) == [], one.name
        assert not theirs or 400 <= answer.status < 500, (one.name, answer.body)


def test_anothers_cursor_shows_nothing(
    stack: Stack, routes: list[Operation], sides: tuple[Twin, Twin]
) -> None:
    intruder, victim = sides
    for one in routes:
        if one.method != "GET" or one.identifiers or "cursor" not in one.filters:
            continue
        page = stack.call("GET", f"{one.path}?limit=1", tenant=victim.name)
        assert page.status == 200, (one.name, page.body)
        cursor = page.body.get("next_cursor")
        if cursor:
            path = f"{one.path}?limit=1&cursor={cursor}"
            answer = visit(stack, intruder, one, path)
            assert leaks(answer, victim, path) == [], one.name


def test_a_tenants_key_opens_nothing_of_the_platforms(
    stack: Stack, twins: tuple[Twin, Twin]
) -> None:
    first, second = twins
    for one in operations(stack.call("GET", "/openapi.json").body):
        if one.told["security"] != [{"AdminKey": []}]:
            continue
        answer = visit(stack, second, one, one.filled(first.ids))
        assert (answer.status, answer.body["code"]) == (401, "admin_key_required"), one.name
        assert leaks(answer, first, one.filled(first.ids)) == []

"""Two tenants with one of everything; one's id begins like the other's."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.pipelines import ONE_STEP
from tests.stack import Answer, Stack, eventually
from tests.tenancy.secrets_of_tests import credentials
from tests.tenancy.walk import Operation

FIRST, SECOND = "twin", "twin_two"
UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
NOBODYS = {
    "webhook_id": UUID,
    "notice_id": UUID,
    "tenant_id": "nobody_at_all",
    "dataset": "nobody_at_all",
    "config_id": "nobodys_plan",
    "pipeline": "nobodys_plan",
    "run_id": UUID,
    "backfill_id": UUID,
    "credential_id": "nobodys-id",
    "key_hash": "f" * 64,
    "correlation_id": UUID,
}
"""Well-formed, and not there."""
_VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Moments, and identifiers that were made for the answer."""


@dataclass(frozen=True)
class Asked:
    """One request among others that differ only in whose identifiers they name."""

    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return json.dumps([self.path, self.body, dict(self.headers)])


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
    twin = Twin(name, f"mark-of-{name}-7f3a")
    stack.onboard(name, plan="SCALE")
    config, credential = f"secret_{name}_plan", f"hidden-{name}-id"
    pipeline = f"/api/v1/pipelines/configs/{config}"
    definition = ONE_STEP.replace("One step, whatever there is.", twin.mark)
    assert stack.call("PUT", pipeline, text=definition, tenant=name).status == 200
    run = made(stack, name, f"/api/v1/pipelines/run/{config}", {"trigger_by": twin.mark})
    stack.wait_for_run(name, run["run_id"])
    key = made(stack, name, "/api/v1/tenants/api-keys", {"description": twin.mark})
    generic = {"provider": "GENERIC", "credentials": credentials()["GENERIC"]}
    hidden = {**generic, "credential_id": credential}
    made(stack, name, f"/api/v1/tenants/{name}/credentials", hidden)
    days = {"from": "2026-02-01", "to": "2026-02-01"}
    backfill = made(stack, name, f"{pipeline}/backfills", days)
    one = f"{pipeline}/backfills/{backfill['backfill_id']}"

    def filled() -> None:
        assert stack.call("GET", one, tenant=name).body["status"] == "COMPLETED"

    eventually(filled)  # what it has is to change by nobody else's doing
    yearly = {"config_id": config, "cron": "0 0 1 1 *"}
    made(stack, name, f"/api/v1/scheduler/customer/{name}/pipelines", yearly)
    hooks = "/api/v1/notifications/webhooks"
    hook = {"url": f"http://127.0.0.1:9/{twin.mark}", "events": ["run.failed"]}
    webhook = made(stack, name, hooks, {**hook, "description": twin.mark})["webhook_id"]
    notice = made(stack, name, f"{hooks}/{webhook}/test", None)["notice_id"]
    twin.ids = {
        "webhook_id": webhook,
        "notice_id": notice,
        "tenant_id": name,
        "dataset": name,
        "config_id": config,
        "pipeline": config,
        "run_id": run["run_id"],
        "backfill_id": backfill["backfill_id"],
        "credential_id": credential,
        "key_hash": key["api_key_hash"],
        "correlation_id": cause_of(stack, name, run["run_id"]),
    }
    return twin


def made(stack: Stack, tenant: str, path: str, body: Any) -> Any:
    answer = stack.call("POST", path, body, tenant=tenant)
    assert answer.status in {200, 201, 202}, (path, answer.body)
    return answer.body


def cause_of(stack: Stack, tenant: str, run: str) -> str:
    """What the recorded events of a run have in common."""

    def recorded() -> str:
        path = f"/api/v1/audit/events?run_id={run}"
        events = stack.call("GET", path, tenant=tenant).body["events"]
        assert events
        return str(events[0]["correlation_id"])

    return eventually(recorded)


def visit(stack: Stack, intruder: Twin, one: Operation, asked: Asked) -> Answer:
    example, media = one.body
    body = example if asked.body is None else asked.body
    headers = {"Content-Type": media} if media else {}
    if one.method == "DELETE":
        headers["If-Match"] = "*"  # whatever is there: nothing must be there for a stranger
    text = body if isinstance(body, str) else None if body is None else json.dumps(body)
    return stack.call(
        one.method,
        asked.path,
        tenant=intruder.name,
        headers={**headers, **asked.headers},
        text=text,
    )


def leaks(answer: Answer, victim: Twin, said: str) -> list[str]:
    """What of the victim is in an answer beyond what was said in the request itself."""
    seen = json.dumps([answer.body, dict(answer.headers)], default=str)
    return [
        secret
        for secret in victim.secrets()
        if secret in seen and secret not in said and secret != victim.name
    ]


def shape(answer: Answer, asker: Twin, asked_for: Mapping[str, str]) -> tuple[int, str]:
    """An answer without whose it was and when: the same for another's as for what is not there."""
    body = answer.body
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name != "trace_id"}
        if "events" in body:
            body["events"] = [one for one in body["events"] if not _is_question_of(asker, one)]
    text = json.dumps(body, default=str)
    for value in sorted([*asker.ids.values(), *asked_for.values()], key=len, reverse=True):
        text = text.replace(value, "…")
    return answer.status, _VOLATILE.sub("…", text)


def _is_question_of(asker: Twin, event: Mapping[str, Any]) -> bool:
    """What somebody asked is recorded as its own, with whatever it named."""
    return event["tenant_id"] == asker.name and event["kind"] in {"query", "command"}


def what_it_has(stack: Stack, twin: Twin) -> dict[str, Any]:
    pipeline = f"/api/v1/pipelines/configs/{twin.ids['config_id']}"
    paths = [
        "/api/v1/tenants/me",
        "/api/v1/tenants/api-keys",
        f"/api/v1/tenants/{twin.name}/credentials",
        "/api/v1/notifications/webhooks",
        f"/api/v1/scheduler/customer/{twin.name}/pipelines",
        pipeline,
        f"{pipeline}/backfills",
        f"/api/v1/pipelines/runs/{twin.ids['run_id']}",
    ]

    def all_that_is_asked() -> dict[str, Any]:
        found = {path: stack.call("GET", path, tenant=twin.name) for path in paths}
        assert not {path: one.body for path, one in found.items() if one.status != 200}
        return {path: answer.body for path, answer in found.items()}

    return eventually(all_that_is_asked)

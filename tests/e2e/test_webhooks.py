"""What a tenant's own server is told, over HTTP from end to end."""

import base64
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.pipelines import BAD_SQL, ONE_STEP
from tests.stack import Stack, eventually

TENANT, OTHER = "told_inc", "nosy_inc"
WEBHOOKS = "/api/v1/notifications/webhooks"
CHECKED = """
pipeline_id: checked
steps:
  - id: look
    ps_type: dq.check
    config:
      table: ${tenant_id}.ones
      checks: [{type: row_count, min_value: 1000}]
"""
MODEL = """
pipeline_id: model
steps:
  - id: merge
    ps_type: transform.sql
    config:
      sql: "SELECT 1 AS id, %s"
      target_table: ${tenant_id}.model
      materialized: incremental
      unique_key: [id]
"""
ALL = (
    "run.finished",
    "run.failed",
    "quota.warning",
    "quota.exhausted",
    "dq.failed",
    "schema.drifted",
)


@dataclass(slots=True)
class Told:
    """One call of a webhook."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> Any:
        return json.loads(self.body)

    @property
    def signatures(self) -> list[str]:
        return self.headers["webhook-signature"].split()

    def signed_with(self, secret: str) -> str:
        text = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        return "v1," + base64.b64encode(hmac.new(key, text, "sha256").digest()).decode()


@dataclass(slots=True)
class Hook:
    """A tenant's server that keeps what it is told, under a path that is a secret."""

    url: str
    told: "queue.Queue[Told]" = field(default_factory=queue.Queue)

    def next(self) -> Told:
        return self.told.get(timeout=90)


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.told.put(Told({n.lower(): v for n, v in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/hook/s3cret-path"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    stack.onboard(TENANT, "STARTER")
    stack.onboard(OTHER)
    pipelines = {"ones": ONE_STEP, "bad": BAD_SQL, "checked": CHECKED, "model": MODEL % "2 AS two"}
    for name, text in pipelines.items():
        save(stack, name, text)
    return TENANT


def save(stack: Stack, name: str, text: str) -> None:
    path = f"/api/v1/pipelines/configs/{name}"
    known = stack.call("GET", path, tenant=TENANT)
    headers = {"If-Match": known.headers["ETag"]} if known.status == 200 else {}
    saved = stack.call("PUT", path, text=text, tenant=TENANT, headers=headers)
    assert saved.status == 200, saved.body


def run(stack: Stack, name: str) -> str:
    answer = stack.call("POST", f"/api/v1/pipelines/run/{name}", {}, tenant=TENANT)
    assert answer.status == 202, answer.body
    run_id = str(answer.body["run_id"])
    stack.wait_for_run(TENANT, run_id)
    return run_id


def made(stack: Stack, hook: Hook, *events: str) -> Any:
    answer = stack.call("POST", WEBHOOKS, {"url": hook.url, "events": events}, tenant=TENANT)
    assert answer.status == 201, answer.body
    return answer.body


def test_a_tenant_is_told_of_all_that_it_asked_for(stack: Stack, tenant: str, hook: Hook) -> None:
    """Six runs are all that its plan allows in a day."""
    webhook = made(stack, hook, *ALL)
    ran = {name: run(stack, name) for name in ("ones", "bad", "checked", "model")}
    save(stack, "model", MODEL % "2 AS two, 3 AS three")
    drifted, last = run(stack, "model"), run(stack, "ones")
    told = [hook.next() for _ in range(10)]
    assert all(one.signatures == [one.signed_with(webhook["secret"])] for one in told)
    assert len({one.id for one in told}) == len(told)
    said = sorted(
        (one.data["type"], one.data["data"].get("run_id") or one.data["data"]["limit"])
        for one in told
    )
    assert said == sorted(
        [
            ("run.finished", ran["ones"]),
            ("run.failed", ran["bad"]),
            ("dq.failed", ran["checked"]),
            ("run.failed", ran["checked"]),
            ("run.finished", ran["model"]),
            ("schema.drifted", drifted),
            ("run.failed", drifted),
            ("quota.warning", "daily"),
            ("run.finished", last),
            ("quota.exhausted", "daily"),
        ]
    )
    assert stack.call("DELETE", f"{WEBHOOKS}/{webhook['webhook_id']}", tenant=tenant).status == 200


def test_a_notice_is_logged_and_sent_again(stack: Stack, tenant: str, hook: Hook) -> None:
    webhook = made(stack, hook, "run.finished")
    one = f"{WEBHOOKS}/{webhook['webhook_id']}"
    assert stack.call("POST", f"{one}/test", tenant=tenant).status == 202
    first = hook.next()

    def tries(count: int) -> Any:
        found = stack.call("GET", f"{one}/deliveries", tenant=tenant).body["deliveries"]
        assert [(t["notice_id"], t["delivered"], t["http_status"]) for t in found] == (
            [(first.id, True, 204)] * count
        )
        return found

    eventually(lambda: tries(1))
    again = stack.call("POST", f"{one}/deliveries/{first.id}/redeliver", tenant=tenant)
    assert again.status == 202, again.body
    second = hook.next()
    assert (second.id, second.body) == (first.id, first.body)
    eventually(lambda: tries(2))
    unknown = stack.call("POST", f"{one}/deliveries/msg_other/redeliver", tenant=tenant)
    assert (unknown.status, unknown.body["code"]) == (404, "notice_not_found")


def test_a_new_secret_signs_beside_the_old_one_for_a_while(
    stack: Stack, tenant: str, hook: Hook
) -> None:
    webhook = made(stack, hook, "run.finished")
    one, secrets = f"{WEBHOOKS}/{webhook['webhook_id']}", [webhook["secret"]]
    for overlap, signing in ((1, 2), (0, 1)):
        rotated = stack.call("POST", f"{one}/rotate", {"overlap_hours": overlap}, tenant=tenant)
        assert rotated.status == 200, rotated.body
        secrets.insert(0, rotated.body["secret"])
        assert stack.call("POST", f"{one}/test", tenant=tenant).status == 202
        told = hook.next()
        assert told.signatures == [told.signed_with(secret) for secret in secrets[:signing]]


def test_a_webhook_is_its_tenants_and_its_address_is_told_to_nobody(
    stack: Stack, tenant: str, hook: Hook
) -> None:
    webhook = made(stack, hook, "run.finished")
    one = f"{WEBHOOKS}/{webhook['webhook_id']}"

    def recorded() -> str:
        path = "/api/v1/audit/events?type=webhook.save.v1"
        found = json.dumps(stack.call("GET", path, tenant=tenant).body)
        assert webhook["webhook_id"] in found
        return found

    shown = json.dumps(stack.call("GET", WEBHOOKS, tenant=tenant).body)
    assert "s3cret-path" not in shown + eventually(recorded)
    for method, path in (("DELETE", one), ("POST", f"{one}/test"), ("GET", f"{one}/deliveries")):
        assert stack.call(method, path, tenant=OTHER).status == 404

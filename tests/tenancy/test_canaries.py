"""Secrets put through every flow appear nowhere: not in a log, a message, a row, a trace."""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.identifiers import TenantId
from contracts.message import Service
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.gateway import keys
from tests.pipelines import BAD_SQL, ONE_STEP
from tests.stack import ADMIN_KEY, Answer, Stack, eventually
from tests.tenancy.ears import Ears, everything
from tests.tenancy.secrets_of_tests import CANARY, credentials, secrets_in
from tests.tenancy.traces import TraceSink

TENANT = "canary_co"
CREDENTIALS = f"/api/v1/tenants/{TENANT}/credentials"
KEYS = "/api/v1/tenants/api-keys"
PROJECT = os.environ.get("GCP_PROJECT_ID", "convergence-local")
IN_ORDER = {"credential.stored.v1", "credential.deleted.v1", "key.rotated.v1", "call.answered.v1"}


class Flows:
    """Goes everywhere with secrets, and keeps a list of them and of what was answered."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.secrets = [ADMIN_KEY, CANARY]
        self.answers: list[Answer] = []

    def call(self, method: str, path: str, **more: object) -> Answer:
        given = {"tenant": TENANT, **more}
        answer = self._stack.call(method, path, **given)  # type: ignore[arg-type] # as it takes them
        self.answers.append(answer)
        return answer

    def run(self) -> None:
        self._stack.onboard(TENANT, plan="SCALE")
        self.secrets.append(self._stack.keys[TENANT])
        self.keys_that_are_good()
        self.keys_that_are_not()
        self.credentials_that_are_good()
        self.credentials_that_are_not()
        self.runs()
        self.leaving()

    def keys_that_are_good(self) -> None:
        made = self._stack.call("POST", KEYS, {"description": "one"}, tenant=TENANT).body
        path = f"{KEYS}/{made['api_key_hash']}/rotate"
        rotated = self._stack.call("POST", path, {"overlap_seconds": 60}, tenant=TENANT).body
        self.secrets += [made["api_key"], rotated["api_key"]]
        for key in (made, rotated):
            assert self.me(key["api_key"]).status == 200
        self.call("DELETE", f"{KEYS}/{rotated['api_key_hash']}")
        self.call("GET", KEYS)
        self.call("GET", f"/api/v1/admin/api-keys?tenant_id={TENANT}", tenant="")

    def me(self, key: str) -> Answer:
        return self.call("GET", "/api/v1/tenants/me", tenant="", headers={"X-API-Key": key})

    def keys_that_are_not(self) -> None:
        stranger = keys.mint(TenantId(TENANT)).text
        misplaced = keys.mint(TenantId(TENANT)).text
        self.secrets += [stranger, misplaced, f"cvadm_{CANARY}-{'x' * 40}"]
        self.me(stranger)
        self.me(stranger + CANARY)
        admin = {"X-Admin-Key": self.secrets[-1]}
        self.call("DELETE", f"/api/v1/admin/tenants/{TENANT}", tenant="", headers=admin)
        # In the wrong place, as people do.
        self.call("POST", "/api/v1/pipelines/run/none", headers={"X-User-ID": misplaced})
        self._stack.call("DELETE", f"{KEYS}/{misplaced}", tenant=TENANT)
        self._stack.call("GET", f"/api/v1/tenants/me?api_key={misplaced}", tenant=TENANT)

    def credentials_that_are_good(self) -> None:
        for mark in ("one", "two"):
            for provider, fields in credentials(mark).items():
                self.secrets += secrets_in(fields)
                body = {"provider": provider, "credentials": fields}
                assert self.call("POST", CREDENTIALS, body=body).status == 200
        self.call("GET", CREDENTIALS)
        assert self.call("DELETE", f"{CREDENTIALS}/aws").status == 204

    def credentials_that_are_not(self) -> None:
        for provider, fields in credentials("bad").items():
            self.secrets += secrets_in(fields)
            body = {"provider": provider, "credentials": {**fields, "Nonsense!": f"{CANARY}-more"}}
            assert self.call("POST", CREDENTIALS, body=body).status == 400
        self.call("POST", CREDENTIALS, body={"provider": CANARY[:0] + "NONE", "credentials": {}})
        self.call("POST", CREDENTIALS, text='{"provider": "AWS", "credentials": "' + CANARY)

    def runs(self) -> None:
        for name, text in (("ones", ONE_STEP), ("bad", BAD_SQL)):
            self.call("PUT", f"/api/v1/pipelines/configs/{name}", text=text)
            run = self.call("POST", f"/api/v1/pipelines/run/{name}", body={}).body["run_id"]
            self._stack.wait_for_run(TENANT, run)
            self.call("GET", f"/api/v1/pipelines/runs/{run}/steps")

    def leaving(self) -> None:
        self.call("DELETE", f"/api/v1/admin/tenants/{TENANT}", tenant="")
        self.me(self._stack.keys[TENANT])


@pytest.fixture(scope="module")
def ears(stack: Stack) -> Iterator[Ears]:
    with Ears(PROJECT, f"127.0.0.1:{stack.ports()['pubsub']['grpc']}") as found:
        yield found


@pytest.fixture(scope="module")
def flows(stack: Stack, ears: Ears) -> Flows:
    """Everything has been through; one message nobody can read has become a dead letter."""
    found = Flows(stack)
    found.run()
    attributes = {"ce-type": "run.submit.v1", "ce-kind": "command", "ce-source": "gateway"}
    ears.publish(Service.GATEWAY, {**attributes, "ce-to": "scheduler", "ce-id": "x"}, b"{}")

    def all_is_heard() -> None:
        assert ears.dead
        assert ears.types() >= IN_ORDER

    eventually(all_is_heard, within=60)
    return found


def forms(secret: str) -> list[str]:
    """A secret as it is, as JSON has it, and as base64."""
    plain = secret.encode()
    return [secret, json.dumps(secret)[1:-1], b64encode(plain).decode().rstrip("=")[:-2]]


def found_in(text: str, flows: Flows) -> list[str]:
    return [secret for secret in flows.secrets if any(form in text for form in forms(secret))]


def test_no_answer_repeats_a_secret(flows: Flows) -> None:
    assert len(flows.answers) > 30
    text = json.dumps([[one.body, dict(one.headers)] for one in flows.answers])
    assert found_in(text, flows) == []


def test_no_message_and_no_dead_letter_carries_a_secret(flows: Flows, ears: Ears) -> None:
    assert ears.dead
    assert found_in(everything(ears)(), flows) == []


def test_no_log_line_holds_a_secret(flows: Flows, stack: Stack) -> None:
    logs = "".join(path.read_text() for path in (stack.state_dir / "logs").glob("*.log"))
    assert '"path":"/api/v1/tenants/api-keys/' in logs
    assert found_in(logs, flows) == []


def test_no_trace_holds_a_secret(flows: Flows, traces: TraceSink) -> None:
    def something_came() -> bytes:
        assert b"/api/v1/tenants" in b"".join(traces.bodies)
        return b"".join(traces.bodies)

    text = eventually(something_came, within=30).decode(errors="replace")
    assert found_in(text, flows) == []


async def test_no_row_holds_a_secret(flows: Flows, stack: Stack) -> None:
    ports = stack.ports()["bigquery"]
    warehouse = Warehouse.connect(
        WarehouseSettings(PROJECT, endpoint=f"http://127.0.0.1:{ports['rest']}")
    )
    seen = 0
    for dataset in ("tenants", "metadata", TENANT):
        for table in await warehouse.tables(dataset):
            rows = await warehouse.query(f"SELECT * FROM `{dataset}.{table}`")
            seen += len(rows)
            assert found_in(json.dumps(rows, default=str), flows) == [], table
    await warehouse.close()
    assert seen > 100


def test_nothing_that_is_kept_anywhere_holds_a_secret(flows: Flows, stack: Stack) -> None:
    """Slots, snapshots, ciphertexts, what waits in Pub/Sub: every file of the local cloud."""
    files = [path for path in stack.state_dir.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        text = path.read_bytes().decode("latin-1")
        held = found_in(text, flows)
        assert held == [], _place(path, stack)


def _place(path: Path, stack: Stack) -> str:
    return str(path.relative_to(stack.state_dir))

"""Goes everywhere with secrets, and keeps a list of them and of what was answered."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import yaml

from contracts.identifiers import TenantId
from libs.provisioning.keys import CredentialsKey
from libs.settings import GatewaySettings
from services.gateway import keys
from tests.pipelines import BAD_SQL, ONE_STEP
from tests.stack import ADMIN_KEY, Answer, Stack, eventually
from tests.tenancy.secrets_of_tests import CANARY, credentials, secrets_in

TENANT = "canary_co"
CREDENTIALS = f"/api/v1/tenants/{TENANT}/credentials"
KEYS = "/api/v1/tenants/api-keys"
CONFIGS, RUNS = "/api/v1/pipelines/configs", "/api/v1/pipelines/runs"
HOOKS = "/api/v1/notifications/webhooks"
PLANTED = "pl4nted-no-secrt"
"""Goes where a secret could go wrong: who looks for secrets has to find it.

Of 16 letters, as a trace has an id of so many bytes and says nothing else that is given to it.
"""

ASKING = """
pipeline_id: asking
steps:
{steps}
"""
STEP = """
  - id: {name}
    ps_type: ingest.api
    on_failure: continue
    config:
      base_url: {url}
      path: /{path}
      auth: {auth}
      attempts: 1
      target_table: ${{tenant_id}}.{name}
      slice: "2026-01"
"""
FILE_STEP = """
  - id: file_refused
    ps_type: ingest.file
    on_failure: continue
    config:
      files: {url}/bad/costs.csv
      credential: openai
      target_table: ${{tenant_id}}.file_refused
      slice: "2026-01"
  - id: told
    ps_type: notify.webhook
    config: {{url: "{url}/hook", credential: hook}}
"""
WAYS_IN = {
    "bearer": "{kind: bearer, credential: openai}",
    "header": "{kind: header, credential: anthropic, header: x-api-key}",
    "basic": "{kind: basic, credential: generic}",
    "aws": "{kind: aws, credential: aws, service: ce}",
}


class Flows:
    """Each flow is a method; `run` goes through all of them."""

    def __init__(self, stack: Stack, provider: str) -> None:
        self._stack = stack
        self._provider = provider
        self.secrets = [ADMIN_KEY, CANARY]
        self.answers: list[Answer] = []

    def call(self, method: str, path: str, **more: object) -> Answer:
        given = {"tenant": TENANT, **more}
        answer = self._stack.call(method, path, **given)  # type: ignore[arg-type] # as it takes them
        self.answers.append(answer)
        return answer

    def shown_once(self, method: str, path: str, body: Any, field: str) -> Any:
        """An answer that may show a secret; the only kind that may."""
        shown = self._stack.call(method, path, body, tenant=TENANT).body
        self.secrets.append(shown[field])
        return shown

    def run(self) -> None:
        self._stack.onboard(TENANT, plan="SCALE")
        self.secrets.append(self._stack.keys[TENANT])
        self.keys_that_are_good()
        self.keys_that_are_not()
        for key in (self._stack.keys[TENANT], ADMIN_KEY):
            self.keys_in_wrong_places(key)
        self.credentials_that_are_good()
        self.credentials_that_are_not()
        self.credentials_that_are_tried()
        self.runs_that_use_credentials()
        self.credentials_wrapped_anew()
        self.webhooks()
        self.runs()
        self.what_is_no_secret()
        assert self.call("DELETE", f"{CREDENTIALS}/aws").status == 204
        self.leaving()

    def keys_that_are_good(self) -> None:
        made = self.shown_once("POST", KEYS, {"description": "one"}, "api_key")
        path = f"{KEYS}/{made['api_key_hash']}/rotate"
        rotated = self.shown_once("POST", path, {"overlap_seconds": 60}, "api_key")
        for key in (made, rotated):
            assert self.me(key["api_key"]).status == 200
        self.call("DELETE", f"{KEYS}/{rotated['api_key_hash']}")
        self.call("GET", KEYS)
        self.call("GET", f"/api/v1/admin/api-keys?tenant_id={TENANT}", tenant="")

    def me(self, key: str) -> Answer:
        return self.call("GET", "/api/v1/tenants/me", tenant="", headers={"X-API-Key": key})

    def keys_that_are_not(self) -> None:
        stranger = keys.mint(TenantId(TENANT)).text
        self.secrets += [stranger, f"cvadm_{CANARY}-{'x' * 40}"]
        self.me(stranger)
        self.me(stranger + CANARY)
        admin = {"X-Admin-Key": self.secrets[-1]}
        self.call("DELETE", f"/api/v1/admin/tenants/{TENANT}", tenant="", headers=admin)

    def keys_in_wrong_places(self, key: str) -> None:
        """As people do."""
        for name in ("api_key", "X-API-Key", "run_id", "limit", key):
            for tenant in (TENANT, ""):
                self.call("GET", f"/api/v1/audit/events?{name}={key}", tenant=tenant)
        for path in (f"{KEYS}/{key}", f"{RUNS}/{key}", f"{CONFIGS}/{key}", f"/api/v1/{key}"):
            for method in ("GET", "DELETE", "PATCH"):
                self.call(method, path)
        names = ("Authorization", "Cookie", "X-User-ID", "Idempotency-Key", "traceparent")
        for name in (*names, "User-Agent", "If-Match", "X-Request-ID"):
            for text in (key, f"Bearer {key}"):
                headers = {name: text}
                self.call("POST", "/api/v1/pipelines/run/none", headers=headers)
                self.call("GET", "/api/v1/tenants/me", headers=headers)
        for body in (
            {"api_key": key},
            {key: 1},
            {"scopes": [key]},
            {"expires_at": key},
            [key],
            key,
        ):
            assert self.call("POST", KEYS, body=body).status == 400
        self.call("POST", "/api/v1/tenants/datasets", body={"dataset": key})
        self.call("POST", f"{CONFIGS}/keyed", text=f"{key}: {key}")
        self.call("POST", "/api/v1/pipelines/validate", text=f"pipeline_id: {key}\nsteps: {key}")

    def store(self, mark: str, provider: str, fields: Mapping[str, Any], **more: str) -> None:
        body = {"provider": provider, "credentials": fields, **more}
        assert self.call("POST", CREDENTIALS, body=body).status == 200, mark

    def credentials_that_are_good(self) -> None:
        for mark in ("one", "two"):
            for provider, fields in credentials(mark).items():
                self.secrets += secrets_in(fields)
                self.store(mark, provider, fields)
        hook = f"whsec_{b64encode(f'{CANARY}-signs-what-is-sent'.encode()).decode()}"
        self.secrets.append(hook)
        self.store("hook", "GENERIC", {"secret": hook}, credential_id="hook")
        self.call("GET", CREDENTIALS)

    def credentials_that_are_not(self) -> None:
        for provider, fields in credentials("wrong").items():
            self.secrets += secrets_in(fields)
            body = {"provider": provider, "credentials": {**fields, "Nonsense!": f"{CANARY}-more"}}
            assert self.call("POST", CREDENTIALS, body=body).status == 400
        self.call("POST", CREDENTIALS, body={"provider": "NONE", "credentials": {}})
        self.call("POST", CREDENTIALS, text='{"provider": "AWS", "credentials": "' + CANARY)

    def credentials_that_are_tried(self) -> None:
        verdicts = set()
        for mark in ("bad", "good"):
            for provider, fields in credentials(mark).items():
                self.secrets += secrets_in(fields)
                self.store(mark, provider, fields)
                tried = self.call("POST", f"{CREDENTIALS}/{provider.lower()}/test")
                verdicts.add(tried.body["verdict"])
        assert verdicts == {"works", "refused", "untestable"}

    def runs_that_use_credentials(self) -> None:
        """Against a provider that says again all that it is sent."""
        steps = [
            STEP.format(name=f"{kind}_{path}", url=self._provider, path=path, auth=auth)
            for kind, auth in WAYS_IN.items()
            for path in ("good", "bad")
        ]
        text = ASKING.format(steps="".join([*steps, FILE_STEP.format(url=self._provider)]))
        ended = self.started("asking", text)
        done = {one["step_id"]: one for one in ended["steps"]}
        assert {name for name, one in done.items() if one["status"] == "COMPLETED"} == {
            *(f"{kind}_good" for kind in WAYS_IN),
            "told",
        }, done
        assert all("401" in str(one) for one in done.values() if one["status"] == "FAILED")

    def started(self, name: str, text: str) -> Any:
        """The steps of a run that has ended."""
        saved = self.call("PUT", f"{CONFIGS}/{name}", text=text)
        assert saved.status == 200, saved.body
        body = {"trigger_by": PLANTED}
        run = self.call("POST", f"/api/v1/pipelines/run/{name}", body=body).body["run_id"]
        self._stack.wait_for_run(TENANT, run)
        for part in ("", "/events", "/explain", "/dq"):
            self.call("GET", f"{RUNS}/{run}{part}")

        def told() -> Any:
            # The run's end and its steps come by different topics, in no order of their own.
            shown = self.call("GET", f"{RUNS}/{run}/steps").body
            ended = [one for one in shown["steps"] if one["status"] != "RUNNING"]
            assert len(ended) == len(yaml.safe_load(text)["steps"])
            return shown

        return eventually(told)

    def credentials_wrapped_anew(self) -> None:
        settings = GatewaySettings()
        kms = f"127.0.0.1:{self._stack.ports()['kms']['grpc']}"
        CredentialsKey(settings.kms_key_name, kms).rotate()
        path = f"/api/v1/admin/tenants/{TENANT}/credentials/rewrap"
        assert self.call("POST", path, tenant="").body["rewrapped"] == 7
        tried = self.call("POST", f"{CREDENTIALS}/openai/test")
        assert tried.body["verdict"] == "works"

    def webhooks(self) -> None:
        body = {"url": f"{self._provider}/hook/notices", "events": ["run.failed"]}
        made = self.shown_once("POST", HOOKS, body, "secret")
        one = f"{HOOKS}/{made['webhook_id']}"
        self.shown_once("POST", f"{one}/rotate", {}, "secret")
        assert self.call("POST", f"{one}/test").status == 202
        self.call("GET", HOOKS)

        def delivered() -> None:
            shown = self.call("GET", f"{one}/deliveries").body["deliveries"]
            assert shown

        eventually(delivered)

    def runs(self) -> None:
        for name, text in (("ones", ONE_STEP), ("bad", BAD_SQL)):
            self.started(name, text)
        for path in ("history", "costs", "lineage", "dq"):
            self.call("GET", f"/api/v1/pipelines/{path}")

    def what_is_no_secret(self) -> None:
        self.call("GET", f"/api/v1/{PLANTED}")
        trace = {"traceparent": f"00-{PLANTED.encode().hex()}-{'1' * 16}-01"}
        self.call("GET", "/api/v1/tenants/me", headers=trace)

    def leaving(self) -> None:
        self.call("GET", "/api/v1/audit/events?limit=200")
        self.call("DELETE", f"/api/v1/admin/tenants/{TENANT}", tenant="")
        self.me(self._stack.keys[TENANT])

"""The whole platform as `make run` starts it, for tests: real processes, real HTTP."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
ADMIN_KEY = "cvadm_only-for-tests-0123456789abcdef"
START_SECONDS = 480.0
STOP_SECONDS = 60.0
PATIENCE = 90.0
"""Seconds that nobody waits unless something is wrong, also on a busy machine."""
T = TypeVar("T")


class StackError(RuntimeError):
    """The platform did not come up, or answered in a way no test expects."""


@dataclass(slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: Any
    headers: Mapping[str, str]


def free_port() -> int:
    """A port nobody has, below those that the system gives to connections by itself.

    One of those could be a connection's before the service that is to listen there is up.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    while True:
        port = secrets.choice(range(16_000 + 2_000 * worker, 18_000 + 2_000 * worker))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(check: Callable[[], T], *, within: float = PATIENCE) -> T:
    """Repeat a check until it no longer raises `AssertionError`; waits without guessing."""
    end = time.monotonic() + within
    while True:
        try:
            return check()
        except (AssertionError, OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


@dataclass(slots=True)
class Stack:
    """A running platform. `stop` ends it."""

    state_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[str] | None" = None
    keys: dict[str, str] = field(default_factory=dict)
    module: str = "deploy.local.up"

    def start(self) -> "Stack":
        environment = {
            **os.environ,
            "PORT": str(self.port),
            "STATE_DIR": str(self.state_dir),
            "ADMIN_API_KEY": ADMIN_KEY,
            "DEMO": "0",
            "RATE_LIMIT_ADDRESS": "0",
            "RATE_LIMIT_TENANT": "0",
            "QUESTION_TIMEOUT_SECONDS": "20",
            **self.settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said: list[str] = []
        end = time.monotonic() + START_SECONDS
        while self.process.stdout and time.monotonic() < end:
            line = self.process.stdout.readline()
            said.append(line)
            if "Ctrl-C stops everything" in line:
                return self
            if not line:
                break
        self.stop()
        raise StackError("".join(said))

    def stop(self) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def pids(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.state_dir / "processes.json").read_text())
        return found

    def kill(self, service: str) -> None:
        """End a service as a crash would; `make run` starts it again."""
        with suppress(ProcessLookupError):
            os.kill(self.pids()[service], signal.SIGKILL)

    def call(  # noqa: PLR0913  the parts of a request
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        tenant: str = "",
        headers: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> Answer:
        """One request, as a tenant or as the operator."""
        keys = {"X-API-Key": self.keys[tenant]} if tenant else {"X-Admin-Key": ADMIN_KEY}
        data = text.encode() if text is not None else None
        if body is not None:
            data = json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=data,
            method=method,
            headers={**keys, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as response:  # noqa: S310
                return Answer(response.status, _json(response.read()), dict(response.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _json(error.read()), dict(error.headers))

    def onboard(self, tenant: str, plan: str = "SCALE") -> None:
        """A platform that is slow to answer is asked again, as its answer says."""
        body = {
            "tenant_id": tenant,
            "company_name": tenant.title(),
            "admin_email": f"admin@{tenant}.example",
            "subscription_plan": plan,
        }
        once = {"Idempotency-Key": f"onboard-{tenant}"}

        def onboarded() -> None:
            answer = self.call("POST", "/api/v1/tenants/onboard", body, headers=once)
            assert answer.status != 504, answer.body
            if answer.status != 201:
                raise StackError(str(answer.body))
            self.keys[tenant] = answer.body["api_key"]

        eventually(onboarded, within=120)

    def wait_for_run(self, tenant: str, run_id: str, *, within: float = PATIENCE) -> Any:
        """The run once it has ended."""

        def ended() -> Any:
            path = f"/api/v1/pipelines/runs/{run_id}?wait=5"
            answer = self.call("GET", path, tenant=tenant)
            assert answer.status == 200, answer.body
            assert answer.body["finished_at"] or answer.body["status"] == "REJECTED"
            return answer.body

        return eventually(ended, within=within)

    def ports(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = self._cloud()["ports"]
        return found

    def emulators(self) -> dict[str, int]:
        """Their process ids."""
        found: dict[str, int] = self._cloud()["pids"]
        return found

    def _cloud(self) -> Any:
        return json.loads((self.state_dir / "cloud" / "local_cloud.json").read_text())


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except json.JSONDecodeError:
        return data.decode(errors="replace")

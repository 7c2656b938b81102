"""Everything on this machine: emulators, five services, a demo; until Ctrl-C.

    python -m deploy.local.up

Honours PORT, ADMIN_API_KEY, STATE_DIR, ENVIRONMENT and DEMO=0. For tests: INSTANCES of
each service (further gateways listen on the ports after PORT), and FAULTS=1 opens the
emulators' fault control.
"""

import asyncio
import itertools
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from contracts.topology import topology
from deploy.local.api import Api, ApiError
from deploy.local.demonstration import RUN_BODY, RUN_PATH, TENANT, DemoError, demonstrate
from deploy.local.processes import Child, Children, ServiceDiedError
from libs.bus.admin import PubSubAdmin
from libs.bus.errors import TopologyError
from libs.local_cloud.supervisor import AlreadyRunningError, Choices, LocalCloud, StartError
from libs.objects import Objects
from libs.provisioning.keys import CredentialsKey
from libs.settings import EXIT_BAD_SETTING, ExecutorSettings, GatewaySettings, load
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.slotlog.log import SlotLogError
from libs.warehouse.errors import WarehouseError

SERVICES = ("tenant", "scheduler", "executor", "audit_log", "gateway")
READY_SECONDS = 180.0
GRACE_SECONDS = "4"  # of a service that is to stop: Ctrl-C ends everything within 10 s
SECRET_BYTES = 32
MOST = 65_536
FAILURES = (
    AlreadyRunningError,
    ApiError,
    DemoError,
    ServiceDiedError,
    StartError,
    TimeoutError,
    WarehouseError,
    OSError,
    SlotLogError,
    TopologyError,
    aiohttp.ClientError,
)


@dataclass(slots=True)
class Stack:
    """One local platform, from its parts to its end."""

    state_dir: Path
    port: int
    demo: bool
    instances: int = 1
    faults: bool = False
    started: float = field(default_factory=time.monotonic)
    stage: str = "starting"

    def say(self, text: str) -> None:
        at = f"{time.monotonic() - self.started:6.1f} s  " if text else ""
        sys.stdout.write(f"{at}{text}\n")
        sys.stdout.flush()

    def begin(self, stage: str) -> None:
        self.stage = stage
        self.say(stage)

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @property
    def landing(self) -> Path:
        """Where tenants' files are looked for on this machine."""
        return Path(os.environ.get("LANDING_FOLDER") or self.state_dir / "landing")

    def secret(self, name: str) -> str:
        """A secret of this installation, made at first use and kept with mode 0600."""
        path = self.state_dir / "secrets" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(SECRET_BYTES))
        return path.read_text().strip()


async def run(stack: Stack, stop: asyncio.Event) -> None:
    """Come up, show the demo, serve until told to stop; ends whatever it began."""
    settings = load(GatewaySettings)
    _check_port(stack.port)
    stack.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    stack.logs.mkdir(exist_ok=True)
    async with AsyncExitStack() as ending:
        cloud = LocalCloud(Choices(stack.state_dir / "cloud", control=stack.faults))
        stack.begin("starting the local cloud (Pub/Sub, BigQuery, Cloud Storage, KMS, secrets)")
        ending.push_async_callback(asyncio.to_thread, cloud.stop)
        await asyncio.to_thread(cloud.start)
        environment = {**cloud.environment(), "GCP_PROJECT_ID": settings.gcp_project_id}
        os.environ.update(environment)
        stack.begin("applying topics and subscriptions")
        await _prepare(settings, environment)
        admin_key = settings.admin_api_key.get_secret_value() or stack.secret("admin-api-key")
        stack.secret("api-key-pepper")
        stack.secret("webhook-signing-key")
        children = Children(stack.logs)
        ending.push_async_callback(children.stop)
        stack.begin(f"starting {', '.join(SERVICES)}")
        _start_services(stack, children, admin_key)
        watching = asyncio.create_task(children.watch())
        ending.callback(watching.cancel)
        session = await ending.enter_async_context(aiohttp.ClientSession())
        api = Api(session, f"http://127.0.0.1:{stack.port}", admin_key.split(",")[0])
        await _first(watching, stop, _come_up(stack, api))
        if not stop.is_set():
            _tell(stack, api)
            await _first(watching, stop, stop.wait())
        stack.say("stopping")


async def _first(
    watching: "asyncio.Task[None]", stop: asyncio.Event, work: Awaitable[object]
) -> None:
    """Do the work, unless a service dies for good or we are told to stop."""
    tasks = {asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())}
    done, left = await asyncio.wait({watching, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in left - {watching}:
        task.cancel()
    await asyncio.gather(*(left - {watching}), return_exceptions=True)
    for task in done:
        task.result()


async def _prepare(settings: GatewaySettings, environment: dict[str, str]) -> None:
    project = settings.gcp_project_id
    await asyncio.to_thread(lambda: PubSubAdmin(project).apply(topology()))
    await asyncio.to_thread(
        CredentialsKey(settings.kms_key_name, environment["KMS_ENDPOINT"]).apply
    )
    storage = Bucket(BucketSettings(project, settings.bucket, environment["STORAGE_EMULATOR_HOST"]))
    await storage.ensure()
    await storage.close()
    executor = load(ExecutorSettings)
    data = Objects(
        BucketSettings(project, executor.deliveries_bucket, environment["STORAGE_EMULATOR_HOST"])
    )
    await data.ensure()
    data.close()


def _start_services(stack: Stack, children: Children, admin_key: str) -> None:
    grace = os.environ.get("SHUTDOWN_GRACE_SECONDS") or GRACE_SECONDS
    common = {
        "SECRETS_DIR": str(stack.state_dir / "secrets"),
        "SHUTDOWN_GRACE_SECONDS": grace,
        "LANDING_FOLDER": str(stack.landing),
    }
    for name, number in itertools.product(SERVICES, range(stack.instances)):
        own = {"PORT": "0"}
        if name == "gateway":
            own = {"PORT": str(stack.port + number), "ADMIN_API_KEY": admin_key}
        shown = f"{name}-{number + 1}" if number else name
        children.start(Child(shown, f"services.{name}", (), {**common, **own}))
    every = os.environ.get("TICK_SECONDS") or "60"
    children.start(Child("ticks", "libs.local_cloud.ticks", ("--every", every)))


async def _come_up(stack: Stack, api: Api) -> None:
    stack.begin("waiting for the gateway")
    await _until(lambda: api.get("/healthz"))
    stack.begin("creating system datasets, tables and views")
    done = await _until(lambda: api.post("/api/v1/admin/bootstrap", {}))
    made = [o for o in done["objects"] if o["action"] != "unchanged"]
    stack.say(f"  {len(made)} made, {len(done['objects']) - len(made)} there already")
    stack.begin("waiting until a run would succeed (/readyz)")
    await _until(lambda: api.get("/readyz"))
    if not stack.demo:
        return
    stack.begin("running the demo tenant's cost pipeline")
    await demonstrate(api, stack.state_dir, stack.landing, stack.say)


async def _until(
    call: Callable[[], Awaitable[dict[str, list[dict[str, str]]]]],
) -> dict[str, list[dict[str, str]]]:
    """Repeat until it answers; raises its last error when that takes too long."""
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            return await call()
        except (aiohttp.ClientError, ApiError):
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.1)


def _tell(stack: Stack, api: Api) -> None:
    secrets_dir = stack.state_dir / "secrets"
    stack.say("")
    lines = [f"Convergence is up: {api.url}", f"logs: {stack.logs}/*.log", ""]
    if stack.demo:
        key = f"$(cat {stack.state_dir / f'{TENANT}.key'})"
        body = json.dumps(RUN_BODY)
        lines += [
            "try, in another terminal:",
            f'  curl -s -H "X-API-Key: {key}" {api.url}/api/v1/pipelines/runs',
            f'  curl -s -H "X-API-Key: {key}" {api.url}/api/v1/tenants/quota',
            f'  curl -s -H "X-API-Key: {key}" "{api.url}/api/v1/cost?group_by=service,month"',
            f"  curl -s -X POST -H \"X-API-Key: {key}\" -d '{body}' {api.url}{RUN_PATH}",
        ]
    if not os.environ.get("ADMIN_API_KEY"):
        lines.append(
            f'  curl -s -H "X-Admin-Key: $(cat {secrets_dir / "admin-api-key"})"'
            f" {api.url}/api/v1/admin/tenants"
        )
    sys.stdout.write("\n".join([*lines, "", "Ctrl-C stops everything.", ""]))
    sys.stdout.flush()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(
                f"port {port} is in use: stop what uses it, or choose another with"
                f" `make run PORT={port + 1}`"
            )


async def _main(stack: Stack) -> int:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        await run(stack, stop)
    except FAILURES as error:
        sys.stderr.write(
            f"\nfailed while {stack.stage}:\n  {error or type(error).__name__}\n"
            f"the services' logs are in {stack.logs}\n"
        )
        return 1
    return 0


def _number(variable: str, otherwise: int) -> int:
    """A setting that is a number; ends the process with status 2 when it is none."""
    said = os.environ.get(variable) or str(otherwise)
    if said.isdecimal() and int(said) < MOST:
        return int(said)
    sys.stderr.write(f"{variable}: {said[:50]!r} is not a whole number below {MOST}\n")
    sys.exit(EXIT_BAD_SETTING)


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    stack = Stack(
        state_dir=Path(os.environ.get("STATE_DIR") or ".local").absolute(),
        port=_number("PORT", _number("API_PORT", 8080)),
        demo=os.environ.get("DEMO", "1") not in {"0", "false", "no"},
        instances=_number("INSTANCES", 1),
        faults=os.environ.get("FAULTS") == "1",
    )
    return asyncio.run(_main(stack))


if __name__ == "__main__":
    sys.exit(main())

"""The composed platform, for tests: real containers, their faults, real HTTP."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.stack import ADMIN_KEY, Stack, StackError, eventually

ROOT = Path(__file__).parents[2]
PROJECT = "convergence-test"
SERVICES = ("gateway", "tenant", "scheduler", "executor", "audit_log")
FILES = ("docker-compose.yml", "tests/containers/published.yml")
NO_DOCKER = "Docker is needed and was not found: install Docker Engine and its Compose plugin"


def without_docker() -> str:
    """What is missing; empty when containers can be built and run."""
    if shutil.which("docker") is None:
        return NO_DOCKER
    for wanted in (("info",), ("compose", "version")):
        found = subprocess.run(
            ["docker", *wanted], capture_output=True, text=True, check=False, timeout=60
        )
        if found.returncode:
            return f"`docker {' '.join(wanted)}` fails: {found.stderr.strip()[-300:]}"
    return ""


def docker(*arguments: str, quiet: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=quiet, text=True, check=False)
    if done.returncode:
        said = f"{done.stdout or ''}{done.stderr or ''}"[-3000:]
        raise StackError(f"docker {' '.join(arguments)} failed:\n{said}")
    return done.stdout or ""


@dataclass(slots=True)
class Composed(Stack):
    """The stack of docker-compose.yml under a project name of its own."""

    state_dir: Path = Path()

    def compose(self, *arguments: str) -> str:
        files = [part for name in FILES for part in ("-f", str(ROOT / name))]
        environment = {
            **os.environ,
            "PORT": str(self.port),
            "ADMIN_API_KEY": ADMIN_KEY,
            **self.settings,
        }
        done = subprocess.run(
            ["docker", "compose", "-p", PROJECT, *files, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}"[-3000:]
            raise StackError(f"docker compose {' '.join(arguments)} failed:\n{said}")
        return done.stdout

    def up(self, *extra: str) -> None:
        self.compose("up", "-d", "--no-build", "--pull", "never", "--wait", *extra)

    def down(self) -> None:
        self.compose("--profile", "*", "down", "-v", "-t", "2", "--remove-orphans")

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-aq", service).split()

    def inspect(self, service: str) -> Any:
        (found,) = json.loads(docker("inspect", self.containers(service)[0]))
        return found

    def kill(self, service: str) -> None:
        """End a container as a crash would."""
        docker("kill", *self.containers(service))

    def stop_one(self, service: str) -> None:
        """Tell a container to end, and wait until it has drained."""
        docker("stop", *self.containers(service))

    def revive(self, service: str) -> None:
        docker("start", *self.containers(service))

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        # On a busy machine the kernel may need more than one try to freeze all of its processes.
        eventually(partial(freeze, self.containers(service)), within=30)
        try:
            yield
        finally:
            docker("unpause", *self.containers(service))

    @contextmanager
    def disconnected(self, service: str) -> Iterator[None]:
        network, (container,) = f"{PROJECT}_private", self.containers(service)
        docker("network", "disconnect", network, container)
        try:
            yield
        finally:
            docker("network", "connect", "--alias", service, network, container)

    @contextmanager
    def side_by_side(self, service: str, tag: str = "local") -> Iterator[None]:
        """A new instance beside the old one, which is stopped in the end."""
        old = self.containers(service)
        self.settings = {**self.settings, f"{service.upper()}_TAG": tag}
        scale = ("--scale", f"{service}=2")
        self.compose("up", "-d", "--no-build", "--no-deps", "--no-recreate", *scale, service)
        for container in set(self.containers(service)) - set(old):
            eventually(partial(healthy, container), within=180)
        yield
        docker("stop", *old)
        docker("rm", *old)

    def replace_gateway(self, tag: str = "local") -> None:
        """Its port can be published once, so the old one goes first."""
        self.settings = {**self.settings, "GATEWAY_TAG": tag}
        self.compose("up", "-d", "--no-build", "--no-deps", "--force-recreate", "gateway")
        self.ready()

    def image_ids(self, service: str) -> set[str]:
        form = ("--format", "{{.Image}}")
        return {docker("inspect", *form, one).strip() for one in self.containers(service)}

    def ready(self) -> None:
        def is_ready() -> None:
            answer = self.call("GET", "/readyz")
            assert answer.status == 200, answer.body

        eventually(is_ready, within=180)

    def bigquery(self) -> str:
        return "http://" + self.compose("port", "local-cloud", "9050").strip()

    def memory(self) -> dict[str, str]:
        ids = [c for s in (*SERVICES, "local-cloud") for c in self.containers(s)]
        lines = docker("stats", "--no-stream", "--format", "{{.Name}}\t{{.MemUsage}}", *ids)
        return {
            name.removeprefix(f"{PROJECT}-").rpartition("-")[0]: used.partition(" /")[0]
            for name, used in (line.split("\t") for line in lines.splitlines())
        }


def freeze(containers: Sequence[str]) -> None:
    done = subprocess.run(
        ["docker", "pause", *containers], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def healthy(container: str) -> None:
    state = docker("inspect", "--format", "{{.State.Health.Status}}", container).strip()
    assert state == "healthy", state


def images(services: Sequence[str] = (*SERVICES, "local-cloud")) -> dict[str, int]:
    """Size of each image in MB."""
    return {
        name: int(docker("image", "inspect", "--format", "{{.Size}}", f"convergence/{name}:local"))
        // 1_000_000
        for name in services
    }

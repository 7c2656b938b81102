"""Emulators as real processes, for tests."""

import json
import os
import resource
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class NotStartedError(RuntimeError):
    def __init__(self, name: str, said: str) -> None:
        super().__init__(f"emulator {name} did not start: {said or 'it said nothing'}")


@dataclass(slots=True)
class EmulatorProcess:
    """A running emulator; ends with the process that started it."""

    ports: dict[str, int]
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask_for(self, **plan: float) -> None:
        """Set the faults of an emulator that was started with `control`; nothing ends them."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['control']}/faults",
            data=json.dumps(plan).encode(),
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310  our own loopback port

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def emulator(
    name: str,
    *,
    state_dir: Path | None = None,
    control: bool = False,
    port: int = 0,
    env: dict[str, str] | None = None,
) -> Iterator[EmulatorProcess]:
    """Run `python -m libs.local_cloud.<name>` on a free port until the block ends."""
    argv = [sys.executable, "-m", f"libs.local_cloud.{name}", "--port", str(port), "--with-parent"]
    argv += ["--state-dir", str(state_dir)] if state_dir else []
    argv += ["--control"] if control else []
    process = subprocess.Popen(  # noqa: S603  our own module
        argv,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    running = EmulatorProcess({}, process)
    try:
        said = process.stdout.readline() if process.stdout else ""
        try:
            running.ports = json.loads(said)["ports"]
        except (json.JSONDecodeError, KeyError):
            raise NotStartedError(name, said) from None
        yield running
    finally:
        running.stop()


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """No file of a process can grow until the block ends: what it is to keep it cannot keep."""
    most = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

"""Starts the emulators as child processes, keeps them up, and stops them.

A child that dies is started again on the same port with the same state. The
children end with this process, however it ends: they watch their standard input.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
EMULATORS = ("pubsub", "storage", "bigquery", "kms", "secret_manager")
START_SECONDS = 180.0  # on a machine with much other work; who does not start at all ends sooner
STOP_SECONDS = 3.5
WATCH_SECONDS = 0.2
STATUS_FILE = "local_cloud.json"
LOCK_FILE = "local_cloud.lock"


class StartError(RuntimeError):
    """An emulator did not come up; says which and what it said."""

    def __init__(self, name: str, said: str) -> None:
        self.name = name
        super().__init__(f"the {name} emulator did not start: {said}")


class AlreadyRunningError(RuntimeError):
    def __init__(self, directory: Path, pid: int) -> None:
        super().__init__(
            f"a local cloud (process {pid}) already uses {directory}: stop it with"
            f" `python -m libs.local_cloud stop --state-dir {directory}`"
            " or choose another STATE_DIR"
        )


@dataclass(slots=True)
class _Child:
    name: str
    process: "subprocess.Popen[str]"
    ports: dict[str, int]
    log: Path


@dataclass(frozen=True, slots=True)
class Choices:
    """What to run and where."""

    state_dir: Path | None = None
    """None: a temporary directory, deleted at the end."""
    only: Sequence[str] = EMULATORS
    ports: Mapping[str, int] = field(default_factory=dict)
    """Fixed ports by emulator; the others take free ones."""
    control: bool = False


class LocalCloud:
    """The emulators of one project. Thread-safe; also a context manager."""

    def __init__(self, choices: Choices | None = None) -> None:
        self._choices = choices or Choices()
        self._temporary = self._choices.state_dir is None
        self.directory = self._choices.state_dir or Path(tempfile.mkdtemp(prefix="convergence-"))
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._ours: BinaryIO | None = None
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when every emulator answers; raises `StartError` after stopping the rest."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._refuse_a_second()
        begun: dict[str, subprocess.Popen[str]] = {}
        try:
            for wave in _waves(self._choices.only):
                begun |= {name: self._spawn(name, 0) for name in wave}
                for name in wave:
                    self._children[name] = self._await_ready(name, begun[name])
        except BaseException:
            for process in begun.values():
                process.kill()
            self._let_go()
            raise
        self._write_status()
        self._watcher.start()

    @property
    def ports(self) -> dict[str, dict[str, int]]:
        return {name: dict(child.ports) for name, child in self._children.items()}

    def environment(self) -> dict[str, str]:
        """The variables by which services and clients find these emulators."""
        names = {
            ("pubsub", "grpc"): ("PUBSUB_EMULATOR_HOST", ""),
            ("storage", "http"): ("STORAGE_EMULATOR_HOST", "http://"),
            ("bigquery", "rest"): ("BIGQUERY_ENDPOINT", "http://"),
            ("bigquery", "grpc"): ("BIGQUERY_STORAGE_ENDPOINT", ""),
            ("kms", "grpc"): ("KMS_ENDPOINT", ""),
            ("secret_manager", "grpc"): ("SECRET_MANAGER_ENDPOINT", ""),
        }
        return {
            variable: f"{scheme}{HOST}:{self._children[emulator].ports[port]}"
            for (emulator, port), (variable, scheme) in names.items()
            if emulator in self._children
        }

    def kill(self, name: str) -> None:
        """End an emulator as a crash would; it is started again at once."""
        with self._lock:
            self._children[name].process.kill()

    def stop(self) -> None:
        """Stop all within a few seconds; repeatable."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        with self._lock:
            for child in self._children.values():
                child.process.terminate()
            end = time.monotonic() + STOP_SECONDS
            for child in self._children.values():
                _end(child.process, end - time.monotonic())
        with suppress(FileNotFoundError):
            (self.directory / STATUS_FILE).unlink()
        self._let_go()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, name: str, port: int) -> "subprocess.Popen[str]":
        log = (self.directory / f"{name}.log").open("a")
        argv = [sys.executable, "-m", f"libs.local_cloud.{name}", "--with-parent"]
        argv += ["--port", str(port or self._choices.ports.get(name, 0))]
        argv += ["--state-dir", str(self.directory / name)]
        argv += ["--control"] if self._choices.control else []
        with log:
            return subprocess.Popen(  # noqa: S603  our own module
                argv,
                cwd=ROOT,
                env={**os.environ, **self.environment()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is ours to handle, not theirs
            )

    def _await_ready(self, name: str, process: "subprocess.Popen[str]") -> _Child:
        log = self.directory / f"{name}.log"
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        said = process.stdout.readline() if process.stdout else ""
        timer.cancel()
        if not said:
            raise StartError(name, self._last_words(name, log))
        return _Child(name, process, json.loads(said)["ports"], log)

    def _last_words(self, name: str, log: Path) -> str:
        lines = log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        if "cannot listen" in last:
            return f"{last}; choose another with --port {name}=PORT (0 takes a free one)"
        return f"{last} (all of it: {log})"

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            with self._lock:
                for name, child in list(self._children.items()):
                    if child.process.poll() is not None and not self._stopping.is_set():
                        self._revive(name, child)

    def _revive(self, name: str, child: _Child) -> None:
        LOG.warning("the %s emulator ended and is started again", name)
        port = next(iter(child.ports.values()))
        try:
            process = self._spawn(name, port)
            revived = self._await_ready(name, process)
        except StartError as error:
            LOG.warning("%s; trying again", error)
            return
        self._children[name] = revived
        self._write_status()

    def _refuse_a_second(self) -> None:
        """By a lock: in a container, the process before may have had our own number."""
        lock = (self.directory / LOCK_FILE).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            running = read_status(self.directory) or {}
            raise AlreadyRunningError(self.directory, running.get("pid", 0)) from None
        self._ours = lock

    def _let_go(self) -> None:
        if self._ours is not None:
            self._ours.close()

    def _write_status(self) -> None:
        pids = {name: child.process.pid for name, child in self._children.items()}
        body = {"pid": os.getpid(), "ports": self.ports, "pids": pids}
        new = self.directory / f"{STATUS_FILE}.new"
        new.write_text(json.dumps(body))
        new.replace(self.directory / STATUS_FILE)  # a reader sees the old one or the new one


def _waves(names: Sequence[str]) -> list[list[str]]:
    """BigQuery loads from Cloud Storage, so it must be told where that is."""
    first = [name for name in names if name != "bigquery"]
    return [wave for wave in (first, [n for n in names if n == "bigquery"]) if wave]


def read_status(directory: Path) -> dict[str, Any] | None:
    """What the local cloud of a directory last said of itself."""
    try:
        found: dict[str, Any] = json.loads((directory / STATUS_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _end(process: "subprocess.Popen[str]", within: float) -> None:
    try:
        process.wait(max(0.1, within))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

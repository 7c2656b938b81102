"""The five services and the clock, as child processes that are kept up."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
STOP_SECONDS = 5.5
PIDS_FILE = "processes.json"
WATCH_SECONDS = 0.2
QUICK_DEATH_SECONDS = 2.0
MOST_QUICK_DEATHS = 5


class ServiceDiedError(RuntimeError):
    """A service does not stay up; says what its log ends with."""

    def __init__(self, name: str, log: Path) -> None:
        lines = log.read_text(errors="replace").strip().splitlines()[-5:]
        last = "\n    ".join(lines) or "(it said nothing)"
        super().__init__(f"{name} does not stay up; the end of {log}:\n    {last}")


@dataclass(slots=True)
class Child:
    """A process to be kept up."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    quick_deaths: int = 0
    started: float = 0.0


class Children:
    """Starts, watches, restarts and stops processes. For one event loop."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}
        self._stopping = False

    def _write_pids(self) -> None:
        pids = {name: self.pid_of(name) for name in self._children}
        new = self._logs.parent / f"{PIDS_FILE}.new"
        new.write_text(json.dumps(pids))
        new.replace(self._logs.parent / PIDS_FILE)  # a reader sees the old one or the new one

    def start(self, child: Child) -> None:
        self._children[child.name] = child
        self._spawn(child)

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def pid_of(self, name: str) -> int:
        process = self._children[name].process
        return process.pid if process else 0

    async def watch(self) -> None:
        """Start again what dies; raises `ServiceDiedError` for what will not live."""
        while not self._stopping:
            await asyncio.sleep(WATCH_SECONDS)
            for child in self._children.values():
                if child.process is not None and child.process.poll() is not None:
                    self._revive(child)

    async def stop(self) -> None:
        """Ask all to end, and end what has not after a few seconds."""
        self._stopping = True
        running = [c.process for c in self._children.values() if c.process is not None]
        for process in running:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        end = asyncio.get_running_loop().time() + STOP_SECONDS
        while any(p.poll() is None for p in running):
            if asyncio.get_running_loop().time() > end:
                for process in running:
                    process.kill()
            await asyncio.sleep(0.05)

    def _spawn(self, child: Child) -> None:
        child.started = asyncio.get_running_loop().time()
        with self.log_of(child.name).open("ab") as log:
            child.process = subprocess.Popen(  # noqa: S603  our own modules
                [sys.executable, "-m", "deploy.local.kept", child.module, *child.arguments],
                cwd=ROOT,
                env={**os.environ, **child.environment},
                stdin=subprocess.PIPE,  # closes with us: a child ends then, however we ended
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to handle, in order
            )
        self._write_pids()

    def _revive(self, child: Child) -> None:
        if self._stopping:
            return
        lived = asyncio.get_running_loop().time() - child.started
        child.quick_deaths = child.quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        if child.quick_deaths >= MOST_QUICK_DEATHS:
            raise ServiceDiedError(child.name, self.log_of(child.name))
        LOG.warning("%s ended and is started again", child.name)
        self._spawn(child)

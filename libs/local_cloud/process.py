"""How every emulator runs as a process of its own.

Each emulator module ends in `if __name__ == "__main__": run(...)`. It binds a
port on loopback (0 takes a free one; LOCAL_CLOUD_HOST chooses another address),
prints one JSON line when it can be called, and ends on SIGTERM, on SIGINT, or
when the process that started it is gone.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from libs.local_cloud.faults import Faults, control_app, replace_process

# Loopback, unless a container's network is to reach the emulators.
HOST = os.environ.get("LOCAL_CLOUD_HOST") or "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Options:
    """Where an emulator listens and where it keeps its state."""

    port: int
    state_dir: Path | None  # None: in memory, gone with the process
    control: bool  # open the fault control port
    with_parent: bool  # end when standard input closes


@dataclass(frozen=True, slots=True)
class Running:
    """A started emulator: the ports it answers on and how to stop it."""

    ports: dict[str, int]  # by endpoint name, e.g. {"grpc": 41233}
    stop: Callable[[], Awaitable[None]]


Start = Callable[[Options, Faults], Awaitable[Running]]


def options(name: str, argv: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog=f"python -m libs.local_cloud.{name}")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--state-dir", type=Path, help="absent: state lives in memory")
    parser.add_argument("--control", action="store_true", help="open a fault control port")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    found = parser.parse_args(argv)
    if found.state_dir:
        found.state_dir.mkdir(parents=True, exist_ok=True)
    return Options(found.port, found.state_dir, found.control, found.with_parent)


def run(name: str, start: Start) -> None:
    asyncio.run(_serve(name, start, options(name)))


async def _serve(name: str, start: Start, chosen: Options) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if chosen.with_parent:
        loop.add_reader(sys.stdin.fileno(), lambda: _end_at_eof(ended))
    faults = Faults()
    try:
        running = await start(chosen, faults)
    except OSError as error:
        sys.exit(f"{name}: cannot listen on {HOST}:{chosen.port}: {error.strerror}")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(running.stop)
        ports = dict(running.ports)
        if chosen.control:
            ports["control"] = await _open_control(stack, faults, running)
        sys.stdout.write(json.dumps({"ready": name, "ports": ports, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await ended.wait()


def _end_at_eof(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        ended.set()


async def _open_control(stack: contextlib.AsyncExitStack, faults: Faults, running: Running) -> int:
    first_port = next(iter(running.ports.values()))

    async def restart() -> None:
        await running.stop()
        replace_process(first_port)

    runner = web.AppRunner(control_app(faults, restart))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, 0).start()
    return int(runner.addresses[0][1])

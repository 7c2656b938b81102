"""The local cloud as a command.

python -m libs.local_cloud --state-dir .local [--port pubsub=8085] [--control]
python -m libs.local_cloud --ephemeral --only pubsub,storage
python -m libs.local_cloud status --state-dir .local
python -m libs.local_cloud stop --state-dir .local
"""

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from libs.local_cloud.supervisor import (
    EMULATORS,
    AlreadyRunningError,
    Choices,
    LocalCloud,
    StartError,
    answers,
    is_alive,
    read_status,
)

STOP_SECONDS = 10.0


def main(argv: list[str] | None = None) -> int:
    chosen = _parser().parse_args(argv)
    if chosen.command == "status":
        return _status(chosen.state_dir)
    if chosen.command == "stop":
        return _stop(chosen.state_dir)
    return _run(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m libs.local_cloud")
    parser.add_argument("command", nargs="?", choices=("run", "status", "stop"), default="run")
    parser.add_argument("--state-dir", type=Path, default=Path(".local/cloud"))
    parser.add_argument("--ephemeral", action="store_true", help="keep nothing")
    parser.add_argument("--only", type=_names, default=EMULATORS, help="comma-separated")
    parser.add_argument("--port", type=_port, action="append", default=[], help="NAME=PORT")
    parser.add_argument("--control", action="store_true", help="open fault control ports")
    parser.add_argument("--env-file", type=Path, help="also write the environment here")
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in EMULATORS:
            message = f"{name!r} is none of {', '.join(EMULATORS)}"
            raise argparse.ArgumentTypeError(message)
    return names


def _port(text: str) -> tuple[str, int]:
    name, _, port = text.partition("=")
    if name not in EMULATORS or not port.isdecimal():
        message = f"use NAME=PORT with a name of {', '.join(EMULATORS)}"
        raise argparse.ArgumentTypeError(message)
    return name, int(port)


def _run(chosen: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    state_dir = None if chosen.ephemeral else chosen.state_dir
    cloud = LocalCloud(Choices(state_dir, chosen.only, dict(chosen.port), chosen.control))
    try:
        cloud.start()
    except (StartError, AlreadyRunningError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    exports = "".join(f"export {k}={v}\n" for k, v in cloud.environment().items())
    sys.stdout.write(exports)
    sys.stdout.flush()
    if chosen.env_file:
        chosen.env_file.write_text(exports)
    ended.wait()
    cloud.stop()
    return 0


def _status(directory: Path) -> int:
    found = read_status(directory)
    if found is None or not is_alive(found["pid"]):
        sys.stdout.write(f"no local cloud is running on {directory}\n")
        return 1
    for name, ports in found["ports"].items():
        for endpoint, port in ports.items():
            state = "up" if answers(port) else "down"
            sys.stdout.write(f"{name:15} {endpoint:8} 127.0.0.1:{port:<6} {state}\n")
    return 0


def _stop(directory: Path) -> int:
    found = read_status(directory)
    if found is None or not is_alive(found["pid"]):
        sys.stdout.write(f"no local cloud is running on {directory}\n")
        return 0
    os.kill(found["pid"], signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while _still_there(directory, found["pid"]) and time.monotonic() < end:
        time.sleep(0.05)
    return 1 if _still_there(directory, found["pid"]) else 0


def _still_there(directory: Path, pid: int) -> bool:
    """It takes its status file away last; a killed one leaves it behind."""
    return read_status(directory) is not None and is_alive(pid)


if __name__ == "__main__":
    sys.exit(main())

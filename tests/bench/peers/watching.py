"""What a command takes: time, processor, memory; and what it says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from libs.testing.processes import ROOT
from tests.bench.peers.peer import SCRIPTS, PeerError

WITHIN = 500.0


@dataclass(frozen=True, slots=True)
class Took:
    seconds: float
    cpu: float
    peak_mb: float
    code: int | None
    """None: it was cut off."""
    said: str


def watched(argv: Sequence[str], folder: Path, within: float = WITHIN) -> Took:
    """Raises nothing when the command fails: see `code`."""
    result = folder / "took.json"
    # Compiled modules are kept, as anyone's are who runs a program twice.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-S", str(SCRIPTS / "watched.py"), str(within), str(result), *argv],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Took(**json.loads(result.read_text()), said=(done.stdout + done.stderr)[-4000:])


def finished(argv: Sequence[str], folder: Path) -> Took:
    """Raises `PeerError` unless it ended well."""
    took = watched(argv, folder)
    if took.code != 0:
        raise PeerError(argv, took.said)
    return took


def in_turns(
    commands: Sequence[Sequence[str]], folder: Path, rounds: int
) -> Sequence[Sequence[Took]]:
    """What each of them took: so whatever else the machine does meets all."""
    turns = [[made_anew(command, folder) for command in commands] for _ in range(rounds)]
    return [*zip(*turns, strict=True)]


def made_anew(argv: Sequence[str], folder: Path) -> Took:
    """Of a command that writes into the folder `out` there, in which nothing is left of others."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return finished(argv, folder)

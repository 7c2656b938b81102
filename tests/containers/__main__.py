"""Build the images, compose them, run the checks; the last line says what it took.

python -m tests.containers [pytest arguments]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.containers.compose import ROOT, Composed, images, without_docker
from tests.stack import StackError

NO_DOCKER = 2


def main() -> int:
    missing = without_docker()
    if missing:
        sys.stderr.write(f"{missing}\n")
        return NO_DOCKER
    begun = time.monotonic()
    try:
        for service in ("local-cloud", "gateway", "tenant", "scheduler", "executor", "audit_log"):
            Composed().compose("build", service)  # one at a time: kind to small machines
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    built = time.monotonic() - begun
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "memory.json"
        failed = _check(report)
        memory = json.loads(report.read_text()) if report.exists() else {}
    measured = [f"{name} {size} MB/{memory.get(name, '?')}" for name, size in images().items()]
    outcome = f"containers {'failed' if failed else 'green'} in {time.monotonic() - begun:.0f} s"
    parts = ", ".join(measured)
    sys.stdout.write(f"{outcome} (images {built:.0f} s); image size/memory in use: {parts}\n")
    return 1 if failed else 0


def _check(report: Path) -> bool:
    chosen = sys.argv[1:] or ["tests/containers"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "containers", *chosen],
        cwd=ROOT,
        env={**os.environ, "CONTAINERS_REPORT": str(report)},
        check=False,
    )
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())

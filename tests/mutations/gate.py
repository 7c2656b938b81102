"""Sabotage the code in copies, one promise at a time, and see that the suite notices.

`python -m tests.mutations.gate [part of a name]`
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutations.sabotages import SABOTAGES, Sabotage

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 240
TESTS_FAILED = 1  # pytest's own code: tests ran, and some failed


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [one for one in SABOTAGES if wanted in one.name]
    missed = [one for one in chosen if not _is_caught(one)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} sabotages caught")
    return 1 if missed or not chosen else 0


def _is_caught(sabotage: Sabotage) -> bool:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        _copy(Path(folder))
        target = Path(folder) / sabotage.path
        target.write_text(apply(sabotage, target.read_text()))
        try:
            ended = _test(sabotage, folder)
        except subprocess.TimeoutExpired:
            print(f"{sabotage.name}: MISSED, for its tests did not end", flush=True)
            return False
    caught = ended.returncode == TESTS_FAILED
    first = next((line for line in ended.stdout.splitlines() if line.startswith("FAILED")), "")
    verdict = (
        f"caught in {time.monotonic() - started:.0f} s by {first[7:90]}" if caught else "MISSED"
    )
    print(f"{sabotage.name}: {verdict}", flush=True)
    if ended.returncode not in (0, TESTS_FAILED):
        print(ended.stdout[-2000:], ended.stderr[-2000:])
    return caught


def _test(sabotage: Sabotage, folder: str) -> "subprocess.CompletedProcess[str]":
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "not soak"]
    return subprocess.run(
        [*pytest, "--hypothesis-profile", "first failure", *sabotage.tests.split()],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def apply(sabotage: Sabotage, source: str) -> str:
    if source.count(sabotage.old) != 1:
        raise MovedError(sabotage)
    return source.replace(sabotage.old, sabotage.new)


class MovedError(Exception):
    def __init__(self, sabotage: Sabotage) -> None:
        super().__init__(
            f"{sabotage.path} no longer has the text that {sabotage.name!r} replaces:"
            " mend the sabotage in tests/mutations/sabotages.py"
        )


def _copy(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


if __name__ == "__main__":
    sys.exit(main())

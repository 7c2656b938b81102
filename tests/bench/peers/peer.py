"""Programs of others, run in environments of their own."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from libs.testing.processes import ROOT
from tests.stack import eventually

SCRIPTS = Path(__file__).parent / "scripts"
ENVIRONMENTS = ROOT / ".venv" / "peers"
STARTS_WITHIN = 120.0
STOPS_WITHIN = 20.0


class PeerError(RuntimeError):
    def __init__(self, what: Sequence[str], said: str) -> None:
        super().__init__(f"{' '.join(what)} did not do its part:\n{said[-2000:]}")


def tool(peer: str, name: str = "python") -> str:
    path = ENVIRONMENTS / peer / "bin" / name
    if not path.exists():
        raise SystemExit(f"{peer} is not installed here: run `make peers`")
    return str(path)


def told(argv: Sequence[str], env: Mapping[str, str], within: float = 300) -> list[float]:
    """What the script measured: the number behind each `took` that it prints."""
    done = subprocess.run(
        argv,
        cwd=SCRIPTS,
        env=_with(env),
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    took = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("took ")]
    if done.returncode or not took:
        raise PeerError(argv, done.stdout + done.stderr)
    return [float(one) for one in took]


def _with(env: Mapping[str, str]) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **env}


@contextmanager
def running(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[None]:
    """A server, and whatever it starts, until the block ends."""
    with log.open("w") as said:
        process = subprocess.Popen(
            argv,
            cwd=SCRIPTS,
            env=_with(env),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answered(url: str) -> None:
    """Waits until it does."""
    eventually(lambda: urlopen(url, timeout=2).close(), within=STARTS_WITHIN)  # noqa: S310  ours

"""What `make run` starts: its demo, its end, and what it says when it cannot begin."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.stack import ROOT, eventually, free_port

ENDS_WITHIN = 30.0
"""Seconds on a machine where others work too; ten are promised where nobody does."""
LAST_LINE = "Ctrl-C stops everything"


def begin(tmp_path: Path, **settings: str) -> "subprocess.Popen[str]":
    """In a process group of its own, as a terminal would."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local.up"],
        cwd=ROOT,
        env={**os.environ, "STATE_DIR": str(tmp_path), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def said_until_it_serves(running: "subprocess.Popen[str]") -> str:
    said = ""
    assert running.stdout is not None
    for line in running.stdout:
        said += line
        if LAST_LINE in line:
            return said
    pytest.fail(f"it ended before it served:\n{said}")


def pids_of(state_dir: Path) -> set[int]:
    services = json.loads((state_dir / "processes.json").read_text())
    cloud = json.loads((state_dir / "cloud" / "local_cloud.json").read_text())
    return {*services.values(), *cloud["pids"].values()}


def exists(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_demo_runs_to_its_end_twice_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # The second time on the state of the first, and without a chance to stop anything.
    for how, code in ((signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)):
        running = begin(tmp_path, PORT=str(free_port()))
        said = said_until_it_serves(running)
        assert "run COMPLETED" in said
        assert re.search(r"Amazon Elastic Compute Cloud +[0-9.]+ +[0-9.]+\n", said)
        assert re.search(r"total +153\.06 +153\.06\n", said)
        assert f"$(cat {tmp_path / 'demo.key'})" in said
        pids = pids_of(tmp_path)
        assert all(map(exists, pids))
        started = time.monotonic()
        os.killpg(running.pid, how)
        assert running.wait(ENDS_WITHIN * 2) == code

        def all_gone(pids: set[int] = pids) -> None:
            assert not any(map(exists, pids))

        eventually(all_gone, within=ENDS_WITHIN - (time.monotonic() - started))


@pytest.mark.parametrize("variable", ["PORT", "INSTANCES"])
def test_a_setting_that_is_no_number_is_named(tmp_path: Path, variable: str) -> None:
    running = begin(tmp_path, **{variable: "abc"})
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 2
    assert f"{variable}: 'abc' is not a whole number" in said
    assert "Traceback" not in said


def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = begin(tmp_path, PORT=str(port))
        said, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert f"port {port} is in use" in said
    assert "make run PORT=" in said


def test_a_state_that_cannot_be_kept_is_said_with_its_stage(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    running = begin(place, PORT=str(free_port()))
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "failed while starting" in said
    assert str(place) in said
    assert "Traceback" not in said

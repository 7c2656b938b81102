"""`make containers` where containers cannot be run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(path: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.containers"],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_docker_it_says_so_and_fails(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 2
    assert "Docker is needed and was not found" in done.stderr


def test_a_docker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho no daemon here >&2\nexit 1\n")
    docker.chmod(0o755)
    done = run(f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    assert "`docker info` fails: no daemon here" in done.stderr

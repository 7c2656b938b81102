"""The local cloud as one thing: up together, kept up, gone together."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from libs.local_cloud.supervisor import (
    AlreadyRunningError,
    Choices,
    LocalCloud,
    StartError,
    answers,
    is_alive,
)
from libs.testing.processes import ROOT
from tests.stack import eventually, free_port

FEW = ("storage", "kms")


def test_a_killed_emulator_comes_back_on_its_port(tmp_path: Path) -> None:
    with LocalCloud(Choices(tmp_path, FEW)) as cloud:
        before = cloud.ports
        cloud.kill("storage")

        def back() -> None:
            assert cloud.ports == before
            assert answers(before["storage"]["http"])

        eventually(back)
        assert set(cloud.environment()) == {"STORAGE_EMULATOR_HOST", "KMS_ENDPOINT"}
    assert not answers(before["kms"]["grpc"])


def test_a_port_of_last_time_that_is_taken_is_another_now(tmp_path: Path) -> None:
    with LocalCloud(Choices(tmp_path, ("bigquery",))) as cloud:
        before = cloud.ports["bigquery"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["grpc"]))
        with LocalCloud(Choices(tmp_path, ("bigquery",))) as cloud:
            assert cloud.ports["bigquery"]["grpc"] != before["grpc"]
            assert answers(cloud.ports["bigquery"]["grpc"])


def test_a_second_start_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with (
        LocalCloud(Choices(tmp_path, FEW)),
        pytest.raises(AlreadyRunningError, match="STATE_DIR"),
    ):
        LocalCloud(Choices(tmp_path, FEW)).start()


def test_a_busy_port_is_named_with_the_option_that_changes_it(tmp_path: Path) -> None:
    with LocalCloud(Choices(tmp_path / "one", ("storage",))) as first:
        port = first.ports["storage"]["http"]
        second = LocalCloud(Choices(tmp_path / "two", ("storage",), {"storage": port}))
        with pytest.raises(StartError) as caught:
            second.start()
    assert str(port) in str(caught.value)
    assert "--port storage=PORT" in str(caught.value)


def test_the_command_starts_says_and_stops(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "libs.local_cloud"]
    port = free_port()
    running = subprocess.Popen(
        [*argv, "--state-dir", str(tmp_path), "--only", "storage", "--port", f"storage={port}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == f"export STORAGE_EMULATOR_HOST=http://127.0.0.1:{port}\n"
    where = ["--state-dir", str(tmp_path)]
    status = subprocess.run(
        [*argv, "status", *where], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (status.returncode, str(port) in status.stdout, "up" in status.stdout) == (0, True, True)
    assert subprocess.run([*argv, "stop", *where], cwd=ROOT, check=False).returncode == 0
    assert running.wait(60) == 0
    running.stdout.close()
    assert not answers(port)


def test_an_ephemeral_cloud_keeps_nothing(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "libs.local_cloud", "--ephemeral", "--only", "storage"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline().startswith("export STORAGE_EMULATOR_HOST=")
    assert list(tmp_path.glob("convergence-*/storage"))
    running.terminate()
    assert running.wait(60) == 0
    running.stdout.close()
    assert not list(tmp_path.iterdir())


def test_emulators_end_with_their_supervisor_even_on_sigkill(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "libs.local_cloud", "--state-dir", str(tmp_path), "--only", "kms"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    port = int(running.stdout.readline().strip().rpartition(":")[2])
    running.kill()
    running.wait()
    running.stdout.close()
    assert not is_alive(running.pid)

    def gone() -> None:
        assert not answers(port)

    eventually(gone)

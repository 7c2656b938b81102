"""A service may start before everything it needs: it says what it waits for, and goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.testing.processes import ROOT, emulator
from tests.stack import eventually, free_port

SERVICES = ("tenant", "scheduler", "executor", "audit_log")


def readiness(port: int) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


@pytest.fixture
def nowhere() -> Iterator[int]:
    """A port that refuses, and that nobody else can take meanwhile."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_starts_first_names_what_it_waits_for(service: str, nowhere: int) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{nowhere}",
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{nowhere}",
        "BIGQUERY_ENDPOINT": f"http://127.0.0.1:{nowhere}",
        "BIGQUERY_STORAGE_ENDPOINT": f"127.0.0.1:{nowhere}",
        "KMS_ENDPOINT": f"127.0.0.1:{nowhere}",
    }
    running = subprocess.Popen(
        [sys.executable, "-m", f"services.{service}"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:

        def waits_for_pubsub() -> None:
            said = readiness(port)
            assert said["status"] == "waiting"
            assert f"Pub/Sub at 127.0.0.1:{nowhere}" in said["waiting_for"]

        eventually(waits_for_pubsub)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    finally:
        running.kill()


def test_a_gateway_without_its_pepper_waits_and_can_be_stopped(tmp_path: Path) -> None:
    with emulator("secret_manager") as secrets:
        environment = {
            **os.environ,
            "PORT": "0",
            "SECRETS_DIR": str(tmp_path),
            "SECRET_MANAGER_ENDPOINT": f"127.0.0.1:{secrets.ports['grpc']}",
        }
        running = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stderr is not None
        said = json.loads(running.stderr.readline())
        assert "secret api-key-pepper is not there" in said["msg"]
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
        running.stderr.close()

"""Each service brings what it imports: its image holds only its own lock."""

import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "tenant", "scheduler", "executor", "audit_log")
# Starts as if nothing were installed but what is locked.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({absent!r}))
import services.{service}.app, libs.web.healthcheck
"""


def locked(service: str) -> set[str]:
    text = (ROOT / "services" / service / "requirements.txt").read_text()
    lines = [line for line in text.splitlines() if line[:1].isalnum()]
    return {_plain(line.partition("==")[0]) for line in lines}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


@cache
def installed() -> dict[str, set[str]]:
    return {top: set(map(_plain, names)) for top, names in packages_distributions().items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_only_what_it_has_locked(service: str) -> None:
    present = locked(service)
    absent = [top for top, names in installed().items() if not names & present]
    assert {"pytest", "duckdb"} <= set(absent)
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(absent=absent, service=service)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr[-1000:]

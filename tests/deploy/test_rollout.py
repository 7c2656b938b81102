"""The pipeline of a service: valid for Cloud Build; its roll-out goes back when a stage fails."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.deploy.fixtures import schema

ROOT = Path(__file__).parents[2]
CLOUDBUILD = ROOT / "deploy" / "cloudbuild"
GCLOUD = """#!/bin/sh
echo "gcloud $*" >> "$CALLS"
case "$*" in
  *replace*) cp "$4" "$CALLS.manifest" ;;
  *percent*|*instanceSplits*) echo "$OLD" ;;
  *candidate*) echo https://candidate.example ;;
esac
"""
PYTHON = """#!/bin/sh
case "$*" in
  *deploy.suites*)
    echo "smoke $5" >> "$CALLS"
    test "$(grep -c '^smoke' "$CALLS")" -ne "$FAILS" ;;
  *) exec {python} "$@" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Rolled:
    code: int
    calls: list[str]

    @property
    def shares(self) -> list[str]:
        return [c.rpartition("--to-revisions=")[2] for c in self.calls if "--to-revisions" in c]


def roll(directory: Path, service: str, *, old: str, fails: int = 0, place: str = "") -> Rolled:
    """Run the script with stand-ins for gcloud and for the smoke test, whose nth call may fail."""
    for name, text in (("gcloud", GCLOUD), ("python3", PYTHON.format(python=sys.executable))):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    calls = directory / "calls"
    calls.touch()
    environment = {
        **os.environ,
        "PATH": f"{directory}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "OLD": old,
        "FAILS": str(fails),
        "SERVICE": service,
        "REGION": "r",
        "PROJECT": "my-project",
        "REVISION": "new",
        "IMAGE": "i",
        "ENVIRONMENT": "staging",
        "URL": "https://api.example",
        "STAGE_SECONDS": "0",
        "PLACE": place,
    }
    done = subprocess.run(
        ["bash", str(CLOUDBUILD / "roll")], cwd=ROOT, env=environment, check=False, timeout=60
    )
    return Rolled(done.returncode, calls.read_text().splitlines())


@pytest.mark.parametrize("service", ["gateway", "audit_log"])
def test_traffic_moves_in_three_stages_each_tried(tmp_path: Path, service: str) -> None:
    name = f"convergence-{service.replace('_', '-')}"
    found = roll(tmp_path, service, old=f"{name}-old")
    assert found.code == 0
    assert found.shares == [
        f"{name}-new=10,{name}-old=90",
        f"{name}-new=50,{name}-old=50",
        f"{name}-new=100",
    ]
    smokes = [call for call in found.calls if call.startswith("smoke")]
    assert len(smokes) == (4 if service == "gateway" else 3)


def test_a_candidate_is_tried_before_it_has_traffic(tmp_path: Path) -> None:
    found = roll(tmp_path, "gateway", old="convergence-gateway-old", fails=1)
    assert found.code == 1
    assert "smoke https://candidate.example" in found.calls
    assert found.shares == ["convergence-gateway-old=100"]


def test_a_revision_is_for_the_place_that_is_said(tmp_path: Path) -> None:
    roll(tmp_path, "executor", old="", place="--location EU --data-bucket deliveries-of-ours")
    found = yaml.safe_load((tmp_path / "calls.manifest").read_text())
    (container,) = found["spec"]["template"]["spec"]["containers"]
    said = {one["name"]: one.get("value") for one in container["env"]}
    assert said["BIGQUERY_LOCATION"] == "EU"
    assert said["DATA_BUCKET"] == "deliveries-of-ours"
    assert said["LEDGER_BUCKET"] == ""


def test_a_stage_that_fails_goes_back(tmp_path: Path) -> None:
    found = roll(tmp_path, "gateway", old="convergence-gateway-old", fails=3)
    assert found.code == 1
    assert found.shares[-2:] == [
        "convergence-gateway-new=50,convergence-gateway-old=50",
        "convergence-gateway-old=100",
    ]


def test_the_first_time_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    assert roll(tmp_path, "gateway", old="").code == 0
    assert roll(tmp_path, "gateway", old="", fails=2).code == 1


def test_the_pipeline_is_what_cloud_build_takes() -> None:
    found = yaml.safe_load((CLOUDBUILD / "service.yaml").read_text())
    Draft202012Validator({"$ref": "#/$defs/Build", **schema("cloudbuild.v1")}).validate(found)
    order = {step["id"]: step.get("waitFor") for step in found["steps"]}
    assert order["push"] == ["test", "build"]
    assert order["deploy"] == ["scan"]


def test_the_workflow_runs_what_the_readme_says() -> None:
    found = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = {s.get("run") for job in found["jobs"].values() for s in job["steps"]}
    assert {"make check", "make test", "make audit", "make containers", "make sbom"} <= commands
    assert found["permissions"] == {"contents": "read"}

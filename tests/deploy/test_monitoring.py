"""Alerts, objectives and the dashboard: what Cloud Monitoring takes, and true of this platform."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from contracts.topology import topology
from deploy import freshness
from libs.settings import ServiceSettings
from libs.warehouse.schema import Column, Dataset, Table
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.deploy.fixtures import schema

ROOT = Path(__file__).parents[2]
ALERTS = sorted((ROOT / "deploy" / "monitoring" / "alerts").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNS = Table(
    "tenants",
    "tenant_pipeline_runs",
    (
        Column("tenant_id", "STRING"),
        Column("pipeline_id", "STRING"),
        Column("status", "STRING"),
        Column("end_time", "TIMESTAMP"),
    ),
)


def check(document: str, kind: str, found: Any) -> None:
    Draft202012Validator({"$ref": f"#/$defs/{kind}", **schema(document)}).validate(found)


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / "monitoring" / name).read_text())


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_an_alert_is_what_cloud_monitoring_takes_and_has_a_runbook(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    check("monitoring.v3", "AlertPolicy", found)
    assert found["documentation"]["content"].endswith(f"docs/runbooks/{path.stem}.md")
    assert found["userLabels"]["runbook"] == path.stem
    book = (RUNBOOKS / f"{path.stem}.md").read_text()
    assert "## Look" in book
    assert "## Do" in book


def test_every_runbook_has_an_alert() -> None:
    assert {p.stem for p in RUNBOOKS.glob("*.md")} == {p.stem for p in ALERTS}


def test_every_subscription_is_watched_by_exactly_one_age_alert() -> None:
    patterns = [
        re.compile(found)
        for path in ALERTS
        for found in re.findall(
            r'subscription_id=monitoring.regex.full_match\("(.+?)"\)', path.read_text()
        )
    ]
    for spec in topology().subscriptions:
        matching = [p.pattern for p in patterns if p.fullmatch(spec.name)]
        assert len(matching) == 1, (spec.name, matching)


def test_the_dashboard_and_the_objectives_are_what_cloud_monitoring_takes() -> None:
    check("monitoring.v1", "Dashboard", load("dashboard.yaml"))
    for objective in load("objectives.yaml"):
        check("monitoring.v3", "ServiceLevelObjective", objective)


def test_the_objectives_are_those_that_were_promised() -> None:
    goals = {one["displayName"]: one["goal"] for one in load("objectives.yaml")}
    assert goals == {"Availability": 0.999, "Latency": 0.95}


async def test_what_used_to_succeed_and_has_not_for_a_while_is_stale(project: str) -> None:
    settings = ServiceSettings()
    warehouse = Warehouse.connect(
        WarehouseSettings(
            project,
            endpoint=settings.bigquery_endpoint,
            storage_endpoint=settings.bigquery_storage_endpoint,
        )
    )
    await warehouse.ensure(Dataset("tenants"), RUNS)

    def run(pipeline: str, status: str, hours_ago: float) -> dict[str, object]:
        ended = NOW - timedelta(hours=hours_ago)
        row = {"tenant_id": "acme", "pipeline_id": pipeline, "status": status}
        return {**row, "end_time": ended}

    await warehouse.append(
        RUNS,
        [
            run("fresh", "COMPLETED", 40),
            run("fresh", "COMPLETED", 2),
            run("stale", "COMPLETED", 30),
            run("stale", "FAILED", 1),
            run("given_up", "COMPLETED", 24 * 40),
            run("never", "FAILED", 1),
        ],
    )
    found = await freshness.stale(warehouse, NOW, 26)
    await warehouse.close()
    assert [one.pipeline_id for one in found] == ["stale"]
    assert found[0].succeeded == NOW - timedelta(hours=30)


def test_a_warehouse_that_is_not_there_is_an_exit_code(project: str) -> None:
    assert freshness.main([]) == freshness.FAILED

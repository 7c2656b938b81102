"""The demo: a tenant, its billing export, its pipeline run to the end, what it cost."""

import csv
import os
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.local.api import Api, ApiError
from libs.warehouse.schema import Column, Table, required
from libs.warehouse.warehouse import Warehouse

HERE = Path(__file__).parent / "demo"
TENANT = "demo"
PIPELINE = "cost_by_service"
CONFLICT = 409
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
QUOTA_SPENT = 429
BILLING = Table(
    TENANT,
    "sample_billing",
    (
        required("usage_date", "DATE"),
        required("provider", "STRING"),
        required("service", "STRING"),
        Column("region", "STRING"),
        Column("cost", "NUMERIC"),
    ),
    partition_by="usage_date",
)

Say = Callable[[str], None]


class DemoError(RuntimeError):
    """The demo's run did not end well."""


async def demonstrate(api: Api, warehouse: Warehouse, state_dir: Path, say: Say) -> None:
    """Raises `ApiError` or `DemoError`; may be repeated on the same state."""
    api.tenant_key = await _tenant_key(api, state_dir / f"{TENANT}.key", say)
    await _load_sample(warehouse, say)
    await api.put_text(f"/api/v1/pipelines/configs/{PIPELINE}", _definition())
    say(f"saved pipeline {PIPELINE}")
    await _run(api, say)
    await _print_cost(warehouse, say)


async def _tenant_key(api: Api, path: Path, say: Say) -> str:
    body = {
        "tenant_id": TENANT,
        "company_name": "Demo Company",
        "admin_email": "demo@example.com",
        "subscription_plan": "SCALE",
    }
    try:
        made = await api.post("/api/v1/tenants/onboard", body)
    except ApiError as error:
        if error.status != CONFLICT:
            raise
        say(f"tenant {TENANT} is there already")
        return await _known_key(api, path)
    say(f"onboarded tenant {TENANT}: dataset {', '.join(made['datasets'])}")
    return _keep(path, made["api_key"])


async def _known_key(api: Api, path: Path) -> str:
    if path.exists():
        return path.read_text().strip()
    made = await api.post("/api/v1/admin/api-keys", {"tenant_id": TENANT, "description": "demo"})
    return _keep(path, made["api_key"])


def _keep(path: Path, key: str) -> str:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(key)
    return key


async def _load_sample(warehouse: Warehouse, say: Say) -> None:
    await warehouse.ensure(BILLING)
    count = f"SELECT COUNT(*) AS rows_there FROM `{warehouse.project}.{BILLING.path}`"  # noqa: S608
    (found,) = await warehouse.query(count)
    if found["rows_there"]:
        return
    with (HERE / "billing.csv").open(newline="") as file:
        rows = [_billing_row(line) for line in csv.DictReader(file)]
    await warehouse.append(BILLING, rows)
    say(f"loaded {len(rows)} billing lines into {BILLING.path}")


def _billing_row(line: dict[str, str]) -> dict[str, object]:
    return {
        **line,
        "usage_date": date.fromisoformat(line["usage_date"]),
        "cost": Decimal(line["cost"]),
    }


def _definition() -> str:
    return (HERE / "pipeline.yml").read_text()


async def _run(api: Api, say: Say) -> None:
    try:
        run = await api.post(f"/api/v1/pipelines/run/{PIPELINE}", {"trigger_by": "make run"})
    except ApiError as error:
        if error.status == QUOTA_SPENT:
            say(f"no new run: {error}; showing the last result")
            return
        raise
    say(f"run {run['run_id']} {run['status']}")
    path, seen = f"/api/v1/pipelines/runs/{run['run_id']}", set[str]()
    since = "0"
    while True:
        found = await api.get(path, wait="10", since=since)
        since = str(found["version"])
        await _say_steps(api, path, seen, say)
        if found["status"] in FINAL:
            break
    if found["status"] != "COMPLETED":
        reason = (found.get("error") or {}).get("detail", "no reason given")
        message = f"the run ended {found['status']}: {reason}"
        raise DemoError(message)
    say(f"run {found['status']}")


async def _say_steps(api: Api, path: str, seen: set[str], say: Say) -> None:
    for step in (await api.get(f"{path}/steps"))["steps"]:
        if step["status"] != "RUNNING" and step["step_id"] not in seen:
            seen.add(step["step_id"])
            say(
                f"  step {step['step_id']:<12} {step['status']:<10}"
                f" {step['rows']:>5} rows {step['duration_ms']:>6} ms"
            )


async def _print_cost(warehouse: Warehouse, say: Say) -> None:
    sql = f"SELECT * FROM `{warehouse.project}.{TENANT}.cost_by_service` ORDER BY cost DESC"  # noqa: S608
    rows: list[dict[str, Any]] = await warehouse.query(sql)
    say("")
    say(f"  {'provider':<9}{'service':<20}{'cost':>12}")
    for row in rows:
        say(f"  {row['provider']:<9}{row['service']:<20}{row['cost']:>12.2f}")
    say(f"  {'total':<29}{sum(row['cost'] for row in rows):>12.2f}")

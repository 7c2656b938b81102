"""The demo: a tenant, a bill of AWS, the template that reads it, what each service cost."""

import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.local.api import Api, ApiError

HERE = Path(__file__).parent / "demo"
TENANT = "demo"
TEMPLATE = "aws/cost/cur"
PERIOD = "2026-01"
RUN_PATH = f"/api/v1/pipelines/run/{TENANT}/{TEMPLATE}"
RUN_BODY = {"parameters": {"period": PERIOD}}
CONFLICT = 409
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
QUOTA_SPENT = 429

Say = Callable[[str], None]


class DemoError(RuntimeError):
    """The demo's run did not end well."""


async def demonstrate(api: Api, state_dir: Path, landing: Path, say: Say) -> None:
    """Raises `ApiError` or `DemoError`; may be repeated on the same state."""
    api.tenant_key = await _tenant_key(api, state_dir / f"{TENANT}.key", say)
    _deliver(landing, say)
    await _run(api, say)
    await _print_cost(api, say)


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


def _deliver(landing: Path, say: Say) -> None:
    """A bill of AWS, where the tenant's deliveries are looked for."""
    folder = landing / TENANT / "aws" / "cur" / PERIOD
    folder.mkdir(parents=True, exist_ok=True)
    delivered = shutil.copy(HERE / f"aws-cur-{PERIOD}.csv", folder)
    say(f"delivered a bill of AWS: {delivered}")


async def _run(api: Api, say: Say) -> None:
    try:
        run = await api.post(RUN_PATH, {**RUN_BODY, "trigger_by": "make run"})
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


async def _print_cost(api: Api, say: Say) -> None:
    period = {"from": f"{PERIOD}-01", "to": f"{PERIOD}-31"}
    rows = (await api.get("/api/v1/cost", group_by="service", **period))["costs"]
    say("")
    say(f"  {'service':<38}{'billed':>12}{'effective':>12}")
    for row in rows:
        _print_row(row["group"]["service"] or "", row["billed_cost"], row["effective_cost"], say)
    billed, effective = (
        sum(Decimal(r[f"{n}_cost"]) for r in rows) for n in ("billed", "effective")
    )
    _print_row("total", billed, effective, say)


def _print_row(name: str, billed: Any, effective: Any, say: Say) -> None:
    say(f"  {name:<38}{Decimal(billed):>12.2f}{Decimal(effective):>12.2f}")

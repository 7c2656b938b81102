"""Every call as a value: what to ask, and the model of the answer. Clients send them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar
from urllib.parse import quote as quoted

from convergence import models

T = TypeVar("T")
RUNS = "/api/v1/pipelines/runs"
CONFIGS = "/api/v1/pipelines/configs"


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One request. `template` is its path in the OpenAPI document."""

    method: str
    template: str
    answer: type[T]
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.template.format_map({n: quoted(v, safe="") for n, v in self.parts.items()})

    @property
    def given(self) -> dict[str, str]:
        """The query parameters that have a value."""
        return {name: str(value) for name, value in self.query.items() if value not in (None, "")}


def me() -> Ask[models.Tenant]:
    return Ask("GET", "/api/v1/tenants/me", models.Tenant)


def quota() -> Ask[models.Quota]:
    return Ask("GET", "/api/v1/tenants/quota", models.Quota)


def tenants(cursor: str = "") -> Ask[models.Tenants]:
    """An operator's."""
    return Ask("GET", "/api/v1/admin/tenants", models.Tenants, query={"cursor": cursor})


def create_tenant(
    tenant_id: str, company_name: str = "", plan: str = "STARTER"
) -> Ask[models.Model]:
    """An operator's."""
    body = {"tenant_id": tenant_id, "company_name": company_name, "subscription_plan": plan}
    return Ask("POST", "/api/v1/admin/tenants", models.Model, body=body)


def issue_key(tenant_id: str, description: str = "") -> Ask[models.NewKey]:
    """An operator's."""
    body = {"tenant_id": tenant_id, "description": description}
    return Ask("POST", "/api/v1/admin/api-keys", models.NewKey, body=body)


def revoke_key(tenant_id: str, key_hash: str) -> Ask[None]:
    """An operator's."""
    return Ask(
        "DELETE",
        "/api/v1/admin/api-keys/{key_hash}",
        type(None),
        {"key_hash": key_hash},
        {"tenant_id": tenant_id},
    )


def tick(job: str) -> Ask[models.Ticked]:
    """An operator's: trigger, process-queue or reset-daily-quotas."""
    return Ask("POST", f"/api/v1/scheduler/{job}", models.Ticked)


def pipelines(cursor: str = "") -> Ask[models.Pipelines]:
    return Ask("GET", CONFIGS, models.Pipelines, query={"cursor": cursor})


def pipeline(config_id: str) -> Ask[models.Pipeline]:
    return Ask("GET", CONFIGS + "/{config_id}", models.Pipeline, {"config_id": config_id})


def save(config_id: str, source: str, if_match: str = "*") -> Ask[models.Saved]:
    """Save over the revision named, or over whatever is there."""
    return Ask(
        "PUT",
        CONFIGS + "/{config_id}",
        models.Saved,
        {"config_id": config_id},
        text=source,
        headers={"If-Match": if_match},
    )


def delete(config_id: str, if_match: str = "*") -> Ask[None]:
    """Delete the revision named, or whatever is there."""
    return Ask(
        "DELETE",
        CONFIGS + "/{config_id}",
        type(None),
        {"config_id": config_id},
        headers={"If-Match": if_match},
    )


def start(
    config_id: str,
    day: date | None = None,
    parameters: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> Ask[models.Started]:
    body = {
        "date": day.isoformat() if day else "",
        "parameters": dict(parameters or {}),
        "priority": priority,
    }
    path = "/api/v1/pipelines/run/{config_id}"
    return Ask("POST", path, models.Started, {"config_id": config_id}, body=body)


def runs(status: str = "", pipeline: str = "", limit: int = 20) -> Ask[models.Runs]:
    query = {"status": status, "pipeline": pipeline, "limit": limit}
    return Ask("GET", RUNS, models.Runs, query=query)


def run(run_id: str, wait: int | None = None, since: int | None = None) -> Ask[models.Run]:
    """With `wait` and `since`, once it has changed."""
    query = {"wait": wait, "since": since}
    return Ask("GET", RUNS + "/{run_id}", models.Run, {"run_id": run_id}, query)


def steps(run_id: str) -> Ask[models.Steps]:
    return Ask("GET", RUNS + "/{run_id}/steps", models.Steps, {"run_id": run_id})


def checks(run_id: str) -> Ask[models.Checks]:
    return Ask("GET", RUNS + "/{run_id}/dq", models.Checks, {"run_id": run_id})


def cancel(run_id: str) -> Ask[models.Cancelling]:
    return Ask("DELETE", RUNS + "/{run_id}", models.Cancelling, {"run_id": run_id})


def costs(group_by: str = "day", from_day: date | None = None) -> Ask[models.Costs]:
    query = {"group_by": group_by, "from": from_day, "limit": 200}
    return Ask("GET", "/api/v1/pipelines/costs", models.Costs, query=query)


def events(
    type_: str = "", run_id: str = "", order: str = "time", cursor: str = "", limit: int = 50
) -> Ask[models.Events]:
    query = {"type": type_, "run_id": run_id, "order": order, "cursor": cursor, "limit": limit}
    return Ask("GET", "/api/v1/audit/events", models.Events, query=query)

"""Every call as a value: what to ask, and the model of the answer. Clients send them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote as quoted

from convergence import models

T = TypeVar("T")
RUNS = "/api/v1/pipelines/runs"
CONFIGS = "/api/v1/pipelines/configs"
BACKFILLS = CONFIGS + "/{config_id}/backfills"
CREDENTIALS = "/api/v1/tenants/{tenant_id}/credentials"
SCHEDULES = "/api/v1/scheduler/customer/{tenant_id}/pipelines"


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
        return {name: _said(value) for name, value in self.query.items() if value not in (None, "")}


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


def keys(tenant_id: str = "") -> Ask[models.Keys]:
    """The tenant's own, or as an operator another's; so with all that is about keys."""
    return Ask("GET", _keys(tenant_id), models.Keys, query={"tenant_id": tenant_id})


def make_key(
    description: str = "", scopes: Sequence[str] = (), tenant_id: str = ""
) -> Ask[models.NewKey]:
    """Another key, narrowed to scopes if there are any."""
    body = {"description": description, "scopes": list(scopes)}
    body |= {"tenant_id": tenant_id} if tenant_id else {}
    return Ask("POST", _keys(tenant_id), models.NewKey, body=body)


def rotate_key(
    key_hash: str, overlap_seconds: int = 86_400, tenant_id: str = ""
) -> Ask[models.NewKey]:
    path, body = _keys(tenant_id) + "/{key_hash}/rotate", {"overlap_seconds": overlap_seconds}
    query = {"tenant_id": tenant_id}
    return Ask("POST", path, models.NewKey, {"key_hash": key_hash}, query, body)


def revoke_key(key_hash: str, tenant_id: str = "") -> Ask[None]:
    path, query = _keys(tenant_id) + "/{key_hash}", {"tenant_id": tenant_id}
    return Ask("DELETE", path, type(None), {"key_hash": key_hash}, query)


def credentials(tenant_id: str) -> Ask[models.Credentials]:
    return Ask("GET", CREDENTIALS, models.Credentials, {"tenant_id": tenant_id})


def store_credential(
    tenant_id: str, provider: str, fields: Mapping[str, Any], name: str = ""
) -> Ask[models.StoredCredential]:
    body = {"provider": provider, "credentials": dict(fields), "credential_id": name or None}
    return Ask("POST", CREDENTIALS, models.StoredCredential, {"tenant_id": tenant_id}, body=body)


def try_credential(tenant_id: str, name: str) -> Ask[models.TriedCredential]:
    parts = {"tenant_id": tenant_id, "credential_id": name}
    return Ask("POST", CREDENTIALS + "/{credential_id}/test", models.TriedCredential, parts)


def delete_credential(tenant_id: str, name: str) -> Ask[None]:
    parts = {"tenant_id": tenant_id, "credential_id": name}
    return Ask("DELETE", CREDENTIALS + "/{credential_id}", type(None), parts)


def templates() -> Ask[models.Templates]:
    return Ask("GET", "/api/v1/templates", models.Templates)


def template(provider: str, domain: str, template: str) -> Ask[models.Template]:
    parts = {"provider": provider, "domain": domain, "template": template}
    path = "/api/v1/templates/{provider}/{domain}/{template}"
    return Ask("GET", path, models.Template, parts)


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


def start_template(  # noqa: PLR0913, PLR0917  a template has three names
    tenant_id: str,
    provider: str,
    domain: str,
    template: str,
    day: date | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Ask[models.Started]:
    parts = {"tenant_id": tenant_id, "provider": provider, "domain": domain, "template": template}
    body = {"date": day.isoformat() if day else "", "parameters": dict(parameters or {})}
    path = "/api/v1/pipelines/run/{tenant_id}/{provider}/{domain}/{template}"
    return Ask("POST", path, models.Started, parts, body=body)


def validate(source: str) -> Ask[models.Checked]:
    return Ask("POST", "/api/v1/pipelines/validate", models.Checked, text=source)


def plan(
    config_id: str, day: date | None = None, parameters: Mapping[str, Any] | None = None
) -> Ask[models.Plan]:
    """What a run would do; nothing runs."""
    body = {"date": day.isoformat() if day else "", "parameters": dict(parameters or {})}
    return Ask("POST", CONFIGS + "/{config_id}/plan", models.Plan, _config(config_id), body=body)


def backfill(
    config_id: str, first: date, last: date, only: str = "missing", max_active: int = 1
) -> Ask[models.Backfill]:
    body = _days(first, last) | {"only": only, "max_active": max_active}
    return Ask("POST", BACKFILLS, models.Backfill, _config(config_id), body=body)


def backfill_cost(
    config_id: str, first: date, last: date, only: str = "missing"
) -> Ask[models.BackfillCost]:
    """How many runs it would be; nothing runs."""
    body = _days(first, last) | {"only": only, "dry_run": True}
    return Ask("POST", BACKFILLS, models.BackfillCost, _config(config_id), body=body)


def backfills(config_id: str) -> Ask[models.Backfills]:
    return Ask("GET", BACKFILLS, models.Backfills, _config(config_id))


def change_backfill(config_id: str, backfill_id: str, action: str) -> Ask[models.Backfill]:
    """Pause, resume or cancel."""
    parts = _config(config_id) | {"backfill_id": backfill_id}
    path, body = BACKFILLS + "/{backfill_id}", {"action": action}
    return Ask("PATCH", path, models.Backfill, parts, body=body)


def schedules(tenant_id: str, cursor: str = "") -> Ask[models.Schedules]:
    parts, query = {"tenant_id": tenant_id}, {"cursor": cursor}
    return Ask("GET", SCHEDULES, models.Schedules, parts, query)


def schedule(  # noqa: PLR0913, PLR0917  what a schedule is made of
    tenant_id: str,
    config_id: str,
    cron: str,
    time_zone: str = "UTC",
    misfire: str = "run_once",
    enabled: bool = True,  # noqa: FBT001, FBT002  of the body
) -> Ask[models.Schedule]:
    body = {
        "config_id": config_id,
        "cron": cron,
        "time_zone": time_zone,
        "misfire": misfire,
        "enabled": enabled,
    }
    return Ask("POST", SCHEDULES, models.Schedule, {"tenant_id": tenant_id}, body=body)


def unschedule(tenant_id: str, config_id: str) -> Ask[None]:
    parts = {"tenant_id": tenant_id} | _config(config_id)
    return Ask("DELETE", SCHEDULES + "/{config_id}", type(None), parts)


def explain(run_id: str) -> Ask[models.Explained]:
    return Ask("GET", RUNS + "/{run_id}/explain", models.Explained, {"run_id": run_id})


def retry(run_id: str, start: str = "failed") -> Ask[models.Started]:
    """From what failed, from the start, or from a step; what is done is kept."""
    path, body = RUNS + "/{run_id}/retry", {"from": start}
    return Ask("POST", path, models.Started, {"run_id": run_id}, body=body)


def runs(
    status: str = "", pipeline: str = "", limit: int = 20, since: date | None = None
) -> Ask[models.Runs]:
    """About days from `since` on; else of the last 30 days."""
    query = {"status": status, "pipeline": pipeline, "limit": limit, "from": since}
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


def bill(
    by: str = "service", first: date | None = None, last: date | None = None, provider: str = ""
) -> Ask[models.Bill]:
    """What clouds and services cost, by as many columns as `by` names: `service,day`."""
    query = {"group_by": by, "from": first, "to": last, "provider": provider, "limit": 1000}
    return Ask("GET", "/api/v1/cost", models.Bill, query=query)


def bill_changes(period: str = "") -> Ask[models.BillChanges]:
    """Which billing periods moved since they were first loaded, and by how much."""
    return Ask("GET", "/api/v1/cost/diff", models.BillChanges, query={"period": period})


def costs(group_by: str = "day", from_day: date | None = None) -> Ask[models.Costs]:
    query = {"group_by": group_by, "from": from_day, "limit": 200}
    return Ask("GET", "/api/v1/pipelines/costs", models.Costs, query=query)


def events(
    type_: str = "", run_id: str = "", order: str = "time", cursor: str = "", limit: int = 50
) -> Ask[models.Events]:
    query = {"type": type_, "run_id": run_id, "order": order, "cursor": cursor, "limit": limit}
    return Ask("GET", "/api/v1/audit/events", models.Events, query=query)


def dead_letters(
    service: str = "",
    type_: str = "",
    since: datetime | None = None,
    cursor: str = "",
    limit: int = 50,
) -> Ask[models.DeadLetters]:
    """An operator's: what services gave up, of all tenants; in the last 30 days unless said."""
    query = {"service": service, "type": type_, "from": since, "cursor": cursor, "limit": limit}
    return Ask("GET", "/api/v1/admin/dead-letters", models.DeadLetters, query=query)


def _said(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _config(config_id: str) -> dict[str, str]:
    return {"config_id": config_id}


def _days(first: date, last: date) -> dict[str, Any]:
    return {"from": first.isoformat(), "to": last.isoformat()}


def _keys(tenant_id: str) -> str:
    return "/api/v1/admin/api-keys" if tenant_id else "/api/v1/tenants/api-keys"

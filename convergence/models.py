"""What the gateway answers, as far as this client knows it; further fields are ignored."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Limits(Model):
    daily: int
    monthly: int
    concurrent: int


class Tenant(Model):
    tenant_id: str
    company_name: str
    status: str
    plan: str
    limits: Limits
    datasets: Sequence[str]
    created_at: datetime


class Tenants(Model):
    tenants: Sequence[Tenant]
    next_cursor: str | None = None


class Quota(Model):
    plan: str
    limits: Limits
    used_today: int
    used_this_month: int
    running: int
    queued: int
    day_resets_at: datetime
    month_resets_at: datetime


class NewKey(Model):
    """A key, whose text is shown this once."""

    api_key: str
    tenant_id: str
    api_key_hash: str
    last_four: str
    created_at: datetime


class Pipeline(Model):
    config_id: str
    revision: int
    source: str
    definition: dict[str, Any]
    saved_at: datetime


class Imported(Model):
    """What became of one file."""

    config_id: str
    revision: int
    action: str


class Pipelines(Model):
    configs: Sequence[Pipeline]
    next_cursor: str | None = None


class Saved(Model):
    config_id: str
    revision: int


class Started(Model):
    run_id: str
    pipeline_id: str
    status: str


class Cancelling(Model):
    run_id: str
    status: str


class Failure(Model):
    code: str
    detail: str
    step_id: str = ""


class Run(Model):
    run_id: str
    config_id: str
    revision: int
    status: str
    attempt: int
    run_date: date
    submitted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: Failure | None = None
    version: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class Runs(Model):
    runs: Sequence[Run]
    next_cursor: str | None = None


class Step(Model):
    step_id: str
    step_type: str
    attempt: int
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int
    rows: int
    bytes: int
    error: Failure | None = None


class Steps(Model):
    run_id: str
    steps: Sequence[Step]


class Check(Model):
    run_id: str
    step_id: str
    check_name: str
    status: str


class Checks(Model):
    checks: Sequence[Check]
    next_cursor: str | None = None


class Cost(Model):
    day: date | None = None
    pipeline_id: str | None = None
    runs: int
    bytes_billed: int
    cost: Decimal
    currency: str


class Costs(Model):
    costs: Sequence[Cost]
    next_cursor: str | None = None


class Event(Model):
    event_id: str
    event_type: str
    source: str
    event_time: datetime
    run_id: str = ""
    data: str


class Events(Model):
    events: Sequence[Event]
    next_cursor: str | None = None


class Ticked(Model):
    triggered_count: int
    queued_count: int
    retried_count: int
    expired_count: int

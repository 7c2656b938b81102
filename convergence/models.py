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


class Key(Model):
    """What may be known of a key."""

    api_key_hash: str
    last_four: str
    description: str
    scopes: Sequence[str]
    is_active: bool
    created_at: datetime
    expires_at: datetime | None


class Keys(Model):
    keys: Sequence[Key]


class Credential(Model):
    """What may be known of a credential: never its secret."""

    credential_id: str
    provider: str
    created_at: datetime
    updated_at: datetime


class Credentials(Model):
    credentials: Sequence[Credential]


class StoredCredential(Model):
    credential_id: str
    provider: str
    action: str
    dataset_status: str


class TriedCredential(Model):
    credential_id: str
    provider: str
    verdict: str
    detail: str = ""


class CredentialWay(Model):
    to: str
    provider: str
    fields: Sequence[str]


class CredentialNeed(Model):
    parameter: str
    required: bool
    any_of: Sequence[CredentialWay]


class Template(Model):
    template_id: str
    provider: str
    domain: str
    template: str
    version: int
    title: str
    description: str
    parameters: dict[str, Any]
    credentials: Sequence[CredentialNeed] = ()
    tables: Sequence[str] = ()
    checks: Sequence[str] = ()


class Templates(Model):
    templates: Sequence[Template]


class Fault(Model):
    pointer: str
    detail: str
    line: int | None = None
    column: int | None = None


class Checked(Model):
    valid: bool
    problems: Sequence[Fault] = ()


class PlannedStep(Model):
    step_id: str
    step_type: str
    verdict: str
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    bytes: int = 0
    price_usd: Decimal = Decimal(0)
    note: str = ""


class Plan(Model):
    config_id: str
    revision: int
    steps: Sequence[PlannedStep]
    bytes: int
    price_usd: Decimal
    allowed: bool


class Backfill(Model):
    backfill_id: str
    config_id: str
    from_date: date
    to_date: date
    only: str
    status: str
    next_date: date | None = None
    started: int = 0
    completed: int = 0
    failed: int = 0


class Backfills(Model):
    backfills: Sequence[Backfill]


class BackfillCost(Model):
    days: int
    runs: int
    left_today: int
    left_this_month: int
    expected_days: int


class Schedule(Model):
    config_id: str
    cron: str
    time_zone: str
    misfire: str
    enabled: bool
    next_run_time: datetime | None = None
    next_times: Sequence[datetime] = ()


class Schedules(Model):
    schedules: Sequence[Schedule]
    next_cursor: str | None = None


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
    pipeline_id: str | None
    status: str


class Explained(Model):
    """Why a run waits, or what it has come to."""

    run_id: str
    status: str
    blocking_limit: str = ""
    place: int = 0
    waiting: int = 0
    expected_start_at: datetime | None = None
    detail: str


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


class Charge(Model):
    """What one group cost; `group` has a value for each column it was asked by."""

    group: dict[str, str]
    currency: str
    billed_cost: Decimal
    effective_cost: Decimal
    charges: int


class Bill(Model):
    from_date: date
    to_date: date
    costs: Sequence[Charge]
    truncated: bool


class BillChange(Model):
    provider: str
    billing_account_id: str
    billing_period: date
    currency: str
    version: int
    billed_before: Decimal
    billed_after: Decimal
    billed_delta: Decimal
    period_closed: bool
    loaded_at: datetime


class BillChanges(Model):
    changes: Sequence[BillChange]


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


class DeadLetter(Model):
    given_up_at: datetime
    service: str
    subscription: str
    message_type: str = ""
    message_id: str
    tenant_id: str | None = None
    reason: str
    error: str
    attempt: int


class DeadLetters(Model):
    letters: Sequence[DeadLetter]
    next_cursor: str | None = None


class Ticked(Model):
    triggered_count: int
    queued_count: int
    retried_count: int
    expired_count: int

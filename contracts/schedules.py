"""Messages about when pipelines run by themselves."""

from enum import StrEnum

from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc


class MisfirePolicy(StrEnum):
    """What becomes of times that passed while nobody could act on them."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


class SchedulePart(Part):
    """When one pipeline runs."""

    config_id: ConfigId
    cron: str = Field(min_length=1, max_length=100)
    """Five fields, or @hourly, @daily, @weekly, @monthly, @yearly."""
    time_zone: str = Field(default="UTC", min_length=1, max_length=64)
    """An IANA name, e.g. Europe/Berlin."""
    misfire: MisfirePolicy = MisfirePolicy.RUN_ONCE
    misfire_limit: int = Field(default=10, ge=1, le=100)
    """With `run_all`: at most so many of the latest missed times."""
    jitter_seconds: int = Field(default=0, ge=0, le=3600)
    """Starts later by a fixed part of this, different for each pipeline."""
    enabled: bool = True
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    priority: int = Field(default=0, ge=-100, le=100)


class SaveScheduleV1(Command, type="schedule.save.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    schedule: SchedulePart
    requested_by: str


class ScheduleSavedV1(Event, type="schedule.saved.v1"):
    tenant_id: TenantId
    schedule: SchedulePart
    next_times: tuple[Utc, ...] = ()
    requested_by: str


class DeleteScheduleV1(Command, type="schedule.delete.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    config_id: ConfigId
    requested_by: str


class ScheduleDeletedV1(Event, type="schedule.deleted.v1"):
    tenant_id: TenantId
    config_id: ConfigId
    requested_by: str


class ScheduleMissedV1(Event, type="schedule.missed.v1"):
    """Times passed without anybody to act on them; the schedule's policy was applied."""

    tenant_id: TenantId
    config_id: ConfigId
    policy: MisfirePolicy
    first_due_at: Utc
    until: Utc
    started: int
    """How many runs made up for them."""


class AdvancedPart(Part):
    config_id: ConfigId
    last_due_at: Utc
    """The last of the times that have been acted on."""
    next_due_at: Utc | None = None


class SchedulesAdvancedV1(Event, type="schedule.advanced.v1"):
    """Times came and were acted on; of each schedule of a tenant that moved in one decision."""

    tenant_id: TenantId
    schedules: tuple[AdvancedPart, ...]


class ScheduleRowPart(Part):
    schedule: SchedulePart
    last_due_at: Utc | None = None
    next_times: tuple[Utc, ...] = ()
    """The next ten; none while it is paused."""


class ListSchedulesV1(Query, type="schedule.list.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    after: ConfigId | None = None
    limit: int = Field(default=50, ge=1, le=200)


class ScheduleListV1(Reply, type="schedule.page.v1"):
    tenant_id: TenantId
    schedules: tuple[ScheduleRowPart, ...]
    next_after: ConfigId | None = None

"""What the views of things must say: what was said last of each field, in order."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from contracts.credentials import CredentialDeletedV1, CredentialStoredV1
from contracts.envelope import Envelope
from contracts.keys import KeyIssuedV1, KeyRevokedV1, KeyRotatedV1
from contracts.message import Message
from contracts.pipelines import ConfigDeletedV1, ConfigSavedV1
from contracts.schedules import ScheduleDeletedV1, SchedulesAdvancedV1, ScheduleSavedV1
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)

Said = Sequence[tuple[Envelope, Message]]
Row = dict[str, Any]
Rows = dict[Any, Row]


def _folded(said: Said, of: Callable[[Message], Iterable[tuple[Any, Row]]]) -> Rows:
    """Of each thing, the newest that was said of each field."""
    found: defaultdict[Any, Row] = defaultdict(dict)
    for _, message in said:
        for key, row in of(message):
            found[key] |= {name: value for name, value in row.items() if value is not None}
    return found


def _rows(found: Rows, columns: Sequence[str]) -> list[Row]:
    return [dict.fromkeys(columns) | row for row in found.values()]


def profiles(said: Said) -> list[Row]:
    def of(message: Message) -> Iterable[tuple[Any, Row]]:
        match message:
            case TenantOnboardedV1(tenant_id=tenant):
                names = ("company_name", "admin_email", "description", "created_at")
                known = {name: getattr(message, name) for name in names}
                yield tenant, {"tenant_id": tenant, **known, "status": "ACTIVE"}
            case TenantSuspendedV1(tenant_id=tenant):
                yield tenant, {"status": "SUSPENDED"}
            case TenantResumedV1(tenant_id=tenant):
                yield tenant, {"status": "ACTIVE"}
            case TenantOffboardedV1(tenant_id=tenant):
                yield tenant, {"status": "OFFBOARDED"}

    return list(_folded(said, of).values())


def plans(said: Said) -> Rows:
    def of(message: Message) -> Iterable[tuple[Any, Row]]:
        match message:
            case TenantOnboardedV1() | PlanChangedV1():
                yield (
                    message.tenant_id,
                    {
                        "tenant_id": message.tenant_id,
                        "plan_name": message.plan,
                        "status": "ACTIVE",
                        "daily_limit": message.limits.daily,
                        "monthly_limit": message.limits.monthly,
                        "concurrent_limit": message.limits.concurrent,
                    },
                )
            case TenantOffboardedV1():
                yield message.tenant_id, {"status": "ENDED"}

    return _folded(said, of)


def subscriptions(said: Said) -> list[Row]:
    return list(plans(said).values())


KEY_COLUMNS = ("tenant_id", "api_key_hash", "last_four", "scopes", "created_at", "created_by")


def keys(said: Said) -> list[Row]:
    def of(message: Message) -> Iterable[tuple[Any, Row]]:
        match message:
            case KeyIssuedV1() | KeyRotatedV1():
                if isinstance(message, KeyRotatedV1):
                    yield message.old_key_hash, {"expires_at": message.overlap_until}
                yield (
                    message.key.key_hash,
                    {
                        "tenant_id": message.tenant_id,
                        "api_key_hash": message.key.key_hash,
                        "last_four": message.key.last_four,
                        "scopes": ",".join(message.key.scopes),
                        "created_at": message.created_at,
                        "created_by": message.requested_by,
                    },
                )
            case KeyRevokedV1():
                yield message.key_hash, {"revoked_at": message.revoked_at}

    return _rows(_folded(said, of), (*KEY_COLUMNS, "expires_at", "revoked_at"))


def credentials(said: Said) -> list[Row]:
    def of(message: Message) -> Iterable[tuple[Any, Row]]:
        match message:
            case CredentialStoredV1() | CredentialDeletedV1():
                about = {"tenant_id": message.tenant_id, "credential_id": message.credential_id}
                provider = getattr(message, "provider", None)
                known = {"provider": provider and provider.value, "is_active": provider is not None}
                yield tuple(about.values()), {**about, **known}

    columns = ("tenant_id", "credential_id", "provider", "is_active")
    return _rows(_folded(said, of), columns)


CONFIG_COLUMNS = (
    *("tenant_id", "config_id", "pipeline_yaml", "name", "revision", "is_active", "saved_by"),
    *("cron", "time_zone", "next_run_time"),
)


UNSCHEDULED: Row = {
    "cron": None,
    "time_zone": None,
    "next_run_time": None,
    "is_scheduled": False,
}


def configs(said: Said) -> list[Row]:
    found: defaultdict[Any, Row] = defaultdict(lambda: {"is_scheduled": False})
    for _, message in said:
        for config_id, row in _of_configs(message):
            about = {"tenant_id": message.scope, "config_id": config_id}
            found[tuple(about.values())] |= {**about, **row}
    return _rows(found, CONFIG_COLUMNS)


def _of_configs(message: Message) -> Iterable[tuple[str, Row]]:
    match message:
        case ConfigSavedV1():
            known = {"pipeline_yaml": message.source, "name": message.definition.name}
            by = {"revision": message.revision, "saved_by": message.requested_by}
            yield message.config_id, {**known, **by, "is_active": True}
        case ConfigDeletedV1():
            yield message.config_id, {"is_active": False}
        case ScheduleSavedV1(schedule=schedule):
            times = {"cron": schedule.cron, "time_zone": schedule.time_zone}
            row = {**times, "next_run_time": message.next_times[0], "is_scheduled": True}
            yield schedule.config_id, row
        case ScheduleDeletedV1():
            yield message.config_id, UNSCHEDULED
        case SchedulesAdvancedV1():
            for one in message.schedules:
                yield one.config_id, {"next_run_time": one.next_due_at}

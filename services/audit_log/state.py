"""What a message says of the things that tenants have: pure translations to rows."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from contracts.credentials import CredentialDeletedV1, CredentialStoredV1
from contracts.envelope import Envelope
from contracts.keys import KeyIssuedV1, KeyPart, KeyRevokedV1, KeyRotatedV1
from contracts.message import Message
from contracts.pipelines import ConfigDeletedV1, ConfigSavedV1
from contracts.schedules import (
    AdvancedPart,
    ScheduleDeletedV1,
    SchedulesAdvancedV1,
    ScheduleSavedV1,
)
from contracts.tenants import (
    LimitsPart,
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantStatus,
    TenantSuspendedV1,
)

Said = tuple[str, str, Mapping[str, Any]]
"""Subject, its id, and what is now known of it."""


def state_rows(envelope: Envelope, message: Message, now: datetime) -> list[dict[str, Any]]:
    """A row for each thing that the message is about; none for most messages."""
    return [
        {
            "event_id": envelope.id,
            "event_time": envelope.time,
            "tenant_id": envelope.tenant_id,
            "subject": subject,
            "subject_id": subject_id,
            "sequence": envelope.sequence,
            "data": json.dumps(data, default=str),
            "recorded_at": now,
        }
        for subject, subject_id, data in _said(message)
    ]


def _said(message: Message) -> Iterator[Said]:
    match message:
        case (
            TenantOnboardedV1()
            | TenantSuspendedV1()
            | TenantResumedV1()
            | TenantOffboardedV1()
            | PlanChangedV1()
        ):
            yield from _of_tenant(message)
        case KeyIssuedV1() | KeyRotatedV1() | KeyRevokedV1():
            yield from _of_key(message)
        case CredentialStoredV1():
            yield (
                "credential",
                message.credential_id,
                {"provider": message.provider, "is_active": True},
            )
        case CredentialDeletedV1():
            yield "credential", message.credential_id, {"is_active": False}
        case ConfigSavedV1():
            yield "config", message.config_id, _saved(message)
        case ScheduleSavedV1():
            yield "config", message.schedule.config_id, _scheduled(message)
        case ScheduleDeletedV1():
            yield "config", message.config_id, _NOT_SCHEDULED
        case SchedulesAdvancedV1():
            yield from (("schedule", one.config_id, _advanced(one)) for one in message.schedules)
        case ConfigDeletedV1():
            yield "config", message.config_id, {"is_active": False}
        case _:
            return


def _of_tenant(
    message: TenantOnboardedV1
    | TenantSuspendedV1
    | TenantResumedV1
    | TenantOffboardedV1
    | PlanChangedV1,
) -> Iterator[Said]:
    tenant = message.tenant_id
    match message:
        case TenantOnboardedV1():
            profile = message.model_dump(
                mode="json", include={"company_name", "admin_email", "description", "created_at"}
            )
            yield "tenant", tenant, {**profile, "status": TenantStatus.ACTIVE}
            yield "subscription", tenant, _plan(message.plan, message.limits)
        case PlanChangedV1():
            yield "subscription", tenant, _plan(message.plan, message.limits)
        case TenantSuspendedV1():
            yield "tenant", tenant, {"status": TenantStatus.SUSPENDED}
        case TenantResumedV1():
            yield "tenant", tenant, {"status": TenantStatus.ACTIVE}
        case TenantOffboardedV1():
            yield "tenant", tenant, {"status": TenantStatus.OFFBOARDED}
            yield "subscription", tenant, {"status": "ENDED"}


def _plan(plan: str, limits: LimitsPart) -> dict[str, Any]:
    return {
        "plan_name": plan,
        "status": "ACTIVE",
        "daily_limit": limits.daily,
        "monthly_limit": limits.monthly,
        "concurrent_limit": limits.concurrent,
        "max_team": limits.max_team,
    }


def _of_key(message: KeyIssuedV1 | KeyRotatedV1 | KeyRevokedV1) -> Iterator[Said]:
    if isinstance(message, KeyRevokedV1):
        yield "key", message.key_hash, {"revoked_at": message.revoked_at.isoformat()}
        return
    if isinstance(message, KeyRotatedV1):
        yield "key", message.old_key_hash, {"expires_at": message.overlap_until.isoformat()}
    yield "key", message.key.key_hash, _key(message.key, message.created_at, message.requested_by)


def _key(key: KeyPart, created_at: datetime, by: str) -> dict[str, Any]:
    return {
        "last_four": key.last_four,
        "description": key.description,
        "scopes": ",".join(key.scopes),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "created_at": created_at.isoformat(),
        "created_by": by,
    }


_NOT_SCHEDULED = {"cron": "", "time_zone": "", "is_scheduled": False, "next_run_time": ""}


def _scheduled(message: ScheduleSavedV1) -> dict[str, Any]:
    schedule = message.schedule
    return {
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "is_scheduled": schedule.enabled,
        "next_run_time": message.next_times[0].isoformat() if message.next_times else "",
    }


def _advanced(schedule: AdvancedPart) -> dict[str, Any]:
    following = schedule.next_due_at
    return {"next_run_time": following.isoformat() if following else ""}


def _saved(message: ConfigSavedV1) -> dict[str, Any]:
    return {
        "pipeline_yaml": message.source,
        "name": message.definition.name,
        "revision": message.revision,
        "is_active": True,
        "saved_by": message.requested_by,
    }

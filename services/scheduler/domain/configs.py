"""Definitions and their revisions."""

from datetime import datetime

from contracts.identifiers import ConfigId, TenantId
from contracts.pipelines import (
    ConfigDeletedV1,
    ConfigPart,
    ConfigSavedV1,
    DeleteConfigV1,
    SaveConfigV1,
)
from services.scheduler.domain.deciding import KeepConfig, Outcome, Rules, check_known, refuse
from services.scheduler.domain.facts import ConfigDropped, ConfigKept
from services.scheduler.domain.ledger import Ledger

MOST_CONFIGS = 1_000


def keep_config(state: Ledger, message: KeepConfig, now: datetime, _: Rules) -> Outcome:
    command = message.command
    check_known(state, command.tenant_id)
    current = state.configs.get(command.config_id)
    if wrong := _wrong_revision(command, current):
        return wrong
    if current is None and len(state.configs) >= MOST_CONFIGS:
        detail = f"at most {MOST_CONFIGS} configs; delete one first"
        return refuse(command.tenant_id, "too_many_configs", detail)
    config = ConfigPart(
        config_id=command.config_id,
        revision=state.revisions.get(command.config_id, 0) + 1,
        source=command.source,
        definition=message.definition,
        saved_at=now,
        saved_by=command.requested_by,
    )
    event = ConfigSavedV1(
        tenant_id=command.tenant_id,
        config_id=config.config_id,
        revision=config.revision,
        source=config.source,
        definition=config.definition,
        requested_by=command.requested_by,
    )
    return (ConfigKept(config=config),), (event,)


def delete_config(state: Ledger, command: DeleteConfigV1, _: datetime, __: Rules) -> Outcome:
    current = state.configs.get(command.config_id)
    if current is None:
        return _no_config(command.tenant_id, command.config_id)
    if wrong := _wrong_revision(command, current):
        return wrong
    event = ConfigDeletedV1(
        tenant_id=command.tenant_id,
        config_id=command.config_id,
        revision=current.revision,
        requested_by=command.requested_by,
    )
    return (ConfigDropped(config_id=command.config_id),), (event,)


def _wrong_revision(
    command: SaveConfigV1 | DeleteConfigV1, current: ConfigPart | None
) -> Outcome | None:
    found = current.revision if current else 0
    if command.if_revision is None or command.if_revision == found:
        return None
    detail = (
        f"{command.config_id} is at revision {found}, not {command.if_revision}: "
        "read it again and repeat your change"
    )
    return refuse(command.tenant_id, "revision_conflict", detail)


def _no_config(tenant: TenantId, config_id: ConfigId) -> Outcome:
    return refuse(tenant, "config_not_found", f"there is no pipeline {config_id}")

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
from services.scheduler.domain.backfills import drop_backfills
from services.scheduler.domain.deciding import (
    KeepConfig,
    Outcome,
    Rules,
    Working,
    check_known,
    refuse,
)
from services.scheduler.domain.facts import ConfigDropped, ConfigKept
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.schedules import drop_schedule

MOST_CONFIGS = 1_000
MOST_NAMES = 2_000
"""Also of definitions that were deleted: their numbers must not be used again."""
MOST_BYTES = 16 << 20
"""Of all definitions of one tenant: its whole ledger is kept in memory."""


def keep_config(state: Ledger, message: KeepConfig, now: datetime, rules: Rules) -> Outcome:
    command = message.command
    check_known(state, command.tenant_id)
    current = state.configs.get(command.config_id)
    if wrong := _wrong_revision(command, current) or _too_much(state, command, rules):
        return wrong
    config = ConfigPart(
        config_id=command.config_id,
        revision=state.last_revision(command.config_id) + 1,
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


def delete_config(state: Ledger, command: DeleteConfigV1, now: datetime, rules: Rules) -> Outcome:
    """The definition goes with its schedule and backfills; its revisions can still be read."""
    tenant, name = command.tenant_id, command.config_id
    current = state.configs.get(name)
    if current is None:
        return no_config(tenant, name)
    if wrong := _wrong_revision(command, current):
        return wrong
    event = ConfigDeletedV1(
        tenant_id=tenant,
        config_id=name,
        revision=current.revision,
        requested_by=command.requested_by,
    )
    work = Working(state, now, rules)
    work.take(((ConfigDropped(config_id=name, at=now),), (event,)))
    work.take(drop_schedule(work.state, tenant, name, command.requested_by))
    work.take(drop_backfills(work.state, tenant, name, now))
    return work.outcome


def no_config(tenant: TenantId, config_id: ConfigId) -> Outcome:
    return refuse(tenant, "config_not_found", f"there is no pipeline {config_id}")


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


def _too_much(state: Ledger, command: SaveConfigV1, rules: Rules) -> Outcome | None:
    if command.config_id not in state.history and len(state.history) >= MOST_NAMES:
        detail = (
            f"{MOST_NAMES:,} names of pipelines are in use, those that were deleted in the last "
            f"{rules.keep_days} days among them; save it under a name that you have used before"
        )
        return refuse(command.tenant_id, "too_many_configs", detail)
    others = [c for name, c in state.configs.items() if name != command.config_id]
    if len(others) >= MOST_CONFIGS:
        detail = f"at most {MOST_CONFIGS} configs; delete one first"
        return refuse(command.tenant_id, "too_many_configs", detail)
    sources = [command.source, *(one.source for one in others)]
    if sum(len(source.encode()) for source in sources) > MOST_BYTES:
        detail = f"all definitions together may have {MOST_BYTES >> 20} MiB; delete one first"
        return refuse(command.tenant_id, "too_many_configs", detail)
    return None

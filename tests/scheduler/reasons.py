"""Where each thing that the scheduler says has its reason, and which reasons there are."""

import re
from collections.abc import Callable
from typing import Any

from contracts.backfills import BackfillChangedV1, BackfillStartedV1
from contracts.message import Message
from contracts.pipelines import ConfigDeletedV1, ConfigSavedV1
from contracts.platform import CommandRefusedV1
from contracts.quota import QuotaReachedV1
from contracts.runs import (
    RunCancelRequestedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
)
from contracts.schedules import (
    ScheduleDeletedV1,
    ScheduleMissedV1,
    SchedulesAdvancedV1,
    ScheduleSavedV1,
)

SOMEBODY = "test|admin|operator"
FULL = r"\d+ runs are going on, as many as the plan allows"
TURN = "and it is its turn in the queue"
UUID = "[0-9a-f-]{36}"

REASONS: dict[type[Message], tuple[Callable[[Any], str], str]] = {
    RunRequestedV1: (
        lambda said: said.reason,
        (
            rf"a slot is free(, {TURN})?|the platform has a place for it, {TURN}"
            r"|attempt \d+ was (silent for \d+ s|given back by an executor that stops or is full)"
        ),
    ),
    RunQueuedV1: (lambda said: said.reason, rf"{FULL}|it waits for a place on the platform"),
    RunRejectedV1: (
        lambda said: f"{said.code}: {said.reason}",
        (
            r"quota_exceeded: the (daily|monthly) limit of \d+ runs is used up; it resets at \S+"
            r"|queue_full: \d+ runs wait already; try again when some have ended"
            rf"|queue_full: {FULL}, and none may wait; try again when one has ended"
            r"|config_not_found: there is no pipeline \w+; save it first"
            r"|tenant_suspended: the tenant is suspended"
        ),
    ),
    RunFinishedV1: (
        lambda said: said.reason,
        (
            r"attempt \d+ ended as (COMPLETED|FAILED|CANCELLED)"
            rf"|({SOMEBODY}) cancelled it before it began|the tenant is gone"
            r"|its cancellation was asked for, and its executor (is silent|gave it back)"
            r"|its cancellation was asked for, and no executor could be asked to run it"
            r"|the run was lost \d+ times by the platform and is not charged"
            r"|no executor could be asked to run it: its request was refused, .+"
            r"|it waited for more than \d+ days, and is given up"
        ),
    ),
    RunCancelRequestedV1: (lambda said: said.requested_by, f"{SOMEBODY}|offboarding"),
    QuotaReachedV1: (lambda said: f"{said.percent} % of {said.limit}", r"(80|100) % of \w+ly"),
    ConfigSavedV1: (lambda said: said.requested_by, SOMEBODY),
    ConfigDeletedV1: (lambda said: said.requested_by, SOMEBODY),
    ScheduleSavedV1: (lambda said: said.requested_by, SOMEBODY),
    ScheduleDeletedV1: (lambda said: said.requested_by, SOMEBODY),
    ScheduleMissedV1: (lambda said: said.policy, "skip|run_once|run_all"),
    SchedulesAdvancedV1: (lambda said: said.tenant_id, r"\w+"),
    BackfillStartedV1: (lambda said: said.requested_by, SOMEBODY),
    BackfillChangedV1: (
        lambda said: f"{said.backfill.status} {said.requested_by}",
        f"COMPLETED |(ACTIVE|PAUSED|CANCELLED) ({SOMEBODY})|CANCELLED the pipeline goes",
    ),
    CommandRefusedV1: (
        lambda said: f"{said.code}: {said.detail}",
        (
            rf"run_exists: run {UUID} was submitted before"
            rf"|run_not_found: (there is no run {UUID}|the scheduler knows of no run {UUID}: .+)"
            rf"|run_not_ended: run {UUID} (goes on; cancel it first|has not ended; .+)"
            rf"|run_ended: run {UUID} is (COMPLETED|FAILED|CANCELLED) already"
            rf"|definition_gone: revision \d+ of \w+, which run {UUID} was of, is no .+"
            r"|(config_not_found: there is no pipeline \w+(; save it first)?)"
            r"|schedule_not_found: pipeline \w+ has no schedule"
            rf"|backfill_not_found: there is no backfill {UUID}"
            rf"|backfill_ended: backfill {UUID} is (COMPLETED|CANCELLED) already"
            r"|backfill_exists: this backfill was started before"
        ),
    ),
}


def has_known_reason(said: Message) -> bool:
    """Also false of a message of which nobody has said where its reason is."""
    read, known = REASONS.get(type(said), (str, "(?!)"))
    return re.fullmatch(known, read(said)) is not None

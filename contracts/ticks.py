"""What Cloud Scheduler says, each minute and each day.

It can send only a fixed body, so a tick says which job is due and its time is
the time it was published. The gateway's maintenance endpoints send the same.
"""

from enum import StrEnum

from contracts.message import Command, Kind, Reply, Service


class TickJob(StrEnum):
    TRIGGER = "trigger"
    """Start what is due and give up attempts whose lease has ended."""
    QUEUE = "queue"
    """Start what waits in the queue, as far as slots are free."""
    DAILY = "daily"
    """Drop what has outlived its retention."""


class TickV1(Command, type="tick.v1", to=Service.SCHEDULER):
    job: TickJob


class TickAppliedV1(Reply, type="tick.applied.v1"):
    job: TickJob
    triggered_count: int = 0
    """Runs of schedules and backfills that were admitted; those over a limit do not count."""
    queued_count: int = 0
    """Runs that had waited and began."""
    retried_count: int = 0
    """Runs that an executor had lost and that were requested again."""
    expired_count: int = 0
    """Ended runs, backfills and deleted pipelines that are no longer remembered."""


def fixed_attributes() -> dict[str, str]:
    """What Cloud Scheduler sends: the same each time, so neither an id nor a time."""
    return {
        "ce-specversion": "1.0",
        "ce-type": TickV1.wire_type,
        "ce-kind": Kind.COMMAND.value,
        "ce-source": Service.TICKS.value,
        "ce-to": TickV1.to,
        "content-type": "application/json",
    }

"""What Cloud Scheduler says, each minute and each day.

It can send only a fixed body, so a tick says which job is due and its time is
the time it was published. The gateway's maintenance endpoints send the same.
"""

from enum import StrEnum

from contracts.message import Command, Reply, Service


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
    queued_count: int = 0
    retried_count: int = 0
    expired_count: int = 0

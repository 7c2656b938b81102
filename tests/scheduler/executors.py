"""What executors say of the attempts that they hear of: early, late, twice, or never."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.envelope import Wire
from contracts.message import Message
from contracts.runs import (
    PLATFORM_FAULTS,
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    ErrorPart,
    RunCancelRequestedV1,
    RunFinishedV1,
    RunRequestedV1,
    RunStatus,
)

LOST, VANISHES, LATE = 0.15, 0.05, 0.15


class Executors:
    """All of them together; each attempt that they take up is worked on for some steps."""

    def __init__(self, chance: random.Random, published: Mapping[str, Wire]) -> None:
        self.known: list[RunRequestedV1] = []
        self.ended: list[RunFinishedV1] = []
        self._chance = chance
        self._published = published
        self._heard: set[str] = set()
        self._busy: list[RunRequestedV1] = []
        self._cancelled: set[tuple[str, int]] = set()
        self._late: list[Message] = []

    def say(self, now: datetime, *, calm: bool = False) -> list[Message]:
        """What is heard now; when all is calm nothing is lost, and all that has begun ends."""
        said, self._late = self._late, []
        said += self._hear(now, 0.0 if calm else LOST)
        for request in self._busy[:]:
            said += self._work_on(request, now, calm=calm)
        if calm:
            return said
        punctual: list[Message] = []
        for message in said:
            (self._late if self._chance.random() < LATE else punctual).append(message)
        return punctual

    def _hear(self, now: datetime, lost: float) -> list[Message]:
        said: list[Message] = []
        for id_, wire in list(self._published.items()):
            kind = wire.attributes["ce-type"]
            if id_ in self._heard:
                continue
            self._heard.add(id_)
            if kind == RunCancelRequestedV1.wire_type:
                asked = RunCancelRequestedV1.decode(wire.data)
                self._cancelled.add((asked.run_id, asked.attempt))
            elif kind == RunFinishedV1.wire_type:
                self.ended.append(RunFinishedV1.decode(wire.data))
            elif kind == RunRequestedV1.wire_type:
                request = RunRequestedV1.decode(wire.data)
                self.known.append(request)
                if self._chance.random() >= lost:
                    self._busy.append(request)
                    said.append(_started(request, now))
        return said

    def _work_on(self, request: RunRequestedV1, now: datetime, *, calm: bool) -> list[Message]:
        luck = self._chance.random()
        if not calm and luck < VANISHES:
            self._busy.remove(request)
            return []
        if not calm and luck < 0.4:
            return [AttemptHeartbeatV1(**_about(request))] if luck < 0.3 else []
        self._busy.remove(request)
        if not calm and luck < 0.5:
            return [AttemptReturnedV1(**_about(request))]
        status = RunStatus.COMPLETED if self._chance.random() < 0.8 else RunStatus.FAILED
        if (request.run_id, request.attempt) in self._cancelled:
            status = RunStatus.CANCELLED
        return [
            AttemptFinishedV1(
                **_about(request),
                status=status,
                started_at=request.submitted_at,
                finished_at=now,
                error=self._error() if status is RunStatus.FAILED else None,
            )
        ]

    def _error(self) -> ErrorPart:
        """Of the tenant's, or of the platform's."""
        code = self._chance.choice(["invalid_query", "invalid_query", *sorted(PLATFORM_FAULTS)])
        return ErrorPart(code=code, detail="it failed")


def _started(request: RunRequestedV1, now: datetime) -> AttemptStartedV1:
    return AttemptStartedV1(
        **_about(request), config_id=request.config_id, steps=("make",), started_at=now
    )


def _about(request: RunRequestedV1) -> dict[str, Any]:
    return {
        "tenant_id": request.tenant_id,
        "run_id": request.run_id,
        "attempt": request.attempt,
    }

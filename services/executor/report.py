"""The messages by which an attempt tells how it goes."""

import time
from datetime import datetime

from contracts.message import Event
from contracts.pipelines import StepPart
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    ErrorPart,
    RunRequestedV1,
    RunStatus,
)
from contracts.steps import StepCompletedV1, StepProgressedV1, StepStartedV1, StepStatus
from libs.clock import Clock
from services.executor.outbox import Outbox
from services.executor.steps.step import StepError
from services.executor.tries import StepEnd

PROGRESS_SECONDS = 1.0
LONGEST_DETAIL = 2000
LONGEST_NOTE = 200


class Report:
    """For one attempt."""

    def __init__(self, request: RunRequestedV1, outbox: Outbox, clock: Clock) -> None:
        self._request = request
        self._outbox = outbox
        self._clock = clock
        self._began = clock()
        self._beats = 0
        self._error: ErrorPart | None = None

    def started(self) -> None:
        request, self._began = self._request, self._clock()
        self._outbox.put(
            "started",
            AttemptStartedV1(
                tenant_id=request.tenant_id,
                run_id=request.run_id,
                config_id=request.config_id,
                attempt=request.attempt,
                steps=tuple(step.step_id for step in request.definition.steps),
                started_at=self._began,
            ),
        )

    def heartbeat(self) -> None:
        request = self._request
        self._beats += 1
        if not self._outbox.lags:
            beat = AttemptHeartbeatV1(
                tenant_id=request.tenant_id, run_id=request.run_id, attempt=request.attempt
            )
            self._outbox.put(f"heartbeat/{self._beats}", beat)

    def returned(self) -> None:
        request = self._request
        event = AttemptReturnedV1(
            tenant_id=request.tenant_id, run_id=request.run_id, attempt=request.attempt
        )
        self._outbox.put("returned", event)

    def finished(self, status: RunStatus) -> None:
        request = self._request
        self._outbox.put(
            "finished",
            AttemptFinishedV1(
                tenant_id=request.tenant_id,
                run_id=request.run_id,
                attempt=request.attempt,
                status=status,
                started_at=self._began,
                finished_at=self._clock(),
                error=self._error,
            ),
        )

    def step_started(self, step: StepPart) -> datetime:
        request, started = self._request, self._clock()
        self._outbox.put(
            f"{step.step_id}/started",
            StepStartedV1(
                tenant_id=request.tenant_id,
                run_id=request.run_id,
                attempt=request.attempt,
                step_id=step.step_id,
                step_type=step.type,
                started_at=started,
            ),
        )
        return started

    def step_ended(self, step: StepPart, end: StepEnd, started: datetime | None) -> StepCompletedV1:
        request, ended = self._request, self._clock()
        error = _error_part(step, end.error)
        if end.status is StepStatus.FAILED:
            self._error = self._error or error
        said = StepCompletedV1(
            tenant_id=request.tenant_id,
            run_id=request.run_id,
            attempt=request.attempt,
            step_id=step.step_id,
            step_type=step.type,
            status=end.status,
            started_at=started,
            finished_at=ended,
            duration_ms=int((ended - started).total_seconds() * 1000) if started else 0,
            rows=end.result.rows,
            bytes=end.result.bytes,
            job_ids=end.result.job_ids,
            error=error,
            tries=end.tries,
            slot_ms=end.result.slot_ms,
        )
        self.step_kept(said)
        return said

    def step_kept(self, said: StepCompletedV1) -> None:
        """Say it, or say again what an earlier attempt said, in case it was cut short."""
        self._outbox.put(f"{said.step_id}/completed", said, attempt=said.attempt)

    def of_step(self, step: StepPart) -> "StepTeller":
        return StepTeller(self._request, step, self._outbox)


class StepTeller:
    """What one step says of itself, thinned out."""

    def __init__(self, request: RunRequestedV1, step: StepPart, outbox: Outbox) -> None:
        self._request = request
        self._step_id = step.step_id
        self._outbox = outbox
        self._next = time.monotonic() + PROGRESS_SECONDS
        self._told = 0
        self._fraction: float | None = None
        """The furthest told: what is left may turn out to be more, and a bar does not go back."""

    def progress(
        self, *, rows: int = 0, bytes_: int = 0, fraction: float | None = None, note: str = ""
    ) -> None:
        if time.monotonic() < self._next or self._outbox.lags:
            return
        if fraction is not None:
            self._fraction = max(fraction, self._fraction or 0.0)
        self._next = time.monotonic() + PROGRESS_SECONDS
        self._told += 1
        event = StepProgressedV1(
            tenant_id=self._request.tenant_id,
            run_id=self._request.run_id,
            attempt=self._request.attempt,
            step_id=self._step_id,
            rows=rows,
            bytes=bytes_,
            fraction=self._fraction,
            note=note[:LONGEST_NOTE],
        )
        self.say(f"progress/{self._told}", event)

    def say(self, what: str, event: Event) -> None:
        self._outbox.put(f"{self._step_id}/{what}", event)


def _error_part(step: StepPart, error: StepError | None) -> ErrorPart | None:
    if error is None:
        return None
    return ErrorPart(
        code=error.code, detail=error.detail[:LONGEST_DETAIL], step_id=str(step.step_id)
    )

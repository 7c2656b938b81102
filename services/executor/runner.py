"""Runs one attempt: steps as their needs are met, a heartbeat, and a report of each."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from contracts.envelope import Envelope
from contracts.message import Message
from contracts.pipelines import StepPart
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptStartedV1,
    ErrorPart,
    RunRequestedV1,
    RunStatus,
)
from contracts.steps import StepCompletedV1, StepStartedV1, StepStatus
from libs.bus.message import Outgoing
from libs.clock import Clock
from services.executor.dag import Dag
from services.executor.steps.step import (
    StepError,
    StepResult,
    StepRetryError,
    StepRun,
    StepType,
)

LOG = logging.getLogger(__name__)
NAMESPACE = uuid5(NAMESPACE_URL, "convergence/executor")
TRIES = 3
FIRST_PAUSE = 0.5


class Sender(Protocol):
    """What is used of the bus's publisher."""

    async def send(self, *emits: Outgoing, cause: Envelope | None = None) -> object: ...


@dataclass(slots=True)
class Progress:
    """What has been said of the attempt so far; the order of what is said."""

    sequence: int = 0
    error: ErrorPart | None = None


class Attempt:
    """One attempt at one run. `run` is called once."""

    def __init__(  # noqa: PLR0913  what an attempt is made of
        self,
        request: RunRequestedV1,
        cause: Envelope,
        sender: Sender,
        types: Mapping[str, StepType],
        clock: Clock,
        *,
        parallel: int,
    ) -> None:
        self.request = request
        self._cause = cause
        self._sender = sender
        self._types = types
        self._clock = clock
        self._gate = asyncio.Semaphore(parallel)
        self._progress = Progress()
        self._cancelled = asyncio.Event()
        self._running: dict[str, StepRun] = {}

    async def cancel(self) -> None:
        """Stop: nothing new begins, and what goes on in BigQuery is ended."""
        self._cancelled.set()
        for given in list(self._running.values()):
            await self._types[given.step.type].cancel(given)

    async def run(self) -> None:
        """Report the start, each step and the end. Raises nothing but cancellation."""
        started = self._clock()
        request = self.request
        await self._say(
            "started",
            AttemptStartedV1(
                tenant_id=request.tenant_id,
                run_id=request.run_id,
                config_id=request.config_id,
                attempt=request.attempt,
                steps=tuple(step.step_id for step in request.definition.steps),
                started_at=started,
            ),
        )
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            dag = await self._steps(Dag.of(request.definition))
        finally:
            heartbeat.cancel()
        await self._report_end(started, dag.outcome)

    async def _report_end(self, started: datetime, status: RunStatus) -> None:
        await self._say(
            "finished",
            AttemptFinishedV1(
                tenant_id=self.request.tenant_id,
                run_id=self.request.run_id,
                attempt=self.request.attempt,
                status=status,
                started_at=started,
                finished_at=self._clock(),
                error=self._progress.error,
            ),
        )

    async def _steps(self, dag: Dag) -> Dag:
        """Start what is ready, take in what has ended, until nothing is left."""
        tasks: dict[asyncio.Task[StepStatus], StepPart] = {}
        try:
            while not dag.is_over:
                for step in [] if self._cancelled.is_set() else dag.ready:
                    dag = dag.with_step(step.step_id, StepStatus.RUNNING)
                    tasks[asyncio.create_task(self._step(step))] = step
                if not tasks:
                    return await self._give_up(dag)
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    dag = dag.with_step(tasks.pop(task).step_id, task.result())
        finally:
            for task in tasks:
                task.cancel()
        return dag

    async def _give_up(self, dag: Dag) -> Dag:
        """Steps that will never run are skipped, or cancelled with the run."""
        cancelled = self._cancelled.is_set() and not dag.stopped
        status = StepStatus.CANCELLED if cancelled else StepStatus.SKIPPED
        for step in dag.definition.steps:
            if step.step_id not in dag.states:
                await self._say_completed(step, status, None, StepResult(), None)
                dag = dag.with_step(step.step_id, status)
        return dag

    async def _step(self, step: StepPart) -> StepStatus:
        async with self._gate:
            started = self._clock()
            await self._say_started(step, started)
            result, error = StepResult(), None
            try:
                async with asyncio.timeout(step.timeout_seconds):
                    result = await self._try(step)
                status = StepStatus.COMPLETED
            except TimeoutError:
                await self._stop_job(step)
                detail = f"step {step.step_id} took longer than {step.timeout_seconds} s"
                error = StepError("timeout", detail)
                status = StepStatus.FAILED
            except StepError as failure:
                error = failure
                status = StepStatus.CANCELLED if self._cancelled.is_set() else StepStatus.FAILED
            finally:
                self._running.pop(step.step_id, None)
            await self._say_completed(step, status, started, result, error)
            return status

    async def _try(self, step: StepPart) -> StepResult:
        type_ = self._types.get(step.type)
        if type_ is None:
            known = ", ".join(self._types)
            raise StepError(
                "unknown_step_type", f"step {step.step_id}: {step.type!r} is none of {known}"
            )
        for number in range(1, TRIES + 1):
            given = StepRun(self.request, step, number)
            self._running[step.step_id] = given
            try:
                return await self._guarded(type_, given)
            except StepRetryError as error:
                if number == TRIES or self._cancelled.is_set():
                    raise
                LOG.warning("try %d of step %s: %s", number, step.step_id, error)
            await asyncio.sleep(FIRST_PAUSE * 2 ** (number - 1))
        raise AssertionError  # the last try has returned or raised

    async def _guarded(self, type_: StepType, given: StepRun) -> StepResult:
        """A fault of ours must end the step with an error, not the executor."""
        try:
            return await type_.run(given)
        except StepError:
            raise
        except Exception as error:
            LOG.exception("step %s failed unexpectedly", given.step.step_id)
            detail = f"step {given.step.step_id} failed for a reason on our side"
            raise StepError("internal_error", detail) from error

    async def _stop_job(self, step: StepPart) -> None:
        given = self._running.get(step.step_id)
        if given is not None:
            await self._types[step.type].cancel(given)

    async def _heartbeat(self) -> None:
        request = self.request
        while True:
            await asyncio.sleep(request.lease_seconds / 3)
            await self._say(
                f"heartbeat/{self._progress.sequence}",
                AttemptHeartbeatV1(
                    tenant_id=request.tenant_id, run_id=request.run_id, attempt=request.attempt
                ),
            )

    async def _say_started(self, step: StepPart, started: datetime) -> None:
        await self._say(
            f"{step.step_id}/started",
            StepStartedV1(
                tenant_id=self.request.tenant_id,
                run_id=self.request.run_id,
                attempt=self.request.attempt,
                step_id=step.step_id,
                step_type=step.type,
                started_at=started,
            ),
        )

    async def _say_completed(
        self,
        step: StepPart,
        status: StepStatus,
        started: datetime | None,
        result: StepResult,
        error: StepError | None,
    ) -> None:
        ended = self._clock()
        part = _error_part(step, error)
        if part is not None and status is StepStatus.FAILED:
            self._progress.error = self._progress.error or part
        await self._say(
            f"{step.step_id}/completed",
            StepCompletedV1(
                tenant_id=self.request.tenant_id,
                run_id=self.request.run_id,
                attempt=self.request.attempt,
                step_id=step.step_id,
                step_type=step.type,
                status=status,
                started_at=started,
                finished_at=ended,
                duration_ms=int((ended - started).total_seconds() * 1000) if started else 0,
                rows=result.rows,
                bytes=result.bytes,
                job_ids=result.job_ids,
                error=part,
            ),
        )

    async def _say(self, what: str, message: Message) -> None:
        """Publish under an id that a repetition of this attempt would use again."""
        self._progress.sequence += 1
        name = f"{self.request.run_id}/{self.request.attempt}/{what}"
        outgoing = Outgoing(message, str(uuid5(NAMESPACE, name)), self._progress.sequence)
        await self._sender.send(outgoing, cause=self._cause)


def _error_part(step: StepPart, error: StepError | None) -> ErrorPart | None:
    if error is None:
        return None
    return ErrorPart(code=error.code, detail=error.detail[:2000], step_id=str(step.step_id))

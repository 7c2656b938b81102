"""Runs one attempt: steps as their needs are met, a heartbeat, and a report of each."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from contracts.conditions import ConditionError
from contracts.envelope import Envelope
from contracts.identifiers import StepId
from contracts.pipelines import StepPart
from contracts.runs import RunRequestedV1
from contracts.steps import StepCompletedV1, StepStatus
from libs.clock import Clock
from services.executor.checkpoints import Checkpoints, Objects
from services.executor.dag import Dag, StepState, redone
from services.executor.outbox import Outbox, Sender
from services.executor.report import Report
from services.executor.room import Room
from services.executor.steps.step import StepError, StepResult, StepType
from services.executor.tries import StepEnd, StepTries

LOG = logging.getLogger(__name__)
STOP_ROUNDS = 3
STOP_SECONDS = 2.0
BEATS_PER_LEASE = 3
Results = dict[StepId, StepResult]


class AttemptLostError(Exception):
    """Nothing could be said for as long as the lease lasts: another attempt has begun."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every attempt of this process uses."""

    sender: Sender
    objects: Objects
    types: Mapping[str, StepType]
    clock: Clock
    parallel: int
    """How many steps of one run may go on at once."""
    room: Room
    """For how many steps of all runs there is room."""


@dataclass(slots=True)
class Running:
    """A step that waits for room, or goes on."""

    tries: StepTries
    task: asyncio.Task[StepEnd]
    started: datetime | None = None


class Attempt:
    """One attempt at one run. `run` is called once."""

    def __init__(
        self, request: RunRequestedV1, cause: Envelope, surroundings: Surroundings
    ) -> None:
        self.request = request
        self._around = surroundings
        self._outbox = Outbox(request, cause, surroundings.sender)
        self._report = Report(request, self._outbox, surroundings.clock)
        self._checkpoints = Checkpoints(request, surroundings.objects)
        self._cancelled = asyncio.Event()
        self._running: dict[StepId, Running] = {}
        self._results: Results = {}

    async def cancel(self) -> None:
        """Stop: nothing new begins, and what goes on in BigQuery is ended."""
        self._cancelled.set()
        for _ in range(STOP_ROUNDS):  # a job may be about to start while it is being stopped
            for running in self._running.values():
                if running.started is None:
                    running.task.cancel()
            going = list(self._running.values())
            if not going:
                return
            await asyncio.gather(*(running.tries.stop() for running in going))
            await asyncio.wait([running.task for running in going], timeout=STOP_SECONDS)
        for running in list(self._running.values()):
            running.task.cancel()

    async def run(self) -> None:
        """Report the start, each step and the end. When it is cancelled, jobs are left running.

        Raises `AttemptLostError` when the lease has ended without a word getting through.
        """
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            dag = await self._steps(await self._begin())
        finally:
            heartbeat.cancel()
        await self._checkpoints.flush()
        self._report.finished(dag.outcome)
        await self._outbox.flush()

    async def hand_back(self) -> None:
        """After `run` was cancelled: let the next attempt begin at once.

        There is none after a cancellation, so what goes on outside is ended.
        """
        if self._cancelled.is_set():
            await asyncio.gather(*(running.tries.stop() for running in self._running.values()))
        await self._checkpoints.flush()
        self._report.returned()
        await self._outbox.flush()

    async def _begin(self) -> Dag:
        """Take over what earlier attempts have completed."""
        request = self.request
        self._report.started()
        dag = Dag.of(request.definition, request.parameters, request.run_date.isoformat())
        again = redone(request.definition, request.resume_from)
        for saved in await self._checkpoints.earlier():
            for said in saved.steps:
                if saved.generation == request.generation or said.step_id not in again:
                    dag = self._take_over(dag, said)
        return dag

    def _take_over(self, dag: Dag, said: StepCompletedV1) -> Dag:
        if said.step_id in dag.states:
            return dag
        if said.run_id != self.request.run_id:  # of the run that this one repeats
            own = {"run_id": self.request.run_id, "attempt": self.request.attempt}
            said = said.model_copy(update=own)
        self._checkpoints.add(said)
        self._report.step_kept(said)
        self._results[said.step_id] = StepResult(
            said.rows, said.bytes, said.job_ids, said.status.value
        )
        return dag.with_step(said.step_id, StepState(said.status, said.rows, said.bytes))

    async def _steps(self, dag: Dag) -> Dag:
        """Start what is ready, take in what has ended, until nothing is left."""
        patience = self.request.lease_seconds / BEATS_PER_LEASE
        try:
            while not (dag := self._settle(dag)).is_over and self._running:
                tasks = [running.task for running in self._running.values()]
                await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                self._check_lease()
                dag = self._take_in_ended(dag)
        finally:
            for running in self._running.values():
                running.task.cancel()
        return self._give_up(dag)

    def _check_lease(self) -> None:
        self._outbox.check()
        if time.monotonic() - self._outbox.heard_at > self.request.lease_seconds:
            raise AttemptLostError

    def _settle(self, dag: Dag) -> Dag:
        """Decide every step that can be decided, until no decision follows from another."""
        while not self._cancelled.is_set():
            before = dag
            for step in dag.doomed:
                dag = self._skip(dag, step, StepState(StepStatus.SKIPPED))
            for step in dag.waiting[: self._around.parallel - len(self._running)]:
                dag = self._decide(dag, step)
            if dag is before:
                break
        return dag

    def _decide(self, dag: Dag, step: StepPart) -> Dag:
        try:
            wanted = dag.wanted(step)
        except ConditionError as error:
            end = StepEnd(StepStatus.FAILED, error=StepError("invalid_condition", str(error)))
            self._report.step_ended(step, end, None)
            return dag.with_step(step.step_id, StepState(StepStatus.FAILED))
        if not wanted:
            return self._skip(dag, step, StepState(StepStatus.SKIPPED, left_out=True))
        self._start(step)
        return dag.with_step(step.step_id, StepState(StepStatus.RUNNING))

    def _start(self, step: StepPart) -> None:
        tries = StepTries(
            self.request,
            step,
            self._around.types,
            self._report.of_step(step),
            earlier=self._results,
            cancelled=self._cancelled,
        )
        task = asyncio.create_task(self._in_turn(step, tries))
        self._running[step.step_id] = Running(tries, task)

    async def _in_turn(self, step: StepPart, tries: StepTries) -> StepEnd:
        """What waits for room has not begun: its time does not count."""
        async with self._around.room.of(self._around.types.get(step.type)):
            self._running[step.step_id].started = self._report.step_started(step)
            return await tries.run()

    def _take_in_ended(self, dag: Dag) -> Dag:
        for step_id, running in list(self._running.items()):
            if running.task.done():
                del self._running[step_id]
                dag = self._take_in(dag, running)
        return dag

    def _take_in(self, dag: Dag, running: Running) -> Dag:
        step = running.tries.step
        # Cancelled before it could begin, so it could not say so itself.
        unbegun = running.task.cancelled() and self._cancelled.is_set()
        end = StepEnd(StepStatus.CANCELLED) if unbegun else running.task.result()
        self._results[step.step_id] = replace(end.result, status=end.status.value)
        said = self._report.step_ended(step, end, running.started)
        if end.status is StepStatus.COMPLETED:
            self._checkpoints.add(said)
        state = StepState(end.status, end.result.rows, end.result.bytes)
        return dag.with_step(step.step_id, state)

    def _skip(self, dag: Dag, step: StepPart, state: StepState) -> Dag:
        self._report.step_ended(step, StepEnd(state.status), None)
        return dag.with_step(step.step_id, state)

    def _give_up(self, dag: Dag) -> Dag:
        """Steps that will never run are skipped, or cancelled with the run."""
        cancelled = self._cancelled.is_set() and not dag.stopped
        status = StepStatus.CANCELLED if cancelled else StepStatus.SKIPPED
        for step in dag.definition.steps:
            if step.step_id not in dag.states:
                dag = self._skip(dag, step, StepState(status))
        return dag

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self.request.lease_seconds / BEATS_PER_LEASE)
            self._report.heartbeat()

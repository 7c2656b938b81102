"""The runs that this instance has heard of: a bounded projection of the event stream.

Events of different services may arrive in any order, so each says how far a run
has come, and what is further never goes back.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from contracts.identifiers import RunId, TenantId
from contracts.message import Message
from contracts.runs import (
    AttemptStartedV1,
    ErrorPart,
    RunFinishedV1,
    RunPart,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
)
from contracts.steps import StepCompletedV1, StepRowPart, StepStartedV1, StepStatus

KEPT = 20_000
HANDLED = (
    RunRequestedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunFinishedV1,
    AttemptStartedV1,
    StepStartedV1,
    StepCompletedV1,
)
_PROGRESS = {RunStatus.QUEUED: 0, RunStatus.PENDING: 1, RunStatus.RUNNING: 2}
_END = 3


@dataclass(slots=True)
class LiveRun:
    """What is known of one run; `version` grows with every change."""

    tenant_id: TenantId
    run: RunPart | None = None
    steps: dict[str, StepRowPart] = field(default_factory=dict)
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class LiveRuns:
    """For one event loop. The longest untouched runs are forgotten."""

    def __init__(self) -> None:
        self._runs: OrderedDict[RunId, LiveRun] = OrderedDict()

    def find(self, tenant_id: TenantId, run_id: RunId) -> LiveRun | None:
        """The tenant's own run, if this instance has heard how it began."""
        live = self._runs.get(run_id)
        if live is None or live.run is None or live.tenant_id != tenant_id:
            return None
        return live

    def apply(self, message: Message) -> None:
        tenant, run_id = getattr(message, "tenant_id", None), getattr(message, "run_id", None)
        if tenant is None or run_id is None:
            return
        live = self._runs.get(run_id)
        if live is None:
            live = self._runs[run_id] = LiveRun(tenant)
            while len(self._runs) > KEPT:
                self._runs.popitem(last=False)
        self._runs.move_to_end(run_id)
        _take_in(live, message)
        live.version += 1
        live.changed.set()
        live.changed = asyncio.Event()


def _take_in(live: LiveRun, message: Message) -> None:
    match message:
        case StepStartedV1() | StepCompletedV1():
            _take_in_step(live, message)
        case AttemptStartedV1():
            _take_in_start(live, message)
        case RunRequestedV1() | RunQueuedV1() | RunRejectedV1() | RunFinishedV1():
            _take_in_run(live, message)
        case _:
            return


def _take_in_run(
    live: LiveRun,
    message: RunRequestedV1 | RunQueuedV1 | RunRejectedV1 | RunFinishedV1,
) -> None:
    status, error = _status_and_error(message)
    attempt = getattr(message, "attempt", 0)
    if live.run is not None and not _is_news(live.run, status, attempt):
        return
    started = getattr(message, "started_at", None)
    live.run = RunPart(
        run_id=message.run_id,
        config_id=message.config_id,
        revision=getattr(message, "revision", 0),
        status=status,
        attempt=attempt,
        run_date=message.run_date,
        trigger=message.trigger,
        submitted_at=message.submitted_at,
        started_at=started or (live.run.started_at if live.run else None),
        finished_at=getattr(message, "finished_at", None),
        error=error,
    )


def _status_and_error(
    message: RunRequestedV1 | RunQueuedV1 | RunRejectedV1 | RunFinishedV1,
) -> tuple[RunStatus, ErrorPart | None]:
    match message:
        case RunRequestedV1():
            return RunStatus.PENDING, None
        case RunQueuedV1():
            return RunStatus.QUEUED, None
        case RunRejectedV1():
            return RunStatus.REJECTED, ErrorPart(code=message.code, detail=message.reason)
        case RunFinishedV1():
            return message.status, message.error


def _take_in_start(live: LiveRun, message: AttemptStartedV1) -> None:
    if live.run is None or not _is_news(live.run, RunStatus.RUNNING, message.attempt):
        return
    live.run = live.run.model_copy(
        update={
            "status": RunStatus.RUNNING,
            "attempt": message.attempt,
            "started_at": live.run.started_at or message.started_at,
        }
    )


def _is_news(known: RunPart, status: RunStatus, attempt: int) -> bool:
    return _place(status, attempt) > _place(known.status, known.attempt)


def _place(status: RunStatus, attempt: int) -> tuple[bool, int, int]:
    return status.is_final, attempt, _PROGRESS.get(status, _END)


def _take_in_step(live: LiveRun, message: StepStartedV1 | StepCompletedV1) -> None:
    known = live.steps.get(message.step_id)
    if known is not None and known.attempt > message.attempt:
        return
    if isinstance(message, StepStartedV1):
        if known is None or known.attempt < message.attempt:
            live.steps[message.step_id] = StepRowPart(
                step_id=message.step_id,
                step_type=message.step_type,
                attempt=message.attempt,
                status=StepStatus.RUNNING,
                started_at=message.started_at,
            )
        return
    live.steps[message.step_id] = StepRowPart(
        step_id=message.step_id,
        step_type=message.step_type,
        attempt=message.attempt,
        status=message.status,
        started_at=message.started_at,
        finished_at=message.finished_at,
        duration_ms=message.duration_ms,
        rows=message.rows,
        bytes=message.bytes,
        error=message.error,
    )

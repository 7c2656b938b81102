"""The runs that this instance has heard of: a bounded projection of the event stream.

Events of different services may arrive in any order, so each says how far a run
has come, and what is further never goes back.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.envelope import Envelope
from contracts.identifiers import RunId, TenantId
from contracts.message import Message
from contracts.notifications import WebhookDeliveredV1
from contracts.quality import QualityCheckedV1, SchemaDriftedV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    ErrorPart,
    RunFinishedV1,
    RunPart,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
)
from contracts.steps import (
    StepCompletedV1,
    StepProgressedV1,
    StepRowPart,
    StepStartedV1,
    StepStatus,
)
from libs.clock import Clock, system_clock
from services.gateway.journal import Heard, Journal, begins

SILENT_LEASES = 2
"""A run that goes on is heard of thrice a lease: after so many without, something was missed."""
KEPT = 20_000
KEPT_BYTES = 64 << 20
HANDLED = (
    RunRequestedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunFinishedV1,
    AttemptStartedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptFinishedV1,
    StepStartedV1,
    StepProgressedV1,
    StepCompletedV1,
    QualityCheckedV1,
    SchemaDriftedV1,
    WebhookDeliveredV1,
)
_PROGRESS = {RunStatus.QUEUED: 0, RunStatus.PENDING: 1, RunStatus.RUNNING: 2}
_END = 3


@dataclass(slots=True, eq=False, weakref_slot=True)
class LiveRun:
    """What is known of one run; `version` grows with every change."""

    tenant_id: TenantId
    heard_at: datetime
    """When something was last heard of it, or looked up."""
    run: RunPart | None = None
    steps: dict[str, StepRowPart] = field(default_factory=dict)
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    journal: Journal = field(default_factory=Journal)
    adopted: bool = False
    """Whether its beginning was fetched, so that something between may be missing."""
    exists: bool = False
    """Whether it is known to have been asked for at least."""
    told_late: bool = False
    """Whether it was first heard of when more may have been said of it already."""
    lease: timedelta = timedelta(seconds=60)
    counted: int | None = 0
    """How many of its bytes are counted; None once it is forgotten."""

    @property
    def is_complete(self) -> bool:
        """Whether everything that it did was heard here."""
        return self.journal.whole and not self.adopted

    def is_silent(self, now: datetime) -> bool:
        """Whether what it did since may have passed this instance by."""
        if self.run is not None and self.run.status.is_final:
            return False
        return self.told_late or now - self.heard_at > self.lease * SILENT_LEASES

    def tell(self) -> None:
        """Wake whoever waits, with news."""
        self.version += 1
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits for news, so that they look around."""
        self.changed.set()
        self.changed = asyncio.Event()


class LiveRuns:
    """For one event loop. The longest untouched runs are forgotten."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._runs: OrderedDict[tuple[TenantId, RunId], LiveRun] = OrderedDict()
        self._clock = clock
        self.bytes = 0
        """About what all that is known takes."""
        self.since = clock()
        """Nothing is missing of what was published later."""

    @property
    def runs(self) -> int:
        return len(self._runs)

    def find(self, tenant_id: TenantId, run_id: RunId) -> LiveRun | None:
        """The tenant's own run, if this instance has heard how it began."""
        live = self._runs.get((tenant_id, run_id))
        return None if live is None or live.run is None else live

    def followed(self, tenant_id: TenantId, run_id: RunId) -> LiveRun:
        """The run as far as it is known, which may be not at all; kept for a while."""
        live = self._runs.get((tenant_id, run_id))
        if live is None:
            live = self._runs[tenant_id, run_id] = LiveRun(tenant_id, self._clock())
            self._make_room()
        self._runs.move_to_end((tenant_id, run_id))
        return live

    def drop(self, tenant_id: TenantId, run_id: RunId) -> None:
        """There is no such run, or what is known of it is too old to build on."""
        live = self._runs.pop((tenant_id, run_id), None)
        if live is not None:
            self._forget(live)
            live.wake()

    def wake_all(self) -> None:
        for live in self._runs.values():
            live.wake()

    def wake_tenant(self, tenant_id: TenantId) -> None:
        for live in self._runs.values():
            if live.tenant_id == tenant_id:
                live.wake()

    def apply(self, message: Message, envelope: Envelope) -> None:
        tenant, run_id = getattr(message, "tenant_id", None), getattr(message, "run_id", None)
        if tenant is None or run_id is None:
            return
        now = self._clock()
        live = self.followed(tenant, run_id)
        if live.run is not None and live.is_silent(now) and not begins(message):
            self.drop(tenant, run_id)
            live = self.followed(tenant, run_id)
        if live.version == 0:
            live.told_late = self._is_late(live, envelope, now)
            live.journal.whole = begins(message) and not live.told_late
        self._take(live, [(Heard.of(envelope, message, now), message)])

    def _is_late(self, live: LiveRun, envelope: Envelope, now: datetime) -> bool:
        """A client that repeats an old request makes the scheduler repeat what it said then."""
        return envelope.time < max(self.since, now - live.lease * SILENT_LEASES)

    def fill(self, live: LiveRun, recorded: Iterable[tuple[Heard, Message]]) -> None:
        """Take in what was recorded; what is known already changes nothing."""
        live.told_late = False
        self._take(live, recorded)

    def release(self, live: LiveRun) -> None:
        """Tell what has waited long enough."""
        if live.journal.release(self._clock()):
            self._count(live)
            live.tell()

    def _take(self, live: LiveRun, heard: Iterable[tuple[Heard, Message]]) -> None:
        for one, message in heard:
            live.journal.take(one)
            _take_in(live, message)
        live.heard_at = self._clock()
        live.journal.release(live.heard_at)
        self._count(live)
        live.tell()
        self._make_room()

    def _count(self, live: LiveRun) -> None:
        """A forgotten run may still be told to who follows it; it takes no room here."""
        if live.counted is not None:
            self.bytes += live.journal.size - live.counted
            live.counted = live.journal.size

    def _forget(self, live: LiveRun) -> None:
        self.bytes -= live.counted or 0
        live.counted = None

    def _make_room(self) -> None:
        while len(self._runs) > KEPT or (self.bytes > KEPT_BYTES and len(self._runs) > 1):
            # What is followed was touched lately; when it goes nevertheless, it is fetched again.
            _, oldest = self._runs.popitem(last=False)
            self._forget(oldest)


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
    if isinstance(message, RunRequestedV1):
        # Nothing is missed while nobody has begun it that still may.
        may_begin = (message.begin_seconds or 0) / SILENT_LEASES
        live.lease = timedelta(seconds=max(message.lease_seconds, may_begin))
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

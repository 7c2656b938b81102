"""What this instance has not heard of a run is asked of audit_log."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from contracts.audit import EventListV1, EventOrder, EventRowPart, ListEventsV1
from contracts.catalogue import UnknownTypeError, entry_of
from contracts.identifiers import RunId, TenantId
from contracts.message import Kind, Message
from contracts.runs import GetRunV1, RunV1
from libs.clock import Clock
from libs.web.problem import Problem
from services.gateway.journal import QUIET, Heard
from services.gateway.live import HANDLED, LiveRun, LiveRuns
from services.gateway.questions import Questions

LOG = logging.getLogger(__name__)
PAGE = 1000
PATIENCE = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
SEAM = timedelta(seconds=60)
"""What was published before this instance listened is recorded by then."""


class Backfill:
    """Asks once at a time for a run, however many follow it, and ever less often."""

    def __init__(self, questions: Questions, live: LiveRuns, clock: Clock) -> None:
        self._questions = questions
        self._live = live
        self._clock = clock
        self._gate: WeakKeyDictionary[LiveRun, _Gate] = WeakKeyDictionary()

    def is_due(self, live: LiveRun) -> bool:
        """Whether something may be recorded that is not known here."""
        young = self._clock() - self._live.since < SEAM
        seam = young and live.adopted and not live.journal.has_ended
        gate = self._gate.get(live)
        return (live.journal.lacks_something or seam) and (gate is None or gate.is_open)

    async def refresh(self, tenant: TenantId, run_id: RunId, live: LiveRun) -> None:
        """Raises `Problem` when there is no such run, or no answer."""
        gate = self._gate.setdefault(live, _Gate())
        if gate.lock.locked():
            async with gate.lock:
                return  # somebody else has just asked
        async with gate.lock:
            gate.close()
            rows = await self._rows(tenant, run_id)
            if not rows and live.run is None:
                await self._check_exists(tenant, run_id)
            self._live.fill(live, _heard(rows))
            if live.journal.entries and not live.journal.whole:
                live.journal.whole = live.adopted = True

    async def _rows(self, tenant: TenantId, run_id: RunId) -> Sequence[EventRowPart]:
        rows: list[EventRowPart] = []
        after = ""
        while True:
            query = ListEventsV1(
                tenant_id=tenant,
                run_id=run_id,
                event_kind=Kind.EVENT,
                order=EventOrder.CHAIN,
                after=after,
                limit=PAGE,
            )
            found = await self._questions.ask(query, EventListV1, within=PATIENCE)
            rows += found.events
            after = found.next_after
            if not after:
                return rows

    async def _check_exists(self, tenant: TenantId, run_id: RunId) -> None:
        query = GetRunV1(tenant_id=tenant, run_id=run_id)
        found = await self._questions.ask(query, RunV1, within=PATIENCE)
        if found.run is None:
            raise Problem(404, "run_not_found", f"There is no run {run_id}.")


class _Gate:
    """Opens again after a while, which grows."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._pause = FIRST_PAUSE
        self._opens_at = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() >= self._opens_at

    def close(self) -> None:
        self._opens_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def _heard(rows: Sequence[EventRowPart]) -> Iterator[tuple[Heard, Message]]:
    """In the order that causes come before what they caused, so that each finds its place."""
    for row in sorted(rows, key=lambda row: row.event_time):
        try:
            message = entry_of(row.event_type).model.decode(row.data.encode())
        except (UnknownTypeError, ValidationError):
            LOG.warning("event %s (%s) cannot be read", row.event_id, row.event_type)
            continue
        told = isinstance(message, HANDLED) and row.event_type not in QUIET
        heard = Heard(
            row.event_id,
            row.event_type,
            row.event_time,
            row.causation_id,
            row.sequence,
            message if told else None,
        )
        yield heard, message

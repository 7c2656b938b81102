"""What this instance has not heard of a run is asked of audit_log."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from contracts.audit import CLOCKS_DIFFER, EventListV1, EventOrder, EventRowPart, ListEventsV1
from contracts.catalogue import UnknownTypeError, entry_of
from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Kind, Message
from contracts.runs import GetRunV1, RetryRunV1, RunPart, RunStatus, RunV1, SubmitRunV1
from libs.clock import Clock
from libs.web.problem import Problem
from services.gateway.journal import QUIET, Heard
from services.gateway.live import HANDLED, LiveRun, LiveRuns
from services.gateway.questions import Questions

LOG = logging.getLogger(__name__)
PAGE = 1000
PATIENCE = 10.0
NEWBORN_SECONDS = 2.0
"""How long the first that is heard of a run may be behind the answer that accepted it."""
ASKED_ROWS = 10
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
SEAM = timedelta(seconds=60)
"""What was published before this instance listened is recorded by then."""
UNDECIDED = timedelta(days=7)
"""For how long a run can be asked for and not decided on: as long as Pub/Sub keeps the command."""


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
        wanting = live.journal.lacks_something or seam or live.is_silent(self._clock())
        return wanting and (gate is None or gate.is_open)

    async def refresh(self, tenant: TenantId, run_id: RunId, live: LiveRun) -> None:
        """Raises `Problem` when there is no such run, or no answer."""
        gate = self._gate.setdefault(live, _Gate())
        if gate.lock.locked():
            async with gate.lock:  # somebody else has just asked
                if live.run is None and not live.exists:
                    raise _no_such(run_id)
                return
        async with gate.lock:
            gate.close()
            rows = await self._rows(tenant, run_id, await self._since(tenant, run_id, live))
            if not rows and live.run is None and not live.exists:
                await self.find(tenant, run_id)
            live.exists = True
            self._live.fill(live, _heard(rows, self._clock()))
            if live.journal.entries and not live.journal.whole:
                live.journal.whole = live.adopted = True

    async def _since(self, tenant: TenantId, run_id: RunId, live: LiveRun) -> datetime:
        """From when on there is something of it; what was recorded before is not to be read."""
        run = live.run or await self._recorded(tenant, run_id)
        return run.submitted_at - CLOCKS_DIFFER if run else self._clock() - UNDECIDED

    async def _rows(
        self, tenant: TenantId, run_id: RunId, since: datetime
    ) -> Sequence[EventRowPart]:
        rows: list[EventRowPart] = []
        after = ""
        while True:
            query = ListEventsV1(
                tenant_id=tenant,
                run_id=run_id,
                event_kind=Kind.EVENT,
                order=EventOrder.CHAIN,
                from_time=since,
                after=after,
                limit=PAGE,
            )
            found = await self._questions.ask(query, EventListV1, within=PATIENCE)
            rows += found.events
            after = found.next_after
            if not after:
                return rows

    async def find(self, tenant: TenantId, run_id: RunId) -> RunPart:
        """A run that is not known here; of one that was just asked for, what was asked.

        Raises `Problem` when there is none, after waiting for what may be on its way.
        """
        found = await self._recorded(tenant, run_id) or await self._heard_soon(tenant, run_id)
        found = found or await self._recorded(tenant, run_id)
        found = found or await self._asked_for(tenant, run_id)
        if found is None:
            self._live.drop(tenant, run_id)
            raise _no_such(run_id)
        return found

    async def _recorded(self, tenant: TenantId, run_id: RunId) -> RunPart | None:
        query = GetRunV1(tenant_id=tenant, run_id=run_id)
        return (await self._questions.ask(query, RunV1, within=PATIENCE)).run

    async def _heard_soon(self, tenant: TenantId, run_id: RunId) -> RunPart | None:
        live = self._live.followed(tenant, run_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(NEWBORN_SECONDS):
                while live.run is None:
                    await live.changed.wait()
        return live.run

    async def _asked_for(self, tenant: TenantId, run_id: RunId) -> RunPart | None:
        """A run that nobody has decided on yet is known by the command alone."""
        query = ListEventsV1(
            tenant_id=tenant,
            run_id=run_id,
            event_kind=Kind.COMMAND,
            from_time=self._clock() - UNDECIDED,
            limit=ASKED_ROWS,
        )
        for row in (await self._questions.ask(query, EventListV1, within=PATIENCE)).events:
            match _read(row):
                case SubmitRunV1() as asked:
                    return _pending(asked, asked.config_id, asked.run_date, row)
                case RetryRunV1() as asked:
                    old = await self._recorded(tenant, asked.retry_of)
                    return old and _pending(asked, old.config_id, old.run_date, row)
        return None


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


def _heard(rows: Sequence[EventRowPart], now: datetime) -> Iterator[tuple[Heard, Message]]:
    """In the order that causes come before what they caused, so that each finds its place."""
    for row in sorted(rows, key=lambda row: row.event_time):
        message = _read(row)
        if message is None:
            continue
        told = isinstance(message, HANDLED) and row.event_type not in QUIET
        heard = Heard(
            row.event_id,
            row.event_type,
            row.event_time,
            row.causation_id,
            row.sequence,
            message if told else None,
            row.recorded_at or now,
        )
        yield heard, message


def _read(row: EventRowPart) -> Message | None:
    try:
        return entry_of(row.event_type).model.decode(row.data.encode())
    except (UnknownTypeError, ValidationError):
        LOG.warning("event %s (%s) cannot be read", row.event_id, row.event_type)
        return None


def _pending(
    asked: SubmitRunV1 | RetryRunV1, config_id: ConfigId, run_date: date, row: EventRowPart
) -> RunPart:
    return RunPart(
        run_id=asked.run_id,
        config_id=config_id,
        status=RunStatus.PENDING,
        run_date=run_date,
        trigger=asked.trigger,
        submitted_at=row.event_time,
    )


def _no_such(run_id: RunId) -> Problem:
    return Problem(404, "run_not_found", f"There is no run {run_id}.")

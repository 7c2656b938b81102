"""Claim a run, acknowledge its message at once, and work on it in the background."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from contracts.envelope import Envelope
from contracts.runs import RunCancelRequestedV1, RunRequestedV1
from libs.bus.errors import BusyError
from libs.bus.message import Context
from libs.bus.router import Router
from libs.clock import Clock
from libs.telemetry.context import bind
from services.executor.runner import Attempt, AttemptLostError

LOG = logging.getLogger(__name__)
Key = tuple[str, int]
WAITS_PER_LEASE = 4
"""So much sooner than its lease ends, an attempt that waits for room is given back."""
WAITING_PER_RUN = 4
"""How many attempts may wait for each that goes on."""
SHORTEST_HAND_BACK = 1.0
REMEMBERED = 10_000


class ClaimPort(Protocol):
    """Create-once claims: whoever comes first has the attempt."""

    async def claim(self, name: str, owner: str) -> bool: ...


class Runs:
    """The attempts that this process works on."""

    def __init__(
        self,
        claims: ClaimPort,
        owner: str,
        start: Callable[[RunRequestedV1, Envelope], Attempt],
        clock: Clock,
        most: int,
    ) -> None:
        self._claims = claims
        self._owner = owner
        self._start = start
        self._clock = clock
        self._most = most
        self._room = asyncio.Semaphore(most)
        self._waiting: set[Key] = set()
        self._claimed: OrderedDict[Key, None] = OrderedDict()
        self._attempts: dict[Key, Attempt] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._stopping = False

    def register(self, router: Router) -> None:
        router.on(RunRequestedV1)(self.on_run_requested)
        router.on(RunCancelRequestedV1)(self.on_run_cancel_requested)

    async def on_run_requested(self, event: RunRequestedV1, context: Context) -> None:
        """Claim and acknowledge at once. Another's claim is left alone, and so is our own."""
        key = (str(event.run_id), event.attempt)
        if key in self._claimed or self._is_late(event, context.envelope):
            return
        if self._stopping or len(self._tasks) >= self._most * (1 + WAITING_PER_RUN):
            reason = "this executor stops, or has too much to do; another takes the run"
            raise BusyError(reason, delay=1)
        self._leave_older(event)
        mine = await self._claims.claim(f"{event.run_id}/{event.attempt}", self._owner)
        if not mine or key in self._claimed:
            return
        self._remember(key)
        await self._begin(key, self._start(event, context.envelope))

    async def _begin(self, key: Key, attempt: Attempt) -> None:
        if self._stopping:  # since it was claimed
            await self._give_back(attempt)
            return
        self._attempts[key] = attempt
        self._tasks[key] = asyncio.create_task(self._run(key, attempt))

    def _remember(self, key: Key) -> None:
        """A duplicate may come after the end, when only the claim is left, which is ours."""
        self._claimed[key] = None
        if len(self._claimed) > REMEMBERED:
            self._claimed.popitem(last=False)

    def _is_late(self, event: RunRequestedV1, envelope: Envelope) -> bool:
        """Its time has passed before anybody began, so another attempt is requested."""
        allowed = event.begin_seconds or event.lease_seconds
        late = (self._clock() - envelope.time).total_seconds() > allowed
        if late:
            LOG.warning("attempt %d of run %s came too late", event.attempt, event.run_id)
        return late

    def _leave_older(self, event: RunRequestedV1) -> None:
        """What an older attempt would say is not applied any more; its jobs are adopted."""
        for (run_id, attempt), task in self._tasks.items():
            if run_id == str(event.run_id) and attempt < event.attempt:
                task.cancel()

    async def on_run_cancel_requested(self, event: RunCancelRequestedV1, _: Context) -> None:
        """Every executor hears it; the one that has the attempt acts."""
        attempt = self._attempts.get((str(event.run_id), event.attempt))
        if attempt is not None:
            await attempt.cancel()

    async def finish(self, grace: float) -> None:
        """Let attempts end; hand back what does not in time, so that another goes on with it."""
        self._stopping = True
        for key in self._waiting:
            self._tasks[key].cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=max(grace / 2, SHORTEST_HAND_BACK))

    async def _run(self, key: Key, attempt: Attempt) -> None:
        request = attempt.request
        try:
            with bind(tenant_id=request.tenant_id, run_id=request.run_id):
                await self._run_in_turn(key, attempt)
        except asyncio.CancelledError:
            await self._give_back(attempt)
            raise
        except AttemptLostError:
            LOG.warning("attempt %d of run %s was cut off for too long; it is left", *key[::-1])
        except Exception:
            LOG.exception("attempt %d of run %s was left; its lease will end", key[1], key[0])
        finally:
            del self._attempts[key], self._tasks[key]

    async def _give_back(self, attempt: Attempt) -> None:
        try:
            await attempt.hand_back()
        except Exception:
            request = attempt.request
            LOG.exception("run %s was not given back; its lease will end", request.run_id)

    async def _run_in_turn(self, key: Key, attempt: Attempt) -> None:
        """What finds no room in time is given back, so that it is not lost with its lease."""
        self._waiting.add(key)
        try:
            async with asyncio.timeout(attempt.request.lease_seconds / WAITS_PER_LEASE):
                await self._room.acquire()
        except TimeoutError:
            LOG.info("attempt %d of run %s found no room; it is given back", *key[::-1])
            await self._give_back(attempt)
            return
        finally:
            self._waiting.discard(key)
        try:
            await attempt.run()
        finally:
            self._room.release()

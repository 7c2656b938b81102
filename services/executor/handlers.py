"""Claim a run, acknowledge its message at once, and work on it in the background."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from contracts.envelope import Envelope
from contracts.runs import RunCancelRequestedV1, RunRequestedV1
from libs.bus.errors import RetryableError
from libs.bus.message import Context
from libs.bus.router import Router
from libs.clock import Clock
from libs.slotlog.log import SlotLogError
from libs.telemetry.context import bind
from services.executor.runner import Attempt, AttemptLostError

LOG = logging.getLogger(__name__)
Key = tuple[str, int]


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
        self._room = asyncio.Semaphore(most)
        self._attempts: dict[Key, Attempt] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._stopping = False

    def register(self, router: Router) -> None:
        router.on(RunRequestedV1)(self.on_run_requested)
        router.on(RunCancelRequestedV1)(self.on_run_cancel_requested)

    async def on_run_requested(self, event: RunRequestedV1, context: Context) -> None:
        """Wait for room, claim, and begin; another's claim, or our own, is left alone."""
        key = (str(event.run_id), event.attempt)
        if key in self._tasks:
            return
        await self._room.acquire()
        try:
            began = await self._begin(key, event, context)
        except SlotLogError as error:
            self._room.release()
            raise RetryableError(str(error)) from error
        except BaseException:
            self._room.release()
            raise
        if not began:
            self._room.release()

    async def _begin(self, key: Key, event: RunRequestedV1, context: Context) -> bool:
        if self._stopping:
            reason = "this executor is stopping; another takes the run"
            raise RetryableError(reason)
        if self._is_late(event, context.envelope):
            return False
        self._leave_older(event)
        mine = await self._claims.claim(f"{event.run_id}/{event.attempt}", self._owner)
        if not mine or key in self._tasks:
            return False
        attempt = self._attempts[key] = self._start(event, context.envelope)
        self._tasks[key] = asyncio.create_task(self._run(key, attempt))
        return True

    def _is_late(self, event: RunRequestedV1, envelope: Envelope) -> bool:
        """Its lease has ended before anybody began, so another attempt is requested."""
        late = (self._clock() - envelope.time).total_seconds() > event.lease_seconds
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
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: Key, attempt: Attempt) -> None:
        request = attempt.request
        try:
            with bind(tenant_id=request.tenant_id, run_id=request.run_id):
                await attempt.run()
        except asyncio.CancelledError:
            await attempt.hand_back()
            raise
        except AttemptLostError:
            LOG.warning("attempt %d of run %s was cut off for too long; it is left", *key[::-1])
        except Exception:
            LOG.exception("attempt %d of run %s was left; its lease will end", key[1], key[0])
        finally:
            del self._attempts[key], self._tasks[key]
            self._room.release()

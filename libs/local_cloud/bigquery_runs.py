"""Jobs while they run: each in a worker thread, so that none blocks the rest.

bqemulator runs a job on its event loop before it answers the request, so a job
could neither be watched, nor cancelled, nor timed out.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bqemulator.domain.errors import QuotaExceededError, ResourceRef, resource_already_exists

from libs.local_cloud.bigquery_bytes import Read
from libs.local_cloud.bigquery_sessions import CURRENT, Session, open_session

WORKERS = 16
MOST_LIVE = 2_000

Key = tuple[str, str]
"""(project, job id)."""


@dataclass(slots=True, eq=False)
class Run:
    """One job that was accepted and has not ended."""

    key: Key
    configuration: dict[str, Any]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: datetime | None = None
    session: Session | None = None
    reads: tuple[Read, ...] = ()
    """What a query reads, once that is known."""
    share: float = 0.0
    """How much of its work was seen to be done."""
    stop_reason: str = ""
    shown: bool = False  # somebody was told that it runs, so its end must be recorded
    done: asyncio.Future[Any] = field(init=False)

    @property
    def state(self) -> str:
        return "RUNNING" if self.started else "PENDING"

    def stop(self, reason: str) -> None:
        """Ask it to end; it ends as a failed job."""
        self.stop_reason = reason
        if self.session is not None:
            self.session.stop(reason)

    async def wait(self, seconds: float) -> bool:
        """Whether it ended in time, well or not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.wait([self.done])
        return self.done.done()


Work = Callable[[Run], Coroutine[Any, Any, Any]]
"""What a worker thread does for a run."""


class SuspendedError(RuntimeError):
    def __init__(self) -> None:
        super().__init__("a job waited for an event loop, and its worker thread has none")


class Runs:
    """The live jobs of this process. For use on its event loop only."""

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(WORKERS, "bigquery-job")
        self._live: dict[Key, Run] = {}

    def get(self, key: Key) -> Run | None:
        return self._live.get(key)

    def live(self, project: str) -> list[Run]:
        return [run for key, run in self._live.items() if key[0] == project]

    def start(
        self,
        run: Run,
        work: Work,
        ctx: Any,
        record_failure: Callable[[Run, BaseException], None],
    ) -> None:
        """Begin; raises when the id was ever used, since a job happens once."""
        project, job_id = run.key
        if run.key in self._live or ctx.catalog.get_job(project, job_id) is not None:
            raise resource_already_exists(ResourceRef("job", project, resource_id=job_id))
        if len(self._live) >= MOST_LIVE:
            raise QuotaExceededError(f"Exceeded quota: {MOST_LIVE} jobs are queued or running")
        self._live[run.key] = run
        timer = self._time_out(run)

        def ended(done: asyncio.Future[Any]) -> None:
            timer.cancel()
            error = None if done.cancelled() else done.exception()
            if error is not None and run.shown:
                record_failure(run, error)
            del self._live[run.key]

        run.done = self.call(run, work, ctx)
        run.done.add_done_callback(ended)

    def call(self, run: Run, work: Work, ctx: Any) -> asyncio.Future[Any]:
        """Have a worker do something that is not a job of its own."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._workers, _perform, run, work, ctx)

    def _time_out(self, run: Run) -> asyncio.TimerHandle:
        allowed = float(run.configuration.get("jobTimeoutMs") or 86_400_000) / 1000
        reason = "Job execution was cancelled: Job timed out"
        return asyncio.get_running_loop().call_later(allowed, run.stop, reason)

    def close(self) -> None:
        for run in list(self._live.values()):
            run.stop("The emulator is stopping")
        self._workers.shutdown(wait=True, cancel_futures=True)


def _perform(run: Run, work: Work, ctx: Any) -> Any:
    session = open_session(ctx.engine)
    run.started, run.session = datetime.now(UTC), session
    session.run, session.stop_reason = run, run.stop_reason
    try:
        return copy_context().run(_drive, session, work(run))
    finally:
        run.session = None
        session.cursor.close()


def _drive(session: Session, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine whose awaits never suspend: bqemulator's only await its lock."""
    CURRENT.set(session)
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    work.close()
    raise SuspendedError

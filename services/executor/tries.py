"""One step to its end: its time limit, and tries for what may hold next time."""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from polars.exceptions import PanicException

from contracts.identifiers import StepId
from contracts.pipelines import RetryPart, StepPart
from contracts.runs import RunRequestedV1
from contracts.steps import StepStatus
from services.executor.concealing import concealing
from services.executor.steps.step import (
    Spent,
    StepError,
    StepFaultError,
    StepResult,
    StepRetryError,
    StepRun,
    StepType,
    StepUnknownError,
    Teller,
)

LOG = logging.getLogger(__name__)
LONGEST_PAUSE = 600.0
LONGEST_STOP = 10.0
STOP_AGAIN = 2.0
LONGEST_OUTAGE = 300.0
"""For how long nobody may answer: a warehouse that is away costs a run time, not its end."""
OUTAGE_PAUSE = 5.0
ANSWERED_SECONDS = 60.0
"""What went on for so long was answered meanwhile: no call waits as long for its answer."""


@dataclass(frozen=True, slots=True)
class StepEnd:
    """What came of a step."""

    status: StepStatus
    result: StepResult = field(default_factory=StepResult)
    error: StepError | None = None
    tries: int = 0


class StepTries:
    """One step of one attempt. `run` is called once."""

    def __init__(  # noqa: PLR0913  all that a step may use
        self,
        request: RunRequestedV1,
        step: StepPart,
        types: Mapping[str, StepType],
        tell: Teller,
        *,
        earlier: Mapping[StepId, StepResult],
        cancelled: asyncio.Event,
    ) -> None:
        self.step = step
        self._request = request
        self._types = types
        self._tell = tell
        self._earlier = earlier
        self._cancelled = cancelled
        self._given: StepRun | None = None
        self._tries = 0
        self._spent = Spent()

    async def run(self) -> StepEnd:
        """Raises nothing but cancellation of this process's work."""
        step = self.step
        try:
            async with asyncio.timeout(step.timeout_seconds):
                result = self._spent.of(await self._try())
                return StepEnd(StepStatus.COMPLETED, result, tries=self._tries)
        except TimeoutError:
            await self._stop_for_good()
            detail = f"step {step.step_id} took longer than {step.timeout_seconds} s"
            return self._failed(StepError("timeout", detail))
        except StepUnknownError as error:
            await self._stop_for_good()
            return self._failed(error)
        except StepError as error:
            return self._failed(error)
        except asyncio.CancelledError:
            if self._cancelled.is_set():
                result = self._spent.of(StepResult())
                return StepEnd(StepStatus.CANCELLED, result, tries=self._tries)
            raise

    async def stop(self) -> None:
        """End what goes on outside; a failure to do so is logged, the end is told anyway."""
        if self._given is None:
            return
        try:
            async with asyncio.timeout(LONGEST_STOP):
                await self._types[self.step.type].cancel(self._given)
        except Exception:
            LOG.exception("step %s could not be stopped outside", self.step.step_id)

    async def _stop_for_good(self) -> None:
        """Twice: what was just being asked for may begin after the first time."""
        await self.stop()
        if self._given is not None:
            await asyncio.sleep(STOP_AGAIN)
            await self.stop()

    def _failed(self, error: StepError) -> StepEnd:
        status = StepStatus.CANCELLED if self._cancelled.is_set() else StepStatus.FAILED
        return StepEnd(status, self._spent.of(StepResult()), error, self._tries)

    async def _try(self) -> StepResult:
        step = self.step
        type_ = self._types.get(step.type)
        if type_ is None:
            known = ", ".join(self._types)
            detail = f"step {step.step_id}: {step.type!r} is none of {known}"
            raise StepError("unknown_step_type", detail)
        number, failed, away = 1, 0, _Outage()
        loop = asyncio.get_running_loop()
        while True:
            self._tries += 1
            asked_at = loop.time()
            self._given = StepRun(
                self._request, step, number, self._tell, self._earlier, self._spent
            )
            try:
                return await self._guarded(type_, self._given)
            except StepUnknownError as error:
                if loop.time() - asked_at > ANSWERED_SECONDS:
                    away = _Outage()
                pause = self._pause_in(away, error)
            except StepFaultError as error:
                number += 1
                pause = self._pause_in(away, error)
            except StepRetryError as error:
                failed += 1
                if failed >= step.retry.attempts or self._cancelled.is_set():
                    raise
                why = error.__cause__ or error
                LOG.warning("try %d of step %s: %s", number, step.step_id, why)
                number, away = number + 1, _Outage()
                pause = pause_before(step.retry, failed)
            await asyncio.sleep(pause)

    def _pause_in(self, away: "_Outage", error: StepError) -> float:
        """Seconds to wait for what is away; raises the error when that took too long."""
        if away.is_over() or self._cancelled.is_set():
            raise error
        LOG.warning("step %s is asked for again: %s", self.step.step_id, error.__cause__ or error)
        return min(pause_before(self.step.retry, self._tries), OUTAGE_PAUSE)

    async def _guarded(self, type_: StepType, given: StepRun) -> StepResult:
        """A fault of ours must end the step with an error, not the executor."""
        try:
            with concealing():
                return await type_.run(given)
        except StepError:
            raise
        except (Exception, PanicException) as error:
            LOG.exception("step %s failed unexpectedly", given.step.step_id)
            detail = f"step {given.step.step_id} failed for a reason on our side"
            raise StepError("internal_error", detail) from error


class _Outage:
    """How long nobody has answered."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_over(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        return now - self._since >= LONGEST_OUTAGE


def pause_before(retry: RetryPart, tries: int) -> float:
    """Doubled with each try, and spread so that what failed together does not return together."""
    longest = min(retry.backoff_seconds * 2 ** (tries - 1), LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311  spread, not secrecy

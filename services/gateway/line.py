"""Whether this instance still hears what the services tell, revocations above all.

A pull that breaks off says so. One that falls silent does not: so when nothing at
all has come for a moment, the services are asked for a sign of life, and when
none of them gives one either, this instance is cut off. Events may then be late,
so nothing that it remembers of keys counts any more.
"""

import asyncio
import logging
from collections.abc import Callable

from contracts.platform import CheckServiceV1, ServiceStatusV1
from libs.bus.errors import TooManyQuestionsError
from libs.bus.service import Bus

LOG = logging.getLogger(__name__)
SILENT_SECONDS = 0.5
PATIENCE_SECONDS = 1.2
"""Together less than the two seconds within which a revoked key is to open nothing."""


class Line:
    """For one event loop."""

    def __init__(self, bus: Bus, cut_off: Callable[[], None]) -> None:
        self._bus = bus
        self._cut_off = cut_off
        bus.when_broken.append(cut_off)

    async def watch(self) -> None:
        """Until it is cancelled."""
        was_alive = True
        while True:
            await asyncio.sleep(SILENT_SECONDS)
            is_alive = self._is_hearing() or await self._is_answered()
            if not is_alive:
                self._cut_off()
            if is_alive != was_alive:
                LOG.warning("this instance %s", "hears again" if is_alive else "hears nothing")
            was_alive = is_alive

    def _is_hearing(self) -> bool:
        return asyncio.get_running_loop().time() - self._bus.heard_at < SILENT_SECONDS

    async def _is_answered(self) -> bool:
        question = CheckServiceV1(brief=True)
        try:
            answers = await self._bus.requester.ask_many(
                question, ServiceStatusV1, within=PATIENCE_SECONDS, wanted=1
            )
        except TooManyQuestionsError:
            return True  # nothing is known; whoever waits for an answer is told so
        return bool(answers)

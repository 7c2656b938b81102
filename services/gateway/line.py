"""Whether this instance still hears that keys have ended, which the tenant service alone tells.

A pull that breaks off says so. One that falls silent does not: so when nothing of
the tenant service has come for a moment, it is asked for a sign of life. When it
gives none and nothing else is heard, not even the question itself, this instance is
cut off: events may be late, so nothing that it remembers of keys counts any more.
When only the tenant service gives none, it may be down, and then nobody can revoke
either: what is remembered still counts, and is asked for again as far as there are
answers.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum

from contracts.catalogue import topic_of
from contracts.message import Service
from contracts.platform import CheckServiceV1, ServiceStatusV1
from contracts.topology import SubscriptionSpec
from libs.bus.errors import TooManyQuestionsError
from libs.bus.service import Bus
from libs.bus.transport import Break

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 0.2
SILENT_SECONDS = 0.5
PATIENCE_SECONDS = 1.2
"""Together less than the two seconds within which a revoked key is to open nothing."""


class Hearing(StrEnum):
    """Of whom something is heard."""

    ALL = "again of the tenant service"
    OTHERS = "nothing of the tenant service, but others or itself"
    NOTHING = "nothing"


class Line:
    """For one event loop.

    `doubt` has keys asked for again, `outlast` has them count for longer too, and
    `cut_off` forgets them.
    """

    def __init__(
        self,
        bus: Bus,
        cut_off: Callable[[], None],
        doubt: Callable[[], None],
        outlast: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._heed = {Hearing.OTHERS: outlast, Hearing.NOTHING: cut_off}
        self._heed_break = {Break.ENDED: doubt, Break.LASTING: cut_off}
        bus.when_broken.append(self._broken)

    def _broken(self, spec: SubscriptionSpec, how: Break) -> None:
        """Of the others nothing is heard that ends a key."""
        if spec.topic == topic_of(Service.TENANT):
            self._heed_break[how]()

    async def watch(self) -> None:
        """Until it is cancelled."""
        before = Hearing.ALL
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            hearing = await self._hearing()
            if hearing in self._heed:
                self._heed[hearing]()
            if hearing is not before:
                LOG.warning("this instance hears %s", hearing)
            before = hearing

    async def _hearing(self) -> Hearing:
        now = asyncio.get_running_loop().time()
        heard_at = self._bus.heard_at
        if now - heard_at.get(Service.TENANT, float("-inf")) < SILENT_SECONDS:
            return Hearing.ALL
        if await self._is_answered():
            return Hearing.ALL
        return Hearing.OTHERS if any(at >= now for at in heard_at.values()) else Hearing.NOTHING

    async def _is_answered(self) -> bool:
        question = CheckServiceV1(brief=True)
        try:
            answers = await self._bus.requester.ask_many(
                question,
                ServiceStatusV1,
                within=PATIENCE_SECONDS,
                wanted=1,
                source=Service.TENANT,
            )
        except TooManyQuestionsError:
            return True  # nothing is known; whoever waits for an answer is told so
        return bool(answers)

"""Whether a run would really succeed: every service says that it can do its part."""

import time

from contracts.message import Service
from contracts.platform import CheckServiceV1, ServiceStatusV1
from libs.bus.requester import Requester

NEEDED = (Service.TENANT, Service.SCHEDULER, Service.EXECUTOR, Service.AUDIT_LOG)
FRESH_SECONDS = 1.0
PATIENCE = 2.0


class NotReadyError(Exception):
    """Names what is missing, service by service."""


class PlatformReadiness:
    """Asks at most once a second, however many probes there are."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._missing: list[str] = []
        self._asked_at = float("-inf")

    async def check(self) -> None:
        if time.monotonic() - self._asked_at >= FRESH_SECONDS:
            self._missing = await self._ask()
            self._asked_at = time.monotonic()
        if self._missing:
            raise NotReadyError("; ".join(self._missing))

    async def _ask(self) -> list[str]:
        answers = await self._requester.ask_many(
            CheckServiceV1(), ServiceStatusV1, within=PATIENCE, wanted=len(NEEDED)
        )
        found = {answer.service: answer for answer in answers}
        missing = [f"{name}: no answer" for name in NEEDED if name not in found]
        return missing + [
            f"{name}: {', '.join(said.waiting_for)}"
            for name, said in found.items()
            if not said.ready
        ]

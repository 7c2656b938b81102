"""A toy service over the slot log: a counter with a limit, and a log that can fail."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.identifiers import RunId, TenantId
from contracts.message import Message
from contracts.runs import CancelRunV1, RunCancelRequestedV1
from libs.slotlog.decider import Decision
from libs.slotlog.log import Record, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog

LIMIT = 5
TENANT = TenantId("acme")


class Taking(BaseModel):
    place: int


class Counter:
    """Gives out places 1 to LIMIT, each once; refuses silently when all are gone."""

    version = 1

    def initial(self) -> int:
        return 0

    def decide(self, state: int, message: Message, now: datetime) -> Decision:
        del now
        if state >= LIMIT or not isinstance(message, CancelRunV1):
            return Decision()
        place = state + 1
        event = RunCancelRequestedV1(
            tenant_id=TENANT, run_id=message.run_id, attempt=place, requested_by="toy"
        )
        return Decision((Taking(place=place),), (event,))

    def evolve(self, state: int, fact: BaseModel) -> int:
        assert isinstance(fact, Taking)
        assert fact.place == state + 1, "a place was given out twice"
        return fact.place

    def load_fact(self, data: Any) -> BaseModel:
        return Taking.model_validate(data)

    def dump_state(self, state: int) -> Any:
        return state

    def load_state(self, data: Any) -> int:
        return int(data)


class Killed(BaseException):
    """The process ends here; nothing after it runs."""


class FaultyLog(MemorySlotLog):
    """Loses replies, fails before or after writing, and lets others go first."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.trouble = 0.3

    async def _pause(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    async def append(self, stream: str, slot: int, record: Record) -> Written | Taken:
        await self._pause()
        if self.chance.random() < self.trouble / 2:
            raise UnknownOutcomeError(stream, slot, "lost before it was written")
        outcome = await super().append(stream, slot, record)
        await self._pause()
        if self.chance.random() < self.trouble:
            raise UnknownOutcomeError(stream, slot, "its reply is lost")
        return outcome

    async def read(
        self, stream: str, after: int, limit: int = 1000
    ) -> Sequence[tuple[int, Record]]:
        await self._pause()
        return await super().read(stream, after, limit)


def ask(number: int) -> CancelRunV1:
    run_id = RunId(f"00000000-0000-4000-8000-{number:012d}")
    return CancelRunV1(tenant_id=TENANT, run_id=run_id, requested_by="test")

"""Versions of what the scheduler stands on that each break one rule."""

import asyncio
from datetime import datetime
from typing import Any

from contracts.message import Message
from contracts.tenants import TenantSuspendedV1
from libs.slotlog.decider import Decision
from libs.slotlog.log import Record, Written
from libs.slotlog.writer import Writer
from services.scheduler.domain.ledger import Ledger
from services.scheduler.store import LedgerDecider
from tests.scheduler.faulty import FaultyLog


class NoDedupe(Writer[Any]):
    async def _answer_known(self, _key: str, _lane: object, batch: object) -> object:  # type: ignore[override] # sabotage
        return [w for w in batch if not w.answer.done()]  # type: ignore[attr-defined] # sabotage


class AnswersFirst(Writer[Any]):
    async def _made_durable(self, key: str, lane: object, record: Record, state: Any) -> bool:
        task = asyncio.ensure_future(super()._made_durable(key, lane, record, state))  # type: ignore[arg-type] # sabotage
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)
        return True


class Overwriting(FaultyLog):
    async def append(self, stream: str, slot: int, record: Record) -> Written:
        await self.pause()
        self._slots.setdefault(stream, {})[slot] = record.encode()
        self.written.append((stream, slot, record))
        return Written()


class Forgetful(LedgerDecider):
    """A suspension is only written down."""

    def decide(self, state: Ledger, message: Message, now: datetime) -> Decision:
        if not isinstance(message, TenantSuspendedV1):
            state = state.model_copy(update={"suspended": False})
        return super().decide(state, message, now)

"""What one ledger says, read once from its first slot to its last: whom it let in, and how."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.slotlog.log import Record
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.facts import Admitted
from services.scheduler.domain.ledger import Ledger
from services.scheduler.store import LedgerDecider
from tests.soak.workload import REFUSED

DAY, MONTH = len("2026-01-31"), len("2026-01")


@dataclass(slots=True)
class Book:
    slots: int = 0
    over: list[str] = field(default_factory=list)
    """Limits that were exceeded after some slot."""
    left: list[str] = field(default_factory=list)
    """Runs that have a slot or a place in the queue after the last."""
    days: Counter[str] = field(default_factory=Counter)
    """Runs that were charged, by day."""
    refused: int = 0
    early: list[str] = field(default_factory=list)
    """Refusals at a time when the limit that they name had room."""

    @classmethod
    def of(cls, records: Sequence[tuple[int, Record]]) -> "Book":
        found, decider = cls(), LedgerDecider(Rules())
        state = decider.initial()
        for slot, record in records:
            for entry in record.entries:
                for wire in entry.emits:
                    if wire.attributes["ce-type"] == "run.rejected.v1":
                        found._refusal(slot, record.at, state, json.loads(wire.data))
                for fact in map(decider.load_fact, entry.facts):
                    if isinstance(fact, Admitted):
                        found.days[fact.day] += 1
                    state = decider.evolve(state, fact)
            found.over += [f"slot {slot}: {what}" for what in _over(state)]
        found.slots, found.left = len(records), [str(run) for run in state.runs]
        return found

    def _refusal(self, slot: int, at: datetime, state: Ledger, event: dict[str, Any]) -> None:
        if event["code"] != REFUSED:
            return
        self.refused += 1
        is_daily = event["limit"] == "daily"
        most = state.limits.daily if is_daily else state.limits.monthly
        length = DAY if is_daily else MONTH
        today = at.date().isoformat()[:length]
        period = max((today, *(p for p in state.charged if len(p) == length)))
        used = state.charged.get(period, 0)
        if used < most:
            self.early.append(f"slot {slot}: {used} of {most} in {period}")


def _over(state: Ledger) -> Iterator[str]:
    if not state.known:
        return
    if len(state.running) > state.limits.concurrent:
        yield f"{len(state.running)} running of {state.limits.concurrent}"
    for period, used in state.charged.items():
        most = state.limits.daily if len(period) == DAY else state.limits.monthly
        if used > most:
            yield f"{used} of {most} in {period}"

"""What one ledger says of its tenant's requests: charged on which day, refused, and with reason."""

import json
from collections import Counter
from collections.abc import Sequence
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

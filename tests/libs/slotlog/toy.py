"""A toy service over the slot log: a counter with a limit."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.identifiers import RunId, TenantId
from contracts.message import Message
from contracts.runs import CancelRunV1, RunCancelRequestedV1
from libs.slotlog.decider import Decision

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

    def dump_state(self, state: int) -> bytes:
        return b"%d" % state

    def load_state(self, data: Any) -> int:
        return int(data)


def ask(number: int) -> CancelRunV1:
    run_id = RunId(f"00000000-0000-4000-8000-{number:012d}")
    return CancelRunV1(tenant_id=TENANT, run_id=run_id, requested_by="test")

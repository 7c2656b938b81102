"""Reads the log of a history from its first record, and says which promises were broken."""

from collections import Counter
from datetime import timedelta
from typing import TypeVar

from contracts.identifiers import TenantId
from contracts.message import Kind
from contracts.runs import RunFinishedV1, RunRejectedV1
from libs.slotlog.log import Record
from services.scheduler.domain.evolving import evolve
from services.scheduler.domain.facts import FACTS, Admitted, Ended
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import PLACE_FACTS, Places, evolve_places
from tests.scheduler.simulation import PLACES, World

T = TypeVar("T")


class Judge:
    """Replays every fact in the order in which it became durable, and looks after each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules = world.rules
        self.ledgers: dict[TenantId, Ledger] = {tenant: Ledger() for tenant in world.tenants}
        self.places = Places()
        self.admitted: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def judge(self) -> None:
        for stream, record in self._world.log.written:
            if stream == PLACES:
                self._replay_places(record)
            else:
                self._replay(TenantId(stream.removeprefix("scheduler/")), record)
        self._judge_log()
        self._judge_end()

    def _replay(self, tenant: TenantId, record: Record) -> None:
        for entry in record.entries:
            for data in entry.facts:
                fact = FACTS.validate_python(data)
                if isinstance(fact, Admitted):
                    self.admitted[fact.request.run_id] += 1
                if isinstance(fact, Ended):
                    self.ended[fact.run_id] += 1
                self.ledgers[tenant] = evolve(self.ledgers[tenant], fact)
            for wire in entry.emits:
                if wire.attributes["ce-type"] == RunRejectedV1.wire_type:
                    self._judge_refusal(tenant, RunRejectedV1.decode(wire.data))
        self._judge_limits(tenant)

    def _judge_refusal(self, tenant: TenantId, said: RunRejectedV1) -> None:
        """Only a limit that is reached refuses: as many are accepted as asked for and allowed."""
        ledger, limits = self.ledgers[tenant], self._world.plan.limits
        self.refused[said.code] += 1
        if said.code == "queue_full":
            waiting = len(ledger.runs) - len(ledger.running)
            assert waiting == self._rules.queue_limit, "refused while the queue had room"
            return
        assert said.code == "quota_exceeded"
        assert said.resets_at is not None
        last_day = (said.resets_at - timedelta(days=1)).date().isoformat()
        daily = said.limit == "daily"
        used = ledger.charged.get(last_day if daily else last_day[:7], 0)
        most = limits.daily if daily else limits.monthly
        assert used == most, "refused while the quota had room"

    def _replay_places(self, record: Record) -> None:
        for entry in record.entries:
            for data in entry.facts:
                self.places = evolve_places(self.places, PLACE_FACTS.validate_python(data))
        assert self.places.used <= self._rules.max_running, "places over the limit"

    def _judge_limits(self, tenant: TenantId) -> None:
        ledger, limits = self.ledgers[tenant], self._world.plan.limits
        assert len(ledger.running) <= limits.concurrent, "more runs go on than may"
        for key, used in ledger.charged.items():
            most = limits.daily if len(key) == len("2026-01-31") else limits.monthly
            assert 0 <= used <= most, f"{used} charged to {key}"
        if self._rules.max_running:
            going = sum(len(one.running) for one in self.ledgers.values())
            assert going <= self._rules.max_running, "more runs go on than the platform has places"

    def _judge_log(self) -> None:
        causes: Counter[tuple[str, str]] = Counter()
        recorded = set()
        for stream, record in self._world.log.written:
            for entry in record.entries:
                causes[stream, entry.cause] += 1
                recorded |= {
                    wire.attributes["ce-id"]
                    for wire in entry.emits
                    if stream != PLACES and wire.attributes["ce-kind"] != Kind.REPLY
                }
        assert _twice(causes) == [], "an input was decided twice"
        assert _twice(self.admitted) == [], "a run was admitted twice"
        assert _twice(self.ended) == [], "a run ended twice"
        assert recorded <= set(self._world.published), "a decision was never published"

    def _judge_end(self) -> None:
        finished = Counter(
            RunFinishedV1.decode(wire.data).run_id
            for wire in self._world.published.values()
            if wire.attributes["ce-type"] == RunFinishedV1.wire_type
        )
        assert set(finished) == set(self.admitted), "a run that was admitted has no end"
        assert _twice(finished) == [], "an end was said twice"
        for ledger in self.ledgers.values():
            assert not ledger.runs, "a slot was leaked"
        if self._rules.max_running:
            assert self.places.used == 0, "a place was leaked"
        answered = {command.run_id for command in self._world.submitted}
        assert answered <= set(self.admitted) | _rejected(self._world), "a request got no answer"


def _rejected(world: World) -> set[str]:
    return {
        RunRejectedV1.decode(wire.data).run_id
        for wire in world.published.values()
        if wire.attributes["ce-type"] == RunRejectedV1.wire_type
    }


def _twice(counts: Counter[T]) -> list[T]:
    return [key for key, count in counts.items() if count > 1]

"""Reads the log of a history from its first record, and says which promise was broken first."""

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from contracts.backfills import BackfillOnly, BackfillPart, BackfillStatus
from contracts.identifiers import ConfigId, TenantId
from contracts.message import Kind
from contracts.schedules import ScheduleMissedV1
from libs.slotlog.log import Entry, Record
from services.scheduler.domain import cron
from services.scheduler.domain.backfills import backfill_run_id
from services.scheduler.domain.evolving import evolve
from services.scheduler.domain.facts import FACTS, Admitted, ScheduleAdvanced
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.places import PLACE_FACTS, Places, evolve_places
from services.scheduler.domain.schedules import scheduled_run_id
from tests.scheduler.books import Book
from tests.scheduler.promises import Promise, keep
from tests.scheduler.reasons import has_known_reason
from tests.scheduler.simulation import World

if TYPE_CHECKING:
    from contracts.runs import RetryRunV1, SubmitRunV1

PLACES = "scheduler-places/all"


class Judge:
    """Replays what became durable in its order, beside a book that is kept by its messages."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._rules = world.rules
        self.ledgers: dict[TenantId, Ledger] = {tenant: Ledger() for tenant in world.tenants}
        self.books = {tenant: Book(world.rules) for tenant in world.tenants}
        self.missed: dict[tuple[TenantId, ConfigId], list[ScheduleMissedV1]] = {}
        self.places = Places()
        self._causes: set[tuple[str, str]] = set()
        self._last: Counter[str] = Counter()

    def judge(self) -> None:
        self.judge_log()
        self.judge_end()

    def judge_log(self) -> None:
        """All that must hold at any moment, also of a history that was cut off."""
        for stream, slot, record in self.world.log.written:
            for entry in record.entries:
                keep(Promise.ONCE, (stream, entry.cause) not in self._causes, entry.cause)
                self._causes.add((stream, entry.cause))
                if stream == PLACES:
                    self._replay_places(entry)
                else:
                    self._replay(TenantId(stream.removeprefix("scheduler/")), entry, record)
            keep(Promise.WRITTEN_ONCE, slot == self._last[stream] + 1, f"{stream}: {slot}")
            self._last[stream] = slot
            self._judge_platform()

    def _replay(self, tenant: TenantId, entry: Entry, record: Record) -> None:
        book = self.books[tenant]
        book.hear(self.world.messages.get(entry.cause), record.at)
        for wire in entry.emits:
            book.say(wire)
            if wire.attributes["ce-type"] == ScheduleMissedV1.wire_type:
                said = ScheduleMissedV1.decode(wire.data)
                self.missed.setdefault((tenant, said.config_id), []).append(said)
        for data in entry.facts:
            fact = FACTS.validate_python(data)
            if isinstance(fact, ScheduleAdvanced):
                self._judge_times(tenant, fact)
            if isinstance(fact, Admitted) and fact.backfill_id is not None:
                self._judge_precedence(tenant, record.at)
            self.ledgers[tenant] = evolve(self.ledgers[tenant], fact)
        self._judge_agreement(tenant)

    def _judge_precedence(self, tenant: TenantId, now: datetime) -> None:
        """No backfill's run begins while a schedule's time has come."""
        planned = self.ledgers[tenant].schedules.values()
        due = [one for one in planned if one.starts_at is not None and one.starts_at <= now]
        keep(Promise.LIVE_FIRST, not due, f"{due} came before {now}")

    def _judge_times(self, tenant: TenantId, fact: ScheduleAdvanced) -> None:
        """Each time up to the next one has a run, or was refused one, or is among the missed."""
        planned = self.ledgers[tenant].schedules[fact.config_id]
        schedule, book = planned.schedule, self.books[tenant]
        decided = {*book.accepted, *(one.run_id for one in book.refused)}
        at = planned.due_at
        while at is not None and (fact.due_at is None or at < fact.due_at):
            run = scheduled_run_id(tenant, fact.config_id, at)
            told = any(
                one.first_due_at <= at < one.until
                for one in self.missed.get((tenant, fact.config_id), ())
            )
            keep(Promise.ON_TIME, run in decided or told, f"{fact.config_id} at {at}")
            at = cron.next_after(schedule.cron, schedule.time_zone, at)

    def _judge_agreement(self, tenant: TenantId) -> None:
        ledger, book = self.ledgers[tenant], self.books[tenant]
        going = {lease.request.run_id: lease.request.attempt for lease in ledger.running}
        waiting = {lease.request.run_id for lease in ledger.runs.values() if lease.queued}
        keep(Promise.AGREED, going == book.going, f"{going} and {book.going} go on")
        keep(Promise.AGREED, waiting == book.waiting, f"{waiting} and {book.waiting} wait")
        ends = {run: one.status for run, one in ledger.ended.items()}
        keep(Promise.AGREED, ends == {run: one.status for run, one in book.ended.items()}, ends)
        keep(Promise.AGREED, set(ledger.configs) == book.configs, book.configs)
        keep(Promise.AGREED, ledger.suspended == book.suspended, book.suspended)
        keep(Promise.AGREED, ledger.limits == book.limits, book.limits)
        backfills = {name: one.about.status for name, one in ledger.backfills.items()}
        told = {name: about.status for name, about in book.backfills.items()}
        keep(Promise.AGREED, backfills == told, f"{backfills} and {told}")
        keep(Promise.CHARGED, ledger.charged == book.now_charged, f"{ledger.charged}")

    def _replay_places(self, entry: Entry) -> None:
        for data in entry.facts:
            self.places = evolve_places(self.places, PLACE_FACTS.validate_python(data))

    def _judge_platform(self) -> None:
        if self._rules.max_running:
            going = sum(len(book.going) for book in self.books.values())
            keep(Promise.LIMITS, going <= self._rules.max_running, f"{going} runs go on")
            keep(Promise.LIMITS, self.places.used <= self._rules.max_running, self.places)

    def judge_end(self) -> None:
        """What must hold when all trouble is over."""
        for stream, _, record in self.world.log.written:
            for wire in (wire for entry in record.entries for wire in entry.emits):
                if stream != PLACES and wire.attributes["ce-kind"] != Kind.REPLY:
                    there = wire.attributes["ce-id"] in self.world.published
                    keep(Promise.NOTHING_LOST, there, wire.attributes)
        for id_, message in self.world.messages.items():
            keep(Promise.NOTHING_LOST, bool(self.world.answers[id_]), message)
        for tenant, book in self.books.items():
            keep(Promise.NOTHING_LEAKED, set(book.ended) == set(book.accepted), tenant)
            keep(Promise.NOTHING_LEAKED, not self.ledgers[tenant].runs, tenant)
            for about in book.backfills.values():
                self._judge_backfill(tenant, about)
        keep(Promise.NOTHING_LEAKED, not self.places.used, self.places)
        reminders = [name for name in self.world.objects.bodies if name.startswith("due/")]
        keep(Promise.NOTHING_LEAKED, not reminders, reminders)
        for said in self.world.refusals:
            keep(Promise.REASONED, has_known_reason(said), said)
        self._judge_answers()

    def _judge_answers(self) -> None:
        """Who asks for a run is told of it: that it begins, waits or is refused."""
        load = self.world.load
        asked: list[SubmitRunV1 | RetryRunV1] = [*load.submitted, *load.retried]
        for command in asked:
            book = self.books[command.tenant_id]
            known = command.run_id in book.accepted or any(
                one.run_id == command.run_id for one in book.refused
            )
            ids = (id_ for id_, one in self.world.messages.items() if one == command)
            answers = [answer for id_ in ids for answer in self.world.answers[id_]]
            keep(Promise.NOTHING_LOST, known or "command.refused.v1" in answers, command)

    def _judge_backfill(self, tenant: TenantId, about: BackfillPart) -> None:
        keep(Promise.BACKFILLED, about.status.is_final, about)
        known, book = self.ledgers[tenant].backfills[about.backfill_id], self.books[tenant]
        keep(Promise.NOTHING_LEAKED, not known.active, known)
        done = known.about.completed + known.about.failed
        keep(Promise.BACKFILLED, known.about.started == done, known.about)
        if about.status is not BackfillStatus.COMPLETED:
            return
        for offset in range((about.to_date - about.from_date).days + 1):
            day = about.from_date + timedelta(days=offset)
            ran = backfill_run_id(about.backfill_id, day) in book.accepted
            before = about.only is BackfillOnly.MISSING and (
                (about.config_id, day) in book.completed
            )
            keep(Promise.BACKFILLED, ran or before, f"{day} of {about}")


def moments(world: World) -> list[tuple[str, Any, datetime]]:
    """What became durable, in its order, without what is random: the same for the same seed."""
    return [
        (stream, [(entry.cause, entry.facts) for entry in record.entries], record.at)
        for stream, _, record in world.log.written
    ]

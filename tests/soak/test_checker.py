"""The judge of the soak finds each promise kept, and each that is broken."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from contracts.envelope import Wire
from contracts.runs import RunRejectedV1
from libs.slotlog.log import Entry, JsonObject
from tests.faults.checker import Finding
from tests.soak import __main__ as soak
from tests.soak.evidence import (
    ACCOUNT,
    CALM,
    COMPLETING,
    FAILING,
    GAVE_UP,
    LEDGER,
    SURE,
    Evidence,
    collected,
    run_at,
)

FINISHED, REQUESTED, ONBOARDED = "run.finished.v1", "run.requested.v1", "tenant.onboarded.v1"
ACCOUNTED = "every request is accepted or refused, as the ledger says"
ROOM = "no request is refused while a limit has room"
ENDS = "every accepted run ends"
AS_DEFINED = "a run ends as its definition says"
GAPLESS = "slots follow each other without a gap"
DECIDED_ONCE = "each input is decided once"
LIMITS = "no limit is exceeded at any slot"
LEFT = "no slot or place in the queue is left over"
PUBLISHED = "what was decided was published"
RECORDED = "what was published is an event row"
RECORDED_ONCE = "no event row is doubled"
ENDS_ONCE = "a run ends exactly once"
VIEW = "the view of runs says what the API says"
EFFECT = "a completed run has its effect once"
BURIED = "poison, and only poison, is a dead letter with a reason"
MINUTES = "each minute's scheduled run had its effect once"
DUE = "no run by schedule without a due time"
LOADS = "each load of a bill completes"
COSTS = "costs were one whole delivery whenever looked at"
DESERVED = "no request was refused that should not be"
IN_TIME = "all ends within 30 s of the last fault"
Change = Callable[[Evidence], None]
CHANGES: list[tuple[Change, str]] = []
"""What is changed, and the promise that it breaks; none when that is empty."""


def breaks(promise: str) -> Callable[[Change], Change]:
    def taken(change: Change) -> Change:
        CHANGES.append((change, promise))
        return change

    return taken


@breaks(ACCOUNTED)
def a_request_has_no_answer(evidence: Evidence) -> None:
    evidence.tenant.demand += 1


@breaks(ACCOUNTED)
def a_refusal_is_not_in_the_ledger(evidence: Evidence) -> None:
    evidence.tenant.demand += 1
    evidence.tenant.refused += 1


@breaks(ACCOUNTED)
def a_run_is_charged_that_nobody_was_told_of(evidence: Evidence) -> None:
    evidence.tenant.demand -= 1
    del evidence.tenant.accepted[FAILING], evidence.tenant.ended[FAILING]


@breaks(ROOM)
def a_day_had_room_at_a_refusal(evidence: Evidence) -> None:
    limit(evidence, daily=3)


@breaks(ROOM)
def a_month_had_room_at_a_refusal(evidence: Evidence) -> None:
    each_entry(evidence, refused_by_the_month)


@breaks(ENDS)
def a_run_goes_on(evidence: Evidence) -> None:
    del evidence.tenant.ended[FAILING]


@breaks(AS_DEFINED)
def a_run_completes_that_must_fail(evidence: Evidence) -> None:
    evidence.end(FAILING, "COMPLETED")


@breaks(AS_DEFINED)
def a_run_fails_that_must_complete(evidence: Evidence) -> None:
    evidence.end(COMPLETING, "FAILED")


@breaks(AS_DEFINED)
def a_run_is_cancelled_that_nobody_cancelled(evidence: Evidence) -> None:
    evidence.end(COMPLETING, "CANCELLED")


@breaks("")
def a_run_is_cancelled_as_it_was_asked_for(evidence: Evidence) -> None:
    evidence.tenant.cancelled.add(COMPLETING)
    evidence.end(COMPLETING, "CANCELLED")


@breaks(GAPLESS)
def the_slot_before_the_last_is_missing(evidence: Evidence) -> None:
    last = evidence.last_slot(LEDGER)
    evidence.records[LEDGER, last + 1] = evidence.records.pop((LEDGER, last))


@breaks(GAPLESS)
def the_first_slot_of_the_tenant_service_is_missing(evidence: Evidence) -> None:
    del evidence.records[ACCOUNT, 1]


@breaks(DECIDED_ONCE)
def an_input_is_decided_again_in_the_last_slot(evidence: Evidence) -> None:
    decide_again(evidence, LEDGER)


@breaks(DECIDED_ONCE)
def an_input_of_the_tenant_service_is_decided_again(evidence: Evidence) -> None:
    decide_again(evidence, ACCOUNT)


@breaks(LIMITS)
def more_runs_go_on_than_may(evidence: Evidence) -> None:
    limit(evidence, concurrent=0)


@breaks(LIMITS)
def more_runs_are_charged_to_a_day_than_may(evidence: Evidence) -> None:
    limit(evidence, daily=1)


@breaks(LIMITS)
def more_runs_are_charged_to_a_month_than_may(evidence: Evidence) -> None:
    limit(evidence, monthly=1)


@breaks(LEFT)
def a_run_keeps_its_slot_for_ever(evidence: Evidence) -> None:
    each_entry(evidence, without_the_failing_end)


@breaks(PUBLISHED)
def a_decision_is_never_published(evidence: Evidence) -> None:
    del evidence.delivered[evidence.first(REQUESTED)]


@breaks(PUBLISHED)
def a_decision_of_the_tenant_service_is_never_published(evidence: Evidence) -> None:
    del evidence.delivered[evidence.first(ONBOARDED)]


@breaks("")
def an_event_is_delivered_twice(evidence: Evidence) -> None:
    evidence.delivered.append(evidence.delivered[evidence.first(FINISHED)])


@breaks(RECORDED)
def an_event_has_no_row(evidence: Evidence) -> None:
    requested = evidence.id_of(REQUESTED)
    evidence.tables.change("DELETE FROM tenants.events WHERE event_id = ?", requested)


@breaks(RECORDED_ONCE)
def an_event_has_two_rows(evidence: Evidence) -> None:
    evidence.tables.add("tenants.events", evidence.id_of(REQUESTED), REQUESTED, "{}")


@breaks(ENDS_ONCE)
def an_end_is_told_under_two_ids(evidence: Evidence) -> None:
    evidence.tables.add("tenants.events", "another", FINISHED, f'{{"run_id": "{COMPLETING}"}}')


@breaks(ENDS_ONCE)
def an_end_names_no_run(evidence: Evidence) -> None:
    finished = evidence.id_of(FINISHED)
    evidence.tables.change("UPDATE tenants.events SET data = '{}' WHERE event_id = ?", finished)


@breaks(VIEW)
def the_view_lacks_a_run(evidence: Evidence) -> None:
    evidence.tables.change("DELETE FROM tenants.tenant_pipeline_runs WHERE run_id = ?", FAILING)


@breaks(VIEW)
def the_view_shows_another_end(evidence: Evidence) -> None:
    evidence.show(FAILING, "COMPLETED")


@breaks(EFFECT)
def a_completed_run_has_no_effect(evidence: Evidence) -> None:
    evidence.tables.change("DELETE FROM acme.effects")


@breaks(EFFECT)
def a_completed_run_has_its_effect_twice(evidence: Evidence) -> None:
    evidence.tables.add("acme.effects", COMPLETING)


@breaks(EFFECT)
def a_run_that_did_not_complete_has_an_effect_twice(evidence: Evidence) -> None:
    evidence.tables.add("acme.effects", FAILING)
    evidence.tables.add("acme.effects", FAILING)


@breaks(BURIED)
def poison_is_no_dead_letter(evidence: Evidence) -> None:
    evidence.poisoned.append("poison-2")


@breaks(BURIED)
def poison_is_a_dead_letter_only_of_who_need_not_read_it(evidence: Evidence) -> None:
    evidence.poisoned.append("poison-2")
    evidence.bury("poison-2", by="convergence-tenant-from-gateway-v1", dead_reason="no sense")


@breaks(BURIED)
def a_dead_letter_is_no_poison(evidence: Evidence) -> None:
    evidence.bury(evidence.id_of(FINISHED), dead_reason="it was not understood")


@breaks(BURIED)
def a_dead_letter_has_no_reason(evidence: Evidence) -> None:
    evidence.poisoned.append("poison-2")
    evidence.bury("poison-2", dead_subscription=GAVE_UP)


@breaks(BURIED)
def an_event_is_given_up_by_pubsub_itself(evidence: Evidence) -> None:
    evidence.bury(evidence.id_of(FINISHED), CloudPubSubDeadLetterSourceSubscription=GAVE_UP)


@breaks("")
def poison_is_buried_twice(evidence: Evidence) -> None:
    evidence.delivered.append(evidence.delivered[-1])


@breaks(MINUTES)
def a_minute_never_ran(evidence: Evidence) -> None:
    evidence.tables.change("DELETE FROM regular_0.effects WHERE run_id = ?", run_at(SURE[3]))


@breaks(MINUTES)
def a_minute_ran_twice(evidence: Evidence) -> None:
    evidence.tables.add("regular_0.effects", run_at(SURE[3]))


@breaks(MINUTES)
def a_minute_near_the_beginning_ran_twice(evidence: Evidence) -> None:
    for _ in range(2):
        evidence.tables.add("regular_0.effects", run_at(CALM + timedelta(minutes=1)))


@breaks("")
def a_minute_near_the_beginning_ran(evidence: Evidence) -> None:
    evidence.tables.add("regular_0.effects", run_at(CALM + timedelta(minutes=1)))


@breaks(DUE)
def a_minute_ran_long_after_the_schedule_was_deleted(evidence: Evidence) -> None:
    evidence.tables.add("regular_0.effects", run_at(CALM + timedelta(minutes=12)))


@breaks(LOADS)
def a_load_fails(evidence: Evidence) -> None:
    evidence.regular.loads.append("FAILED{'code': 'internal_error'}")


@breaks(COSTS)
def costs_were_of_two_loads_at_once(evidence: Evidence) -> None:
    evidence.regular.seen.insert(1, (30, Decimal(30), 2))


@breaks(DESERVED)
def a_request_is_called_wrong_that_is_right(evidence: Evidence) -> None:
    evidence.work._note("POST", 404, {"code": "config_not_found"})


@breaks("")
def a_request_found_a_full_queue(evidence: Evidence) -> None:
    evidence.work._note("POST", 429, {"code": "queue_full"})


@breaks(IN_TIME)
def an_end_is_told_too_late(evidence: Evidence) -> None:
    tell_end_after(evidence, soak.AIM_SECONDS + 0.1)


@breaks(IN_TIME)
def an_end_is_told_to_nobody_who_listens(evidence: Evidence) -> None:
    place = evidence.first(FINISHED)
    dumb = {**evidence.delivered[place].attributes, "ce-type": REQUESTED}
    evidence.delivered[place] = replace(evidence.delivered[place], attributes=dumb)


@breaks("")
def an_end_is_told_just_in_time(evidence: Evidence) -> None:
    tell_end_after(evidence, soak.AIM_SECONDS)


def limit(evidence: Evidence, **limits: int) -> None:
    """As if these had been known from the beginning, and not heeded."""

    def known(fact: JsonObject) -> JsonObject:
        is_known = fact["kind"] == "tenant_known"
        return {**fact, "limits": {**fact["limits"], **limits}} if is_known else fact

    each_entry(evidence, lambda entry: replace(entry, facts=tuple(map(known, entry.facts))))


def refused_by_the_month(entry: Entry) -> Entry:
    """It has room for eighteen more."""

    def refused(wire: Wire) -> Wire:
        if wire.attributes["ce-type"] != RunRejectedV1.wire_type:
            return wire
        event = RunRejectedV1.decode(wire.data).model_copy(update={"limit": "monthly"})
        return replace(wire, data=event.encode())

    return replace(entry, emits=tuple(map(refused, entry.emits)))


def without_the_failing_end(entry: Entry) -> Entry:
    facts = (
        fact for fact in entry.facts if (fact["kind"], fact.get("run_id")) != ("ended", FAILING)
    )
    return replace(entry, facts=tuple(facts))


def each_entry(evidence: Evidence, change: Callable[[Entry], Entry]) -> None:
    for place, record in evidence.records.items():
        evidence.records[place] = replace(record, entries=tuple(map(change, record.entries)))


def decide_again(evidence: Evidence, stream: str) -> None:
    """What the first slot has decided is in the last once more."""
    cause = evidence.records[stream, 1].entries[0].cause
    last = evidence.records[stream, evidence.last_slot(stream)]
    again = replace(last, entries=(*last.entries, Entry(cause, (), ())))
    evidence.records[stream, evidence.last_slot(stream)] = again


def tell_end_after(evidence: Evidence, seconds: float) -> None:
    place, told = evidence.first(FINISHED), CALM + timedelta(seconds=seconds)
    evidence.delivered[place] = replace(evidence.delivered[place], publish_time=told)


@pytest.fixture
async def evidence(tmp_path: Path) -> AsyncIterator[Evidence]:
    async with aiohttp.ClientSession() as session:
        found = await collected(session, tmp_path)
        yield found
        found.tables.shut()


def broken(found: list[Finding]) -> dict[str, tuple[str, ...]]:
    return {one.promise: one.violations for one in found if one.violations}


async def test_what_kept_every_promise_is_looked_at_for_each_and_has_no_violation(
    evidence: Evidence,
) -> None:
    found = await evidence.judged()
    assert broken(found) == {}
    assert [one.promise for one in found if not one.checked] == []
    assert soak.report(found, seed=1) == 0


@pytest.mark.parametrize(
    ("change", "promise"),
    [pytest.param(*one, id=one[0].__name__.replace("_", " ")) for one in CHANGES],
)
async def test_that_promise_is_found_broken_which_is_and_no_other(
    evidence: Evidence, change: Change, promise: str
) -> None:
    change(evidence)
    found = await evidence.judged()
    assert broken(found).keys() == ({promise} if promise else set()), broken(found)
    assert soak.report(found, seed=1) == bool(promise)


async def test_every_promise_is_broken_once_here(evidence: Evidence) -> None:
    promises = {one.promise for one in await evidence.judged()}
    assert promises == {promise for _, promise in CHANGES if promise}

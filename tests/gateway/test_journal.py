"""However a run's events arrive, they are told in one order."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.identifiers import ConfigId, RunId, StepId, TenantId
from contracts.message import Message
from contracts.pipelines import DefinitionPart, StepPart
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptStartedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRequestedV1,
    RunStatus,
)
from contracts.steps import StepCompletedV1, StepStartedV1, StepStatus
from services.gateway.journal import GAP, HOLD, START, Heard, Journal, begins, parse_position

NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)
SAID = NOW - timedelta(minutes=1)
"""Everything is heard a while after it was said."""
TENANT, RUN = TenantId("acme"), RunId("00000000-0000-4000-8000-000000000001")
CONFIG, STEP = ConfigId("daily"), StepId("load")


def heard(message: Message, id_: str, *, cause: str = "", sequence: int = 0) -> Heard:
    told = None if isinstance(message, AttemptHeartbeatV1) else message
    return Heard(id_, message.wire_type, SAID, cause, sequence, told, NOW)


def queued() -> Heard:
    return heard(
        RunQueuedV1(
            tenant_id=TENANT,
            run_id=RUN,
            config_id=CONFIG,
            revision=1,
            run_date=date(2026, 3, 14),
            position=1,
            reason="full",
            submitted_at=NOW,
        ),
        "queued",
    )


def requested(attempt: int) -> Heard:
    return heard(
        RunRequestedV1(
            tenant_id=TENANT,
            run_id=RUN,
            attempt=attempt,
            config_id=CONFIG,
            revision=1,
            definition=DefinitionPart(
                pipeline_id=CONFIG, steps=(StepPart(step_id=STEP, type="bq_etl.query"),)
            ),
            run_date=date(2026, 3, 14),
            datasets=("acme",),
            max_bytes_billed=1,
            lease_seconds=60,
            begin_seconds=120,
            submitted_at=NOW,
        ),
        f"requested-{attempt}",
    )


def attempt_events(attempt: int, *, ends: bool = True) -> list[Heard]:
    """What one attempt says, a heartbeat among it."""
    about: dict[str, Any] = {"tenant_id": TENANT, "run_id": RUN, "attempt": attempt}
    step: dict[str, Any] = {**about, "step_id": STEP, "step_type": "bq_etl.query"}
    said: list[Message] = [
        AttemptStartedV1(**about, config_id=CONFIG, steps=(STEP,), started_at=NOW),
        StepStartedV1(**step, started_at=NOW),
        AttemptHeartbeatV1(**about),
        StepCompletedV1(**step, status=StepStatus.COMPLETED, finished_at=NOW),
    ]
    if ends:
        end: dict[str, Any] = {"status": RunStatus.COMPLETED, "started_at": NOW, "finished_at": NOW}
        said.append(AttemptFinishedV1(**about, **end))
    cause = f"requested-{attempt}"
    return [
        heard(message, f"{attempt}-{number}", cause=cause, sequence=number)
        for number, message in enumerate(said, start=1)
    ]


def finished(attempt: int, status: RunStatus = RunStatus.COMPLETED) -> Heard:
    return heard(
        RunFinishedV1(
            tenant_id=TENANT,
            run_id=RUN,
            config_id=CONFIG,
            revision=1,
            attempt=attempt,
            status=status,
            run_date=date(2026, 3, 14),
            submitted_at=NOW,
            started_at=NOW,
            finished_at=NOW,
        ),
        "finished",
    )


def told(journal: Journal) -> list[tuple[int, int, int]]:
    return [entry.position for entry in journal.entries]


SCHEDULER = [queued(), requested(1), requested(2), finished(2)]
EXECUTOR = [*attempt_events(1, ends=False), *attempt_events(2)]
IN_ORDER = [
    *((0, 0, 0), (1, 0, 0), (1, 1, 1), (1, 1, 2), (1, 1, 4)),
    *((2, 0, 0), (2, 1, 1), (2, 1, 2), (2, 1, 4), (2, 1, 5), (2, 2, 0)),
]


@st.composite
def arrivals(draw: st.DrawFn) -> list[Heard]:
    """Both topics in their own order, mixed anyhow, with parts of them delivered again."""
    scheduler, executor = list(SCHEDULER), list(EXECUTOR)
    found: list[Heard] = []
    while scheduler or executor:
        source = draw(st.sampled_from([topic for topic in (scheduler, executor) if topic]))
        found.append(source.pop(0))
        if draw(st.booleans()):
            found += found[draw(st.integers(0, len(found) - 1)) :]
    return found


@given(arrivals())
def test_any_arrival_is_told_in_the_same_order(found: list[Heard]) -> None:
    journal = Journal()
    for one in found:
        journal.take(one)
        journal.release(NOW)
    # Attempt 1 never said that it ended: what follows has waited for it long enough.
    journal.release(NOW + HOLD + timedelta(seconds=1))
    assert told(journal) == IN_ORDER
    assert journal.has_ended


@given(arrivals(), st.integers(0, len(IN_ORDER)))
def test_a_client_goes_on_at_another_instance_where_it_was(found: list[Heard], seen: int) -> None:
    journal = Journal()
    for one in found:
        journal.take(one)
    journal.release(NOW + HOLD * 2)
    last = journal.entries[seen - 1] if seen else None
    position = parse_position(last.frame.split(b"\n")[0][4:].decode()) if last else START
    assert [entry.position for entry in journal.after(position)] == IN_ORDER[seen:]


def test_what_follows_a_gap_waits_for_what_is_missing() -> None:
    journal = Journal()
    for one in [requested(1), *attempt_events(1)[:1], *attempt_events(1)[2:]]:
        journal.take(one)
    journal.release(NOW)
    assert told(journal) == [(1, 0, 0), (1, 1, 1)]
    assert journal.lacks_something
    journal.take(attempt_events(1)[1])
    journal.release(NOW)
    assert told(journal) == [(1, 0, 0), (1, 1, 1), (1, 1, 2), (1, 1, 4), (1, 1, 5)]


def test_a_gap_that_nobody_can_fill_is_stepped_over_in_the_end() -> None:
    journal = Journal()
    for one in [requested(1), *attempt_events(1)[2:]]:
        journal.take(one)
    journal.release(NOW + GAP)
    assert told(journal) == [(1, 0, 0)]
    journal.release(NOW + GAP + timedelta(seconds=1))
    assert told(journal) == [(1, 0, 0), (1, 1, 4), (1, 1, 5)]


def test_the_end_comes_last_though_it_arrives_before_the_steps() -> None:
    journal = Journal()
    for one in [requested(1), finished(1)]:
        journal.take(one)
    assert journal.release(NOW)
    assert not journal.has_ended
    for one in attempt_events(1):
        journal.take(one)
    journal.release(NOW)
    assert (journal.has_ended, told(journal)[-1]) == (True, (1, 2, 0))


def test_what_is_heard_after_the_end_was_told_is_told_to_who_comes_later() -> None:
    journal = Journal()
    for one in [requested(1), finished(1, RunStatus.FAILED)]:
        journal.take(one)
    journal.release(NOW + HOLD)
    assert told(journal) == [(1, 0, 0)]
    journal.release(NOW + HOLD * 2)
    assert told(journal) == [(1, 0, 0), (1, 2, 0)]
    for one in reversed(attempt_events(1)):
        journal.take(one)
    assert told(journal) == [(1, 0, 0), *((1, 1, n) for n in (1, 2, 4, 5)), (1, 2, 0)]
    assert journal.has_ended


def test_a_completed_run_waits_longer_for_its_steps_since_they_must_come() -> None:
    journal = Journal()
    for one in [requested(1), finished(1)]:
        journal.take(one)
    journal.release(NOW + GAP)
    assert told(journal) == [(1, 0, 0)]
    journal.release(NOW + GAP + timedelta(seconds=1))
    assert told(journal) == [(1, 0, 0), (1, 2, 0)]


def test_what_an_attempt_says_after_it_was_given_up_is_left_out() -> None:
    journal = Journal()
    for one in [requested(1), requested(2)]:
        journal.take(one)
    journal.release(NOW + HOLD * 2)
    for one in attempt_events(1):
        journal.take(one)
    journal.release(NOW + HOLD * 2)
    assert told(journal) == [(1, 0, 0), (2, 0, 0)]


def test_a_definition_and_what_it_may_touch_are_not_told() -> None:
    journal = Journal()
    journal.take(requested(1))
    journal.release(NOW)
    frame = journal.entries[0].frame
    assert frame.startswith(b"id: 1.0.0\nevent: run.requested.v1\ndata: {")
    for untold in (b"definition", b"datasets", b"_seconds"):
        assert untold not in frame


def test_only_a_beginning_makes_a_journal_whole() -> None:
    assert [begins(one.message) for one in (queued(), requested(1)) if one.message] == [True, True]
    later = [one.message for one in (requested(2), finished(1)) if one.message]
    assert [begins(message) for message in later] == [False, False]

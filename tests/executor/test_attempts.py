"""How an attempt goes: retries, time limits, conditions, cancellation, resuming, limits."""

import asyncio
import time
from collections.abc import Callable

import polars as pl
import pytest

from contracts.pipelines import OnFailure, RetryPart
from contracts.runs import (
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    RunStatus,
)
from contracts.steps import StepCompletedV1, StepProgressedV1, StepStatus
from libs.bus.errors import PublishRefusedError
from services.executor import tries
from services.executor.runner import AttemptLostError
from services.executor.steps.step import (
    StepError,
    StepFaultError,
    StepResult,
    StepRetryError,
    StepRun,
    StepUnknownError,
)
from tests.executor.acting import Acting, Stage
from tests.executor.stage import requested, step


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "STOP_AGAIN", 0.0)


def failing(error: StepError, times: int) -> Acting:
    left = times

    async def act(_: StepRun) -> StepResult | None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return None

    return Acting(act)


async def forever(_: StepRun) -> StepResult | None:
    await asyncio.Event().wait()
    return None


async def until(stage: Stage, ran: int) -> None:
    async with asyncio.timeout(60):
        while len(stage.acting.ran) < ran:  # noqa: ASYNC110  a fake has no events
            await asyncio.sleep(0)


async def test_what_may_hold_next_time_is_tried_again_under_a_new_number() -> None:
    stage = Stage(failing(StepRetryError("x", "y"), 2))
    end = await stage.run(requested(step("act")))
    assert (end.status, stage.acting.tries) == (RunStatus.COMPLETED, [1, 2, 3])
    (said,) = stage.sent.all(StepCompletedV1)
    assert said.tries == 3


async def test_what_may_have_been_done_is_asked_again_under_the_same_number() -> None:
    stage = Stage(failing(StepUnknownError("x", "y"), 2))
    end = await stage.run(requested(step("act")))
    assert (end.status, stage.acting.tries) == (RunStatus.COMPLETED, [1, 1, 1])


async def test_an_outage_takes_no_tries_and_ends() -> None:
    retry = RetryPart(attempts=1, backoff_seconds=0)
    patient = Stage(failing(StepUnknownError("x", "y"), 20))
    end = await patient.run(requested(step("act", retry=retry)))
    assert (end.status, set(patient.acting.tries)) == (RunStatus.COMPLETED, {1})


async def test_a_fault_of_the_clouds_takes_no_tries_but_numbers() -> None:
    retry = RetryPart(attempts=1, backoff_seconds=0)
    patient = Stage(failing(StepFaultError("bigquery_backendError", "y"), 5))
    end = await patient.run(requested(step("act", retry=retry)))
    assert (end.status, patient.acting.tries) == (RunStatus.COMPLETED, [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("kind", "stopped"),
    [(StepUnknownError, {"it"}), (StepFaultError, set())],  # what nobody knows of may still go on
)
async def test_an_outage_is_not_waited_out_for_ever(
    kind: type[StepError], stopped: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "LONGEST_OUTAGE", 0.0)
    stage = Stage(failing(kind("away", "y"), 1000))
    end = await stage.run(requested(step("act")))
    assert end.error is not None
    assert (end.status, end.error.code) == (RunStatus.FAILED, "away")
    assert set(stage.acting.stopped) == stopped


@pytest.mark.parametrize(
    ("answered", "status"), [(-1.0, RunStatus.COMPLETED), (60.0, RunStatus.FAILED)]
)
async def test_what_went_on_for_long_was_answered_so_that_an_outage_begins_anew(
    monkeypatch: pytest.MonkeyPatch, answered: float, status: RunStatus
) -> None:
    monkeypatch.setattr(tries, "LONGEST_OUTAGE", 1e-9)
    monkeypatch.setattr(tries, "ANSWERED_SECONDS", answered)
    stage = Stage(failing(StepUnknownError("away", "y"), 3))
    assert (await stage.run(requested(step("act")))).status is status


async def test_what_is_wrong_is_not_tried_again() -> None:
    stage = Stage(failing(StepError("invalid_config", "no"), 1))
    end = await stage.run(requested(step("act")))
    assert (end.status, stage.acting.tries) == (RunStatus.FAILED, [1])
    assert end.error is not None
    assert (end.error.code, end.error.step_id) == ("invalid_config", "it")


async def test_tries_end() -> None:
    stage = Stage(failing(StepRetryError("x", "y"), 100))
    retry = RetryPart(attempts=4, backoff_seconds=0)
    end = await stage.run(requested(step("act", retry=retry)))
    assert (end.status, stage.acting.tries) == (RunStatus.FAILED, [1, 2, 3, 4])


def panic() -> None:
    """What Polars raises is no `Exception`, as of bytes that it cannot write as JSON."""
    pl.DataFrame({"v": [{"b": b"x"}]}).select(pl.col("v").struct.json_encode())


def divide() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("fault", [divide, panic])
async def test_a_fault_of_ours_ends_the_step_and_not_the_executor(
    fault: Callable[[], None],
) -> None:
    async def act(_: StepRun) -> StepResult | None:
        await asyncio.to_thread(fault)
        return None

    end = await Stage(Acting(act)).run(requested(step("act")))
    assert end.error is not None
    assert (end.status, end.error.code) == (RunStatus.FAILED, "internal_error")
    assert end.error.detail == "step it failed for a reason on our side"


async def test_a_step_has_its_time_and_is_stopped_outside() -> None:
    """Twice, since what was being asked for may begin after the first time."""
    stage = Stage(Acting(forever))
    end = await stage.run(requested(step("act", timeout_seconds=1)))
    assert end.error is not None
    assert (end.error.code, stage.acting.stopped) == ("timeout", ["it", "it"])


async def test_an_unknown_type_is_named() -> None:
    end = await Stage().run(requested(step("no.such")))
    assert end.error is not None
    assert end.error.code == "unknown_step_type"


async def test_a_step_runs_only_when_its_condition_holds() -> None:
    steps = (
        step("act", id="load"),
        step("act", id="big", needs=("load",), when="steps.load.rows > 10"),
        step("act", id="small", needs=("load",), when="${steps.load.rows} <= 10"),
        step("act", id="after", needs=("big", "small")),
    )
    stage = Stage()
    assert (await stage.run(requested(*steps))).status is RunStatus.COMPLETED
    assert stage.acting.ran == ["load", "small", "after"]
    assert stage.sent.states["big"] is StepStatus.SKIPPED


async def test_a_step_may_wait_for_failure() -> None:
    async def act(given: StepRun) -> StepResult | None:
        if given.step.step_id == "load":
            raise StepError("x", "y")
        return None

    steps = (
        step("act", id="load"),
        step("act", id="next", needs=("load",)),
        step("act", id="tell", needs=("next",), when="failed()"),
        step("act", id="tidy", needs=("load",), when="always()"),
        step("act", id="cheer", needs=("load",), when="not failed()"),
    )
    stage = Stage(Acting(act))
    assert (await stage.run(requested(*steps))).status is RunStatus.FAILED
    assert set(stage.acting.ran) == {"load", "tell", "tidy"}
    assert stage.sent.states["next"] is StepStatus.SKIPPED


async def test_a_condition_that_cannot_be_decided_fails_its_step() -> None:
    end = await Stage().run(requested(step("act", when="parameters.missing > 3")))
    assert end.error is not None
    assert (end.status, end.error.code) == (RunStatus.FAILED, "invalid_condition")


async def test_a_failure_that_may_be_does_not_stop_the_rest() -> None:
    steps = (
        step("act", id="a", on_failure=OnFailure.CONTINUE),
        step("act", id="b", needs=("a",)),
    )
    stage = Stage(failing(StepError("x", "y"), 1))
    assert (await stage.run(requested(*steps))).status is RunStatus.COMPLETED
    assert stage.acting.ran == ["a", "b"]


async def test_a_hundred_wide_pipeline_keeps_its_limit_and_loses_nothing() -> None:
    steps = [step("act", id=f"s{n}") for n in range(100)]
    last = step("act", id="last", needs=tuple(s.step_id for s in steps))
    stage = Stage(parallel=7)
    assert (await stage.run(requested(*steps, last))).status is RunStatus.COMPLETED
    assert len(set(stage.acting.ran)) == len(stage.acting.ran) == 101
    assert stage.acting.most_at_once == 7
    assert set(stage.sent.states.values()) == {StepStatus.COMPLETED}


async def test_nothing_waiting_begins_after_a_step_that_must_not_fail() -> None:
    steps = [step("act", id=f"s{n}") for n in range(10)]
    stage = Stage(failing(StepError("x", "y"), 1), parallel=2)
    assert (await stage.run(requested(*steps))).status is RunStatus.FAILED
    assert len(stage.acting.ran) <= 3


async def test_a_cancelled_run_stops_what_goes_on_and_begins_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.executor.runner.STOP_SECONDS", 0.01)
    stage = Stage(Acting(forever))
    attempt = stage.attempt(requested(step("act", id="a"), step("act", id="b", needs=("a",))))
    running = asyncio.create_task(attempt.run())
    await until(stage, 1)
    await attempt.cancel()
    await running
    assert stage.sent.end.status is RunStatus.CANCELLED
    assert set(stage.sent.states.values()) == {StepStatus.CANCELLED}
    assert set(stage.acting.stopped) == {"a"}


async def test_what_is_cancelled_and_then_handed_back_is_stopped_outside() -> None:
    stage = Stage(Acting(forever))
    attempt = stage.attempt(requested(step("act")))
    running = asyncio.create_task(attempt.run())
    await until(stage, 1)
    cancelling = asyncio.create_task(attempt.cancel())
    await asyncio.sleep(0)
    running.cancel()
    cancelling.cancel()
    await asyncio.gather(running, cancelling, return_exceptions=True)
    stage.acting.stopped.clear()
    await attempt.hand_back()
    assert stage.acting.stopped == ["it"]


async def test_an_attempt_whose_words_are_refused_does_not_end_as_if_they_were_said() -> None:
    async def act(given: StepRun) -> StepResult | None:
        stage.sent.refuses = given.step.step_id == "a"
        return None

    stage = Stage(Acting(act))
    request = requested(step("act", id="a"), step("act", id="b", needs=("a",)))
    with pytest.raises(PublishRefusedError):
        await stage.run(request)
    assert stage.sent.all(AttemptFinishedV1) == []
    stage.acting, stage.sent.refuses = Acting(), False
    await stage.run(request.model_copy(update={"attempt": 2}))
    assert set(stage.sent.states) == {"a", "b"}


async def test_an_attempt_that_is_handed_back_is_gone_on_with_by_the_next() -> None:
    gate = asyncio.Event()

    async def act(given: StepRun) -> StepResult | None:
        if given.step.step_id == "b":
            await gate.wait()
        return StepResult(rows=7)

    stage = Stage(Acting(act))
    request = requested(step("act", id="a"), step("act", id="b", needs=("a",)))
    attempt = stage.attempt(request)
    running = asyncio.create_task(attempt.run())
    await until(stage, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await attempt.hand_back()
    assert len(stage.sent.all(AttemptReturnedV1)) == 1
    assert stage.acting.stopped == []
    gate.set()
    await stage.attempt(request.model_copy(update={"attempt": 2})).run()
    assert stage.acting.ran == ["a", "b", "b"]
    assert stage.sent.end.status is RunStatus.COMPLETED


async def test_what_an_earlier_attempt_completed_is_said_again_alike() -> None:
    stage = Stage()
    request = requested(step("act", id="a"))
    await stage.run(request)
    before = list(stage.sent.ids)
    stage.sent.messages.clear()
    stage.sent.ids.clear()
    await stage.attempt(request.model_copy(update={"attempt": 2})).run()
    assert stage.acting.ran == ["a"]
    assert len(set(stage.sent.ids) & set(before)) == 1
    (said,) = stage.sent.all(StepCompletedV1)
    assert said.attempt == 1


@pytest.mark.parametrize(
    ("resume_from", "again"),
    [
        ("", ["b", "c"]),
        ("start", ["a", "b", "c", "d"]),
        ("a", ["a", "b", "c"]),
        ("d", ["b", "c", "d"]),
    ],
)
async def test_a_run_that_is_asked_for_again_does_what_is_wanted(
    resume_from: str, again: list[str]
) -> None:
    broken = True

    async def act(given: StepRun) -> StepResult | None:
        if given.step.step_id == "b" and broken:
            raise StepError("x", "y")
        return None

    stage = Stage(Acting(act))
    request = requested(
        step("act", id="a"),
        step("act", id="d"),
        step("act", id="b", needs=("a",)),
        step("act", id="c", needs=("b",)),
    )
    await stage.run(request)
    broken, stage.acting.ran = False, []
    new = requested(
        *request.definition.steps,
        generation=2,
        resume_from=resume_from,
        retry_of=request.run_id,
        retry_of_attempts=1,
    )
    stage.sent.messages.clear()
    await stage.attempt(new).run()
    assert sorted(stage.acting.ran) == again
    said = stage.sent.all(StepCompletedV1)
    assert {(one.run_id, one.step_id) for one in said} == {(new.run_id, s) for s in "abcd"}
    await stage.attempt(new.model_copy(update={"attempt": 2})).run()
    assert sorted(stage.acting.ran) == again


async def test_jobs_of_one_generation_are_shared_and_of_another_are_not() -> None:
    given: list[StepRun] = []

    async def act(run: StepRun) -> StepResult | None:
        given.append(run)
        raise StepError("x", "y")

    stage, request = Stage(Acting(act)), requested(step("act"))
    for attempt, generation in ((1, 1), (2, 1), (3, 2)):
        more = {"attempt": attempt, "generation": generation}
        await stage.attempt(request.model_copy(update=more)).run()
    first, lost, asked = (run.job_id for run in given)
    assert first == lost
    assert asked != first


async def test_an_executor_that_is_cut_off_leaves_its_attempt() -> None:
    stage = Stage(Acting(forever))
    stage.sent.cut_off = True
    with pytest.raises(AttemptLostError):
        await stage.attempt(requested(step("act"), lease_seconds=0.15)).run()
    assert stage.acting.stopped == []


async def test_an_attempt_says_that_it_lives() -> None:
    async def act(_: StepRun) -> StepResult | None:
        async with asyncio.timeout(60):
            while not stage.sent.all(AttemptHeartbeatV1):  # noqa: ASYNC110  the same
                await asyncio.sleep(0.01)
        return None

    stage = Stage(Acting(act))
    end = await stage.run(requested(step("act"), lease_seconds=1.5))
    assert end.status is RunStatus.COMPLETED


async def test_progress_is_told_and_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.executor.report.PROGRESS_SECONDS", 0.05)

    async def act(given: StepRun) -> StepResult | None:
        for number in range(100):
            given.tell.progress(rows=number, fraction=number / 100)
            await asyncio.sleep(0.002)
        return None

    stage, begun = Stage(Acting(act)), time.monotonic()
    await stage.run(requested(step("act")))
    told = stage.sent.all(StepProgressedV1)
    most = (time.monotonic() - begun) / 0.05 + 1
    assert 1 <= len(told) <= min(most, 99)
    assert [one.rows for one in told] == sorted(one.rows for one in told)


async def test_messages_come_in_order() -> None:
    steps = [step("act", id="s0")]
    steps += [step("act", id=f"s{n}", needs=(f"s{n - 1}",)) for n in range(1, 5)]
    stage = Stage()
    await stage.run(requested(*steps))
    kinds = [message.wire_type for message in stage.sent.messages]
    assert kinds[0] == AttemptStartedV1.wire_type
    assert kinds[1:-1] == ["step.started.v1", "step.completed.v1"] * 5
    assert len(set(stage.sent.ids)) == len(stage.sent.ids)

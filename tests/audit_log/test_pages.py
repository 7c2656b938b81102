"""Pages, usage and costs as they are read back."""

from datetime import UTC, datetime
from decimal import Decimal

from contracts.audit import CostGroup, ListEventsV1, ListRunCostsV1, ListUsageV1
from contracts.identifiers import StepId, TenantId
from contracts.message import Kind
from contracts.quality import (
    CheckPart,
    CheckStatus,
    ListQualityV1,
    QualityCheckedV1,
    Severity,
)
from contracts.runs import AttemptStartedV1, GetRunV1, ListRunsV1, RunStatus
from contracts.steps import ListStepsV1, StepCompletedV1, StepStartedV1, StepStatus
from contracts.tenants import SuspendTenantV1
from services.audit_log.domain import cost_of
from services.audit_log.page_bounds import PAGE_BYTES
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder
from tests.audit_log.test_views import CONFIG, finished, queued, run_id, step_completed


async def test_runs_come_in_pages_without_gap_or_repeat(recorder: Recorder) -> None:
    tenant = TenantId("page_runs")
    await recorder.record_badly(*(queued(tenant, number) for number in range(7)))
    records, seen, after = Records(recorder.warehouse), [], ""
    while True:
        page, after = await records.runs(ListRunsV1(tenant_id=tenant, limit=3, after=after))
        seen += [run.run_id for run in page]
        if not after:
            break
    assert seen == [run_id(number) for number in reversed(range(7))]
    failed = ListRunsV1(tenant_id=tenant, status=RunStatus.FAILED)
    await recorder.record(finished(tenant, 2, RunStatus.FAILED))
    assert [run.run_id for run in (await records.runs(failed))[0]] == [run_id(2)]


async def test_runs_of_which_little_is_known_yet_have_their_place_in_pages(
    recorder: Recorder,
) -> None:
    tenant = TenantId("page_unknown")

    def began(number: int) -> AttemptStartedV1:
        return AttemptStartedV1(
            tenant_id=tenant,
            run_id=run_id(number),
            config_id=CONFIG,
            attempt=1,
            steps=("load",),
            started_at=START,
        )

    await recorder.record(queued(tenant, 9), *(began(number) for number in range(3)))
    records, seen, after = Records(recorder.warehouse), [], ""
    while True:
        page, after = await records.runs(ListRunsV1(tenant_id=tenant, limit=1, after=after))
        seen += [run.run_id for run in page]
        if not after:
            break
    assert seen == [run_id(number) for number in (9, 2, 1, 0)]


async def test_a_run_that_has_ended_stays_so_whatever_is_said_of_it_later(
    recorder: Recorder,
) -> None:
    tenant = TenantId("page_ended")
    begun = AttemptStartedV1(
        tenant_id=tenant,
        run_id=run_id(1),
        config_id=CONFIG,
        attempt=2,
        steps=("load",),
        started_at=START,
    )
    await recorder.record_badly(queued(tenant, 1), finished(tenant, 1, RunStatus.CANCELLED), begun)
    run = await Records(recorder.warehouse).run(GetRunV1(tenant_id=tenant, run_id=run_id(1)))
    assert run is not None
    assert (run.status, run.attempt) == (RunStatus.CANCELLED, 1)


async def test_costs_of_a_run_that_is_not_recorded_yet_come_last(recorder: Recorder) -> None:
    tenant = TenantId("page_early")

    def step(number: int) -> StepCompletedV1:
        return step_completed(tenant, number, bytes=1 << 40, job_ids=(f"j{number}",))

    await recorder.record(queued(tenant, 1), step(1), step(2))
    for group in (CostGroup.PIPELINE, CostGroup.STEP):
        found, after = [], ""
        while True:
            wanted = ListRunCostsV1(tenant_id=tenant, group_by=group, limit=1, after=after)
            page, after = await Records(recorder.warehouse, lambda: START).costs(wanted)
            found += [cost.config_id for cost in page]
            if not after:
                break
        assert found == [CONFIG, None]


async def test_events_are_filtered_and_bounded_by_bytes(recorder: Recorder) -> None:
    tenant, records = TenantId("page_events"), Records(recorder.warehouse)
    await recorder.record_badly(queued(tenant, 1), queued(tenant, 2))
    wide = [
        SuspendTenantV1(tenant_id=tenant, reason="r" * 1000, requested_by="x" * (PAGE_BYTES // 3))
        for _ in range(5)
    ]
    await recorder.record(*wide)
    found = await records.events(ListEventsV1(tenant_id=tenant, run_id=run_id(1)))
    (only,) = found.events
    assert (only.event_type, only.run_id, found.next_after) == ("run.queued.v1", run_id(1), "")
    seen: list[str] = []
    pages, after = 0, ""
    while True:
        query = ListEventsV1(tenant_id=tenant, event_kind=Kind.COMMAND, after=after, limit=1000)
        found = await records.events(query)
        page, after = found.events, found.next_after
        assert sum(len(event.data) for event in page) < PAGE_BYTES
        seen, pages = seen + [event.event_id for event in page], pages + 1
        if not after:
            break
    assert (len(seen), len(set(seen)), pages) == (5, 5, 3)


async def test_checks_are_those_of_the_last_attempt(recorder: Recorder) -> None:
    tenant = TenantId("page_quality")

    def checked(attempt: int, *statuses: CheckStatus) -> QualityCheckedV1:
        checks = tuple(
            CheckPart(
                name=f"check {number}",
                kind="expect_column_values_to_not_be_null",
                column="cost",
                severity=Severity.FAIL,
                status=status,
                samples=({"id": "7"},),
            )
            for number, status in enumerate(statuses)
        )
        return QualityCheckedV1(
            tenant_id=tenant,
            run_id=run_id(1),
            attempt=attempt,
            step_id=StepId("check"),
            table="page_quality.costs",
            checked_at=START,
            checks=checks,
        )

    passed, failed = CheckStatus.PASSED, CheckStatus.FAILED
    await recorder.record_badly(checked(1, failed, failed, failed), checked(2, passed, failed))
    records = Records(recorder.warehouse, lambda: START)
    wanted = ListQualityV1(tenant_id=tenant, limit=1)
    first, after = await records.quality(wanted)
    second, end = await records.quality(wanted.model_copy(update={"after": after}))
    found = {row.check.name: (row.attempt, row.check.status) for row in (*first, *second)}
    assert found == {"check 0": (2, passed), "check 1": (2, failed)}
    assert end == ""
    assert first[0].check.samples == ({"id": "7"},)
    only = ListQualityV1(tenant_id=tenant, run_id=run_id(1), status=passed)
    assert len((await records.quality(only))[0]) == 1


async def test_usage_is_told_day_by_day(recorder: Recorder) -> None:
    tenant = TenantId("page_usage")
    await recorder.record_badly(queued(tenant, 1), queued(tenant, 2))
    (day,), after = await Records(recorder.warehouse, lambda: START).usage(
        ListUsageV1(tenant_id=tenant)
    )
    assert (day.day, day.runs, day.runs_this_month, after) == (START.date(), 2, 2, "")


async def test_a_refunded_run_is_not_counted_but_told(recorder: Recorder) -> None:
    tenant = TenantId("page_refunds")
    lost = finished(tenant, 1, RunStatus.FAILED).model_copy(update={"refunded": True})
    await recorder.record_badly(
        queued(tenant, 1), queued(tenant, 2), lost, finished(tenant, 2, RunStatus.FAILED)
    )
    records = Records(recorder.warehouse, lambda: START)
    (day,), _ = await records.usage(ListUsageV1(tenant_id=tenant))
    assert (day.runs, day.refunded, day.failed, day.runs_this_month) == (1, 1, 2, 1)


async def test_a_run_costs_what_its_jobs_were_billed_once(recorder: Recorder) -> None:
    """A second attempt that adopts a job of the first reports it again."""
    tenant = TenantId("page_costs")
    tib = 1 << 40

    def step(name: str, job: str, size: int, attempt: int = 1) -> StepCompletedV1:
        return StepCompletedV1(
            tenant_id=tenant,
            run_id=run_id(1),
            attempt=attempt,
            step_id=StepId(name),
            step_type="bq_etl.query",
            status=StepStatus.COMPLETED,
            finished_at=datetime(2026, 3, 14, 9, tzinfo=UTC),
            bytes=size,
            slot_ms=100,
            job_ids=(job,),
        )

    await recorder.record_badly(
        queued(tenant, 1),
        step("load", "j1", tib),
        step("load", "j1", tib, attempt=2),
        step("load", "j2", tib // 2, attempt=2),
        step("sum", "j3", 10 << 20),
    )
    records = Records(recorder.warehouse, lambda: START)
    (pipeline,), _ = await records.costs(ListRunCostsV1(tenant_id=tenant))
    assert (pipeline.config_id, pipeline.runs, pipeline.steps) == (CONFIG, 1, 3)
    assert pipeline.cost == Decimal("9.375059605")
    assert pipeline.slot_ms == 300
    by_step = ListRunCostsV1(tenant_id=tenant, group_by=CostGroup.STEP, limit=1)
    (first,), after = await records.costs(by_step)
    (second,), end = await records.costs(by_step.model_copy(update={"after": after}))
    assert [(c.step_id, c.cost) for c in (first, second)] == [
        ("load", Decimal("9.375")),
        ("sum", Decimal("0.000059605")),
    ]
    assert end == ""


async def test_a_job_of_a_failed_attempt_that_the_next_adopts_is_paid_for_once(
    recorder: Recorder,
) -> None:
    tenant = TenantId("page_adopted")

    def step(attempt: int, status: StepStatus, size: int, *jobs: str) -> StepCompletedV1:
        more = {"attempt": attempt, "status": status, "bytes": size, "job_ids": jobs}
        return step_completed(tenant, 1, **more)

    await recorder.record_badly(
        queued(tenant, 1),
        step(1, StepStatus.FAILED, 1 << 40, "a"),
        step(2, StepStatus.FAILED, 3 << 40, "a", "b"),
        step(3, StepStatus.COMPLETED, 1 << 40, "c"),
    )
    by_run = ListRunCostsV1(tenant_id=tenant, group_by=CostGroup.RUN)
    (cost,), _ = await Records(recorder.warehouse, lambda: START).costs(by_run)
    assert (cost.bytes_billed, cost.cost) == (4 << 40, Decimal(25))


async def test_a_step_that_is_tried_again_is_running_again(recorder: Recorder) -> None:
    tenant = TenantId("page_again")

    def began(attempt: int) -> StepStartedV1:
        return StepStartedV1(
            tenant_id=tenant,
            run_id=run_id(1),
            attempt=attempt,
            step_id=StepId("load"),
            step_type="bq_etl.query",
            started_at=START,
        )

    failed = StepCompletedV1(**began(1).model_dump(), status=StepStatus.FAILED, finished_at=START)
    await recorder.record_badly(began(1), failed, began(2))
    wanted = ListStepsV1(tenant_id=tenant, run_id=run_id(1))
    (step,) = await Records(recorder.warehouse).steps(wanted)
    assert (step.attempt, step.status) == (2, StepStatus.RUNNING)


async def test_steps_that_a_repeated_run_keeps_are_not_paid_for_again(recorder: Recorder) -> None:
    tenant = TenantId("page_kept")

    def step(number: int, *jobs: str) -> StepCompletedV1:
        return step_completed(tenant, number, bytes=1 << 40, job_ids=jobs)

    await recorder.record_badly(queued(tenant, 1), step(1, "j1", "j2"))
    await recorder.record_badly(queued(tenant, 2), step(2, "j1", "j2"))
    by_run = ListRunCostsV1(tenant_id=tenant, group_by=CostGroup.RUN)
    (cost,), _ = await Records(recorder.warehouse, lambda: START).costs(by_run)
    assert (cost.run_id, cost.cost) == (run_id(1), Decimal("6.25"))


def test_money_is_exact_to_the_nano_dollar() -> None:
    assert cost_of(10 << 20, Decimal("6.25")) == Decimal("0.000059605")
    assert cost_of(0, Decimal("6.25")) == 0

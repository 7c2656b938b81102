"""Each filter of each list chooses what it says, and cursors go on within it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from contracts.audit import CostGroup, ListEventsV1, ListRunCostsV1, ListUsageV1
from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.runs import ListRunsV1, RunQueuedV1, RunRequestedV1, RunStatus, SubmitRunV1
from services.audit_log.handlers import Handlers
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder, delivery
from tests.audit_log.stories import definition
from tests.audit_log.test_views import finished, queued, run_id, step_completed

OTHER = ConfigId("hourly")
DAY = timedelta(days=1)
DAYS = [START.date() + number * DAY for number in range(3)]
Page = Callable[[str], Awaitable[tuple[Sequence[Any], str]]]


async def everything(page: Page) -> list[Any]:
    """By its cursor, one at a time."""
    found: list[Any] = []
    after = ""
    while True:
        rows, after = await page(after)
        assert len(rows) <= 1
        found += rows
        if not after:
            return found


def waiting(tenant: TenantId, number: int) -> RunQueuedV1:
    """One run a day; every second one is of another pipeline."""
    config = OTHER if number % 2 else ConfigId("daily")
    told = {"config_id": config, "run_date": DAYS[number], "submitted_at": START + number * DAY}
    return queued(tenant, number).model_copy(update=told)


async def three_days(recorder: Recorder, tenant: TenantId) -> Records:
    for number in range(3):
        at = START + number * DAY
        writer = Handlers(recorder.warehouse, lambda at=at: at)  # type: ignore[misc]
        step = step_completed(tenant, number, bytes=1 << 40, job_ids=(f"j{number}",))
        end = finished(tenant, number, RunStatus.FAILED if number else RunStatus.COMPLETED)
        told = {"config_id": waiting(tenant, number).config_id, "run_date": DAYS[number]}
        said = [waiting(tenant, number), step, end.model_copy(update=told)]
        await writer.record([delivery(message, at=at, sequence=number) for message in said])
    return Records(recorder.warehouse, lambda: START + 3 * DAY)


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({}, [2, 1, 0]),
        ({"status": "FAILED"}, [2, 1]),
        ({"config_id": OTHER}, [1]),
        ({"from_date": DAYS[1]}, [2, 1]),
        ({"to_date": DAYS[1]}, [1, 0]),
        ({"from_date": DAYS[1], "to_date": DAYS[1]}, [1]),
        ({"status": "COMPLETED", "config_id": OTHER}, []),
    ],
    ids=str,
)
async def test_runs(recorder: Recorder, chosen: dict[str, object], wanted: list[int]) -> None:
    tenant = TenantId("filter_runs")
    records = await three_days(recorder, tenant)

    async def page(after: str) -> tuple[Sequence[Any], str]:
        asked = {"tenant_id": tenant, "limit": 1, "after": after, **chosen}
        return await records.runs(ListRunsV1.model_validate(asked))

    assert [run.run_id for run in await everything(page)] == [run_id(n) for n in wanted]


async def test_usage_and_costs_are_chosen_by_day_pipeline_and_run(recorder: Recorder) -> None:
    tenant = TenantId("filter_days")
    records = await three_days(recorder, tenant)

    async def used(**chosen: date) -> list[date]:
        async def page(after: str) -> tuple[Sequence[Any], str]:
            asked = {"tenant_id": tenant, "limit": 1, "after": after, **chosen}
            return await records.usage(ListUsageV1.model_validate(asked))

        return [day.day for day in await everything(page)]

    assert await used() == DAYS[::-1]
    assert await used(from_date=DAYS[1]) == [DAYS[2], DAYS[1]]
    assert await used(to_date=DAYS[1]) == [DAYS[1], DAYS[0]]

    async def spent(**chosen: object) -> list[RunId]:
        async def page(after: str) -> tuple[Sequence[Any], str]:
            asked = {"tenant_id": tenant, "limit": 1, "after": after, **chosen}
            return await records.costs(
                ListRunCostsV1.model_validate({**asked, "group_by": CostGroup.RUN})
            )

        return [cost.run_id for cost in await everything(page)]

    assert await spent() == [run_id(0), run_id(1), run_id(2)]
    assert await spent(from_date=DAYS[1]) == [run_id(1), run_id(2)]
    assert await spent(to_date=DAYS[0]) == [run_id(0)]
    assert await spent(config_id=OTHER) == [run_id(1)]
    assert await spent(run_id=run_id(2)) == [run_id(2)]


async def test_events(recorder: Recorder) -> None:
    tenant = TenantId("filter_events")
    asked = SubmitRunV1(tenant_id=tenant, run_id=run_id(1), config_id=OTHER, run_date=DAYS[0])
    more = {"definition": definition(), "datasets": (tenant,), "max_bytes_billed": 0}
    about = waiting(tenant, 1).model_dump(exclude={"position", "reason"})
    requested = RunRequestedV1.model_validate({**about, **more, "attempt": 1, "lease_seconds": 60})
    said = [asked, waiting(tenant, 1), requested, waiting(tenant, 2)]
    at = [START + timedelta(minutes=number) for number in range(4)]
    writer = Handlers(recorder.warehouse, lambda: START + DAY)
    await writer.record([delivery(one, at=when) for one, when in zip(said, at, strict=True)])
    records = Records(recorder.warehouse, lambda: START + DAY)

    async def found(**chosen: object) -> list[datetime]:
        async def page(after: str) -> tuple[Sequence[Any], str]:
            wanted = {"tenant_id": tenant, "limit": 1, "after": after, **chosen}
            told = await records.events(ListEventsV1.model_validate(wanted))
            return told.events, told.next_after

        return [event.event_time for event in await everything(page)]

    assert await found() == at
    assert await found(event_type="run.queued.v1") == [at[1], at[3]]
    assert await found(event_kind="command") == [at[0]]
    assert await found(source="gateway") == [at[0]]
    assert await found(source="scheduler", run_id=run_id(1)) == [at[1], at[2]]
    assert await found(correlation_id="c-1") == at
    assert await found(correlation_id="c-2") == []
    assert await found(from_time=at[1], to_time=at[3]) == [at[1], at[2]]

"""Where a page begins to read the log: with the days that it can hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from contracts.audit import (
    CostGroup,
    EventOrder,
    ListEventsV1,
    ListRunCostsV1,
    ListUsageV1,
    RunCostPart,
)
from contracts.identifiers import StepId, TenantId, WebhookId
from contracts.message import Message
from contracts.quality import CheckPart, CheckStatus, ListQualityV1, QualityCheckedV1, Severity
from contracts.runs import GetRunV1, ListRunsV1, RunStatus, SubmitRunV1
from contracts.steps import ListStepsV1
from contracts.webhooks import ListNoticesV1, Notice, NoticeSentV1
from libs.warehouse.warehouse import Warehouse
from services.audit_log.handlers import Handlers
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder, delivery
from tests.audit_log.test_views import CONFIG, finished, queued, run_id, step_completed

WEBHOOK = WebhookId("wh_window")
DAY = timedelta(days=1)


class Page(Protocol):
    async def __call__(self, query: Any, /) -> tuple[Sequence[Any], str]: ...


class Noting:
    """Notes from when on each query reads what was recorded."""

    def __init__(self, real: Warehouse) -> None:
        self.project = real.project
        self._real = real
        self.bounds: list[datetime | None] = []

    async def query(self, sql: str, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
        is_read_from = "recorded_at >= @recorded_from" in sql.partition(" QUALIFY ")[0]
        self.bounds.append(bound["recorded_from"] if is_read_from else None)
        return await self._real.query(sql, bound)


async def recorded(recorder: Recorder, message: Message, sent: datetime, at: datetime) -> None:
    """Twice, as deliveries may be."""
    writer = Handlers(recorder.warehouse, lambda: at)
    one = delivery(message, at=sent)
    await writer.record([one])
    await writer.record([one])


def now(recorder: Recorder, days: float) -> Records:
    return Records(recorder.warehouse, lambda: START + days * DAY)


async def numbers(records: Records, tenant: str, **chosen: object) -> list[int]:
    query = ListEventsV1.model_validate({"tenant_id": tenant, **chosen})
    page = (await records.events(query)).events
    return [int(str(event.run_id)[-4:]) for event in page]


async def test_events_go_back_thirty_days_unless_it_is_said(recorder: Recorder) -> None:
    tenant = TenantId("window_events")
    for number, day in enumerate((0, 20, 45)):
        at = START + day * DAY
        await recorded(recorder, queued(tenant, number), at, at)
    late = now(recorder, 46)
    assert await numbers(late, tenant) == [1, 2]
    assert await numbers(late, tenant, from_time=START) == [0, 1, 2]
    assert await numbers(late, tenant, from_time=START + 30 * DAY) == [2]
    assert await numbers(late, tenant, to_time=START + 25 * DAY) == [0, 1]
    assert await numbers(late, tenant, run_id=run_id(0)) == [0]
    assert await numbers(late, tenant, correlation_id="c-1") == [1, 2]
    assert await numbers(late, tenant, correlation_id="c-1", from_time=START) == [0, 1, 2]


async def test_chains_are_whole_unless_it_is_said(recorder: Recorder) -> None:
    tenant, chain = TenantId("window_chain"), EventOrder.CHAIN
    for number, day in enumerate((0, 45)):
        at = START + day * DAY
        await recorded(recorder, queued(tenant, number), at, at)
    late = now(recorder, 46)
    assert sorted(await numbers(late, tenant, order=chain)) == [0, 0, 1, 1]
    assert await numbers(late, tenant, order=chain, from_time=START + DAY) == [1, 1]


async def test_each_page_begins_in_the_log_where_the_one_before_ended(recorder: Recorder) -> None:
    tenant = TenantId("window_pages")
    for number in range(5):
        at = START + number * DAY
        early = timedelta(minutes=-30 if number == 3 else 0)  # its recorder's clock is behind
        await recorded(recorder, queued(tenant, number), at, at + early)
    noting = Noting(recorder.warehouse)
    records = Records(cast("Warehouse", noting), lambda: START + 10 * DAY)
    seen: list[int] = []
    after = ""
    while True:
        found = await records.events(ListEventsV1(tenant_id=tenant, limit=2, after=after))
        seen += [int(str(event.run_id)[-4:]) for event in found.events]
        if not (after := found.next_after):
            break
    assert seen == [0, 1, 2, 3, 4]
    hour = timedelta(hours=1)
    assert noting.bounds == [START - 20 * DAY, START + DAY - hour, START + 3 * DAY - hour]


async def test_a_cursor_of_the_release_before_goes_on_to_what_is_old(recorder: Recorder) -> None:
    """It was of everything: it says when reading began, and nothing of how far back it went."""
    tenant = TenantId("window_cursor")
    for number, day in enumerate((0, 1, 45)):
        at = START + day * DAY
        await recorded(recorder, queued(tenant, number), at, at)
    begun = START + 46 * DAY
    late = now(recorder, 46)
    old = f"{(START + DAY / 2).isoformat()}|any|{begun.isoformat()}|0"
    assert await numbers(late, tenant, after=old) == [1, 2]
    query = ListEventsV1(tenant_id=tenant, after=old, limit=1)
    further = (await late.events(query)).next_after
    assert await numbers(late, tenant, after=further) == [2]


async def test_all_pages_go_back_as_far_as_the_first(recorder: Recorder) -> None:
    tenant = TenantId("window_begun")
    for number in range(3):
        at = START + number * DAY
        await recorded(recorder, queued(tenant, number), at, at)
    chain = {"order": EventOrder.CHAIN, "from_time": START + DAY, "limit": 1}
    noting = Noting(recorder.warehouse)
    records = Records(cast("Warehouse", noting), lambda: START + 10 * DAY)
    query = ListEventsV1.model_validate({"tenant_id": tenant, **chain})
    while True:
        found = await records.events(query)
        if not found.next_after:
            break
        query = query.model_copy(update={"after": found.next_after})
    assert len(noting.bounds) == 4
    assert set(noting.bounds) == {START + DAY - timedelta(hours=1)}


def tried(tenant: TenantId, number: int) -> NoticeSentV1:
    return NoticeSentV1(
        tenant_id=tenant,
        webhook_id=WEBHOOK,
        notice_id=f"msg_{number}",
        notice=Notice.RUN_FINISHED,
        host="hooks.example",
        try_number=1,
        delivered=True,
        http_status=200,
        sent_at=START,
    )


async def tries(records: Records, tenant: TenantId, **chosen: object) -> list[str]:
    asked = {"tenant_id": tenant, "webhook_id": WEBHOOK, "after": "", **chosen}
    found: list[str] = []
    while True:
        page, asked["after"] = await records.notices(ListNoticesV1.model_validate(asked))
        found += [one.notice_id for one in page]
        if not asked["after"]:
            return found


async def test_deliveries_go_back_thirty_days_unless_it_is_said(recorder: Recorder) -> None:
    tenant = TenantId("window_notices")
    for number, day in enumerate((0, 20, 30, 45)):
        at = START + day * DAY
        await recorded(recorder, tried(tenant, number), at, at)
    noting = Noting(recorder.warehouse)
    late = Records(cast("Warehouse", noting), lambda: START + 46 * DAY)
    assert await tries(late, tenant) == ["msg_3", "msg_2", "msg_1"]
    assert await tries(late, tenant, limit=1) == ["msg_3", "msg_2", "msg_1"]
    assert set(noting.bounds) == {START + 16 * DAY - timedelta(hours=1)}
    assert await tries(late, tenant, from_time=START) == ["msg_3", "msg_2", "msg_1", "msg_0"]
    until = START + 25 * DAY
    assert await tries(late, tenant, to_time=until) == ["msg_1", "msg_0"]
    assert await tries(late, tenant, from_time=START + DAY, to_time=until) == ["msg_1"]


async def test_a_cursor_of_deliveries_goes_on_as_far_back_as_it_went(recorder: Recorder) -> None:
    tenant = TenantId("window_old_tries")
    for number, day in enumerate((0, 20, 45)):
        at = START + day * DAY
        await recorded(recorder, tried(tenant, number), at, at)
    first = ListNoticesV1(tenant_id=tenant, webhook_id=WEBHOOK, limit=1)
    page, after = await now(recorder, 46).notices(first)
    assert [one.notice_id for one in page] == ["msg_2"]
    much_later = now(recorder, 60)
    assert await tries(much_later, tenant, after=after) == ["msg_1"]
    of_the_release_before = "|".join(after.split("|")[:2])
    further = await tries(much_later, tenant, after=of_the_release_before, limit=1)
    assert further == ["msg_1", "msg_0"]


async def test_what_was_recorded_before_is_not_even_read(recorder: Recorder) -> None:
    """Seen by what cannot be: it was recorded long before it was sent."""
    tenant = TenantId("window_early")
    await recorded(recorder, queued(tenant, 1), START, START - 2 * DAY)
    await recorded(recorder, tried(tenant, 1), START, START - 2 * DAY)
    records = now(recorder, 1)
    assert await numbers(records, tenant, from_time=START) == []
    assert await tries(records, tenant, from_time=START) == []


async def test_lists_of_runs_checks_and_days_go_back_thirty_days_unless_it_is_said(
    recorder: Recorder,
) -> None:
    tenant = TenantId("window_lists")
    for number, day in enumerate((0, 20, 45)):
        at = START + day * DAY
        about = {"submitted_at": at, "run_date": at.date()}
        await recorded(recorder, queued(tenant, number).model_copy(update=about), at, at)
        await recorded(recorder, checked(tenant, number, at), at, at)
    noting = Noting(recorder.warehouse)
    late = Records(cast("Warehouse", noting), lambda: START + 46 * DAY)

    async def found(page: Page, query: type[Message], **chosen: object) -> list[object]:
        rows: list[Any] = []
        after = ""
        while True:
            asked = {"tenant_id": tenant, "limit": 1, "after": after, **chosen}
            more, after = await page(query.model_validate(asked))
            rows += more
            if not after:
                return [int(row.run_id[-4:]) if hasattr(row, "run_id") else row.day for row in rows]

    first = START.date()
    days = [first + day * DAY for day in (0, 20, 45)]
    assert await found(late.runs, ListRunsV1) == [2, 1]
    assert await found(late.runs, ListRunsV1, from_date=days[0]) == [2, 1, 0]
    assert await found(late.runs, ListRunsV1, to_date=days[1]) == [1, 0]
    assert await found(late.usage, ListUsageV1) == [days[2], days[1]]
    assert await found(late.usage, ListUsageV1, from_date=first) == days[::-1]
    assert await found(late.usage, ListUsageV1, to_date=days[1]) == [days[1], days[0]]
    assert await found(late.quality, ListQualityV1) == [2, 1]
    assert await found(late.quality, ListQualityV1, from_time=START) == [2, 1, 0]
    assert await found(late.quality, ListQualityV1, to_time=START + 25 * DAY) == [1, 0]
    assert await found(late.quality, ListQualityV1, run_id=run_id(0)) == [0]
    hour, lately = timedelta(hours=1), START + 16 * DAY
    assert {lately, lately - hour, START - 2 * hour} < set(noting.bounds)


async def test_costs_of_runs_go_back_thirty_days_unless_it_is_said(recorder: Recorder) -> None:
    tenant = TenantId("window_spent")
    for number, day in enumerate((0, 60, 100)):
        at = START + day * DAY
        told = queued(tenant, number).model_copy(update={"submitted_at": at})
        await recorded(recorder, told, at, at)
        await recorded(recorder, step_completed(tenant, number, job_ids=(f"job-{number}",)), at, at)
    again = START + 101 * DAY
    taken_over = step_completed(tenant, 3, job_ids=("job-1",))  # and paid by run 1
    await recorded(recorder, taken_over, again, again)
    noting = Noting(recorder.warehouse)
    late = Records(cast("Warehouse", noting), lambda: START + 110 * DAY)

    async def spent(**chosen: object) -> list[int]:
        rows: list[RunCostPart] = []
        asked = {"tenant_id": tenant, "group_by": CostGroup.RUN, "limit": 1, "after": "", **chosen}
        while True:
            page, asked["after"] = await late.costs(ListRunCostsV1.model_validate(asked))
            rows += page
            if not asked["after"]:
                return [int(str(row.run_id)[-4:]) for row in rows]

    first = START.date()
    assert await spent() == [2]
    assert await spent(from_date=first) == [0, 1, 2]
    assert await spent(from_date=first + 50 * DAY) == [1, 2]
    assert await spent(to_date=first + 70 * DAY) == [0, 1]
    assert await spent(run_id=run_id(0)) == [0]
    assert await spent(after=run_id(0)) == [1, 2]  # a cursor of the release before
    assert START.replace(hour=0) - 10 * DAY - timedelta(hours=1) in noting.bounds


async def test_a_month_is_counted_from_its_first_day(recorder: Recorder) -> None:
    """Though only its last days are asked for."""
    tenant = TenantId("window_month")
    for number, day in enumerate((0, 10)):
        at = START.replace(day=2) + day * DAY
        told = queued(tenant, number).model_copy(update={"submitted_at": at})
        await recorded(recorder, told, at, at)
    asked = ListUsageV1(tenant_id=tenant, from_date=START.date().replace(day=12))
    (found,), _ = await now(recorder, 5).usage(asked)
    assert (found.runs, found.runs_this_month) == (1, 2)


async def test_a_run_counts_on_its_first_day_whatever_is_asked_for(recorder: Recorder) -> None:
    """It waited from one month into the next: its later messages begin no day of their own."""
    tenant = TenantId("window_straddling")
    first = START.replace(day=1) - 2 * DAY
    for at in (first, first + 3 * DAY):
        await recorded(recorder, queued(tenant, 1).model_copy(update={"submitted_at": at}), at, at)
    alone = START.replace(day=1) + DAY
    await recorded(
        recorder, queued(tenant, 2).model_copy(update={"submitted_at": alone}), alone, alone
    )
    asked = ListUsageV1(tenant_id=tenant, from_date=START.date().replace(day=1))
    (found,), _ = await now(recorder, 5).usage(asked)
    assert (found.day, found.runs, found.runs_this_month) == (alone.date(), 1, 1)


async def test_what_asked_for_a_run_long_before_it_was_decided_on_is_of_its_events(
    recorder: Recorder,
) -> None:
    tenant = TenantId("window_waited")
    asked = SubmitRunV1(tenant_id=tenant, run_id=run_id(1), config_id=CONFIG, run_date=START.date())
    await recorded(recorder, asked, START, START)
    decided = START + timedelta(hours=3)
    told = queued(tenant, 1).model_copy(update={"submitted_at": decided})
    await recorded(recorder, told, decided, decided)
    assert await numbers(now(recorder, 1), tenant, run_id=run_id(1)) == [1, 1]


async def test_all_of_a_run_is_read_though_it_was_asked_for_long_ago(recorder: Recorder) -> None:
    """Its end alone is of the last days."""
    tenant = TenantId("window_run")
    told = queued(tenant, 1).model_copy(update={"submitted_at": START, "revision": 7})
    await recorded(recorder, told, START, START)
    ended = finished(tenant, 1, RunStatus.COMPLETED).model_copy(update={"submitted_at": START})
    at = START + 40 * DAY
    await recorded(recorder, ended, at, at)
    await recorded(recorder, step_completed(tenant, 1), START + DAY, START + DAY)
    late = now(recorder, 41)
    run = await late.run(GetRunV1(tenant_id=tenant, run_id=run_id(1)))
    assert run is not None
    assert (run.revision, run.status) == (7, RunStatus.COMPLETED)
    assert len(await late.steps(ListStepsV1(tenant_id=tenant, run_id=run_id(1)))) == 1
    query = ListEventsV1(tenant_id=tenant, run_id=run_id(1))
    assert len((await late.events(query)).events) == 3


def checked(tenant: TenantId, number: int, at: datetime) -> QualityCheckedV1:
    check = CheckPart(name="rows", kind="rows", severity=Severity.FAIL, status=CheckStatus.PASSED)
    return QualityCheckedV1(
        tenant_id=tenant,
        run_id=run_id(number),
        attempt=1,
        step_id=StepId("check"),
        table="window.costs",
        checked_at=at,
        checks=(check,),
    )

"""What an instance knows of runs: bounded, looked up when it may have missed something."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp
import pytest

from contracts.audit import EventListV1, EventRowPart, ListEventsV1
from contracts.catalogue import entry_of
from contracts.envelope import Envelope
from contracts.examples import example_part
from contracts.identifiers import RunId
from contracts.message import Message
from contracts.runs import (
    AttemptStartedV1,
    GetRunV1,
    RetryRunV1,
    RunFinishedV1,
    RunPart,
    RunQueuedV1,
    RunRequestedV1,
    RunStatus,
    RunV1,
    SubmitRunV1,
)
from contracts.steps import ListStepsV1, StepCompletedV1, StepListV1, StepStatus
from services.gateway import backfill, live
from services.gateway.api import events
from services.gateway.api.edge import Edge
from services.gateway.journal import Heard
from services.gateway.live import LiveRuns
from tests.gateway.edges import KEY, NOW, TENANT, edge_on, serving

RUN = RunId("00000000-0000-4000-8000-000000000001")
OLD = RunId("00000000-0000-4000-8000-000000000002")
PATH = f"/api/v1/pipelines/runs/{RUN}"
LEASE = example_part(RunRequestedV1).lease_seconds


def said(kind: type[Message], **more: object) -> Message:
    about = {"tenant_id": TENANT, "run_id": RUN, **more}
    found: Message = example_part(kind).model_copy(update=about)
    return found


REQUESTED = said(RunRequestedV1, attempt=1)
STARTED = said(AttemptStartedV1, attempt=1)
STEP = said(StepCompletedV1, attempt=1, status=StepStatus.COMPLETED)
FINISHED = said(RunFinishedV1, attempt=1, status=RunStatus.FAILED)


def envelope(message: Message, number: int = 0) -> Envelope:
    return Envelope(
        id=f"{message.wire_type}-{number}",
        type=message.wire_type,
        kind=message.kind,
        source=entry_of(message.wire_type).producers[0].value,
        time=NOW,
        tenant_id=TENANT,
        causation_id=f"{RunRequestedV1.wire_type}-0" if number else "",
        sequence=number,
    )


@dataclass(slots=True)
class Platform:
    """A gateway, what it hears, and what is recorded meanwhile."""

    now: datetime = NOW
    recorded: list[EventRowPart] = field(default_factory=list)
    run: RunPart | None = None
    asked: list[Message] = field(default_factory=list)
    edge: Edge = field(init=False)

    def __post_init__(self) -> None:
        self.edge = edge_on(self._answer, clock=lambda: self.now)

    def hear(self, message: Message, number: int = 0) -> None:
        self.edge.live.apply(message, envelope(message, number))

    def record(self, message: Message, number: int = 0) -> None:
        of = envelope(message, number)
        self.recorded.append(
            EventRowPart(
                event_id=of.id,
                event_type=of.type,
                source=of.source,
                event_time=NOW,
                sequence=number,
                causation_id=of.causation_id,
                data=message.encode().decode(),
                kind=of.kind.value,
                recorded_at=self.now,
            )
        )

    def _answer(self, question: Message) -> Message | None:
        self.asked.append(question)
        match question:
            case ListEventsV1():
                kind = question.event_kind
                found = tuple(row for row in self.recorded if row.kind == kind)
                return EventListV1(tenant_id=TENANT, events=found)
            case GetRunV1():
                mine = self.run is not None and self.run.run_id == question.run_id
                return RunV1(tenant_id=TENANT, run=self.run if mine else None)
            case ListStepsV1():
                return StepListV1(tenant_id=TENANT, run_id=RUN, steps=())
        return None


@dataclass(slots=True)
class Client:
    session: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str, dict[str, object]]:
        async with self.session.get(path) as answer:
            return answer.status, answer.headers.get("X-Source", ""), await answer.json()

    async def told(self) -> list[str]:
        """The types of all that a stream tells, to its end."""
        async with self.session.get(PATH + "/events") as stream, asyncio.timeout(60):
            lines = (await stream.read()).decode().splitlines()
            return [line[7:] for line in lines if line.startswith("event: ")]


@asynccontextmanager
async def visiting(platform: Platform) -> AsyncIterator[Client]:
    async with (
        serving(platform.edge) as url,
        aiohttp.ClientSession(url, headers={"X-API-Key": KEY.text}) as session,
    ):
        yield Client(session)
        platform.edge.stopping.set()
        platform.edge.live.wake_all()


async def test_steps_come_from_memory_only_where_all_of_them_were_heard() -> None:
    whole, restarted = Platform(), Platform()
    whole.hear(REQUESTED)
    for one in (whole, restarted):
        for number, message in enumerate((STARTED, STEP), start=1):
            one.hear(message, number)
        one.hear(FINISHED)
    for one, source in ((whole, "live"), (restarted, "warehouse")):
        async with visiting(one) as client:
            assert (await client.get(PATH + "/steps"))[:2] == (200, source)
            assert (await client.get(PATH))[:2] == (200, "live")


async def test_a_run_that_ended_while_the_gateway_was_cut_off_is_looked_up() -> None:
    platform = Platform()
    for number, message in enumerate((REQUESTED, STARTED)):
        platform.hear(message, number)
        platform.record(message, number)
    platform.now += timedelta(seconds=LEASE * live.SILENT_LEASES)
    async with visiting(platform) as client:
        assert (await client.get(PATH))[2]["status"] == RunStatus.RUNNING
        assert platform.asked == []
        platform.now += timedelta(seconds=1)
        platform.record(FINISHED)
        assert (await client.get(PATH))[2]["status"] == RunStatus.FAILED


@pytest.mark.parametrize(
    ("since", "listens"),
    [(1, 0), (LEASE * live.SILENT_LEASES * 2, 3600)],
    ids=["before this instance listened", "long ago"],
)
async def test_what_is_told_again_of_a_run_is_not_taken_for_how_it_is_now(
    since: float, listens: float
) -> None:
    """As when a client repeats a request of whose run this instance has not heard, or no more."""
    platform = Platform(now=NOW + timedelta(seconds=since - listens))
    platform.now = NOW + timedelta(seconds=since)
    queued = said(RunQueuedV1)
    platform.hear(queued)
    for number, message in enumerate((queued, STARTED, FINISHED)):
        platform.record(message, number)
    async with visiting(platform) as client:
        for _ in range(2):
            assert (await client.get(PATH))[2]["status"] == RunStatus.FAILED
    assert len([one for one in platform.asked if isinstance(one, ListEventsV1)]) == 1


async def test_a_stream_finds_an_end_that_was_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.1)
    platform = Platform()
    for number, message in enumerate((REQUESTED, STARTED)):
        platform.hear(message, number)
        platform.record(message, number)
    platform.record(FINISHED)
    async with visiting(platform) as client:
        told = asyncio.create_task(client.told())
        await following(platform)
        platform.now += timedelta(seconds=LEASE * live.SILENT_LEASES + 1)
        assert (await told)[-1] == RunFinishedV1.wire_type


async def following(platform: Platform) -> None:
    """Return when a stream waits for news."""
    followed = platform.edge.live.followed(TENANT, RUN)
    async with asyncio.timeout(60):
        while not followed.changed._waiters:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0)


async def test_what_was_known_before_a_long_silence_is_not_built_on() -> None:
    platform = Platform()
    for number, message in enumerate((REQUESTED, STARTED)):
        platform.hear(message, number)
    platform.now += timedelta(seconds=LEASE * live.SILENT_LEASES + 1)
    platform.hear(STEP, 7)
    assert platform.edge.live.find(TENANT, RUN) is None


async def test_nothing_is_missed_of_a_run_while_somebody_may_still_begin_it() -> None:
    platform = Platform()
    platform.hear(said(RunRequestedV1, attempt=1, begin_seconds=LEASE * 4))
    platform.now += timedelta(seconds=LEASE * 4 - 1)
    platform.hear(STARTED, 1)
    found = platform.edge.live.find(TENANT, RUN)
    assert found is not None
    assert found.is_complete


async def test_a_queued_run_may_be_silent_for_long() -> None:
    platform = Platform()
    platform.hear(said(RunQueuedV1))
    platform.now += timedelta(days=1)
    platform.hear(REQUESTED)
    found = platform.edge.live.find(TENANT, RUN)
    assert found is not None
    assert found.is_complete


async def test_signs_of_life_come_though_the_run_wakes_its_streams_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.2)
    platform = Platform()
    platform.hear(REQUESTED)
    async with visiting(platform) as client, client.session.get(PATH + "/events") as stream:

        async def wake() -> None:
            while True:
                await asyncio.sleep(0.02)
                platform.edge.live.wake_all()

        waking = asyncio.create_task(wake())
        async with asyncio.timeout(60):
            assert b": still here" in await stream.content.readuntil(b": still here\n\n")
        waking.cancel()


async def test_a_run_is_found_that_another_instance_has_just_accepted() -> None:
    platform = Platform()
    async with visiting(platform) as client:
        asking = asyncio.create_task(client.get(PATH))
        await following(platform)
        platform.hear(REQUESTED)
        assert (await asking)[2]["status"] == RunStatus.PENDING
        assert (await client.get(PATH))[1] == "live"


async def test_a_run_is_told_that_another_instance_has_just_accepted() -> None:
    platform = Platform()
    async with visiting(platform) as client:
        told = asyncio.create_task(client.told())
        await following(platform)
        for message in (REQUESTED, FINISHED):
            platform.hear(message)
        platform.now += timedelta(seconds=10)
        assert await told == [RunRequestedV1.wire_type, RunFinishedV1.wire_type]


@pytest.mark.parametrize("command", [SubmitRunV1, RetryRunV1], ids=["submitted", "retried"])
async def test_a_run_that_nobody_has_decided_on_yet_is_pending(
    monkeypatch: pytest.MonkeyPatch, command: type[Message]
) -> None:
    monkeypatch.setattr(backfill, "NEWBORN_SECONDS", 0.01)
    platform = Platform(run=example_part(RunPart).model_copy(update={"run_id": OLD}))
    asked = said(command, **({"retry_of": OLD} if command is RetryRunV1 else {}))
    platform.record(asked)
    async with visiting(platform) as client:
        status, source, body = await client.get(PATH)
        assert (status, source, body["status"]) == (200, "warehouse", RunStatus.PENDING)
        async with client.session.get(PATH + "/events") as stream:
            assert stream.status == 200


async def test_nothing_is_found_or_kept_of_a_run_that_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backfill, "NEWBORN_SECONDS", 0.01)
    platform = Platform()
    async with visiting(platform) as client:
        answers = await asyncio.gather(*(client.get(PATH + "/events") for _ in range(3)))
        answers += [await client.get(PATH), await client.get(PATH + "/steps")]
    assert {(status, body["code"]) for status, _, body in answers} == {(404, "run_not_found")}
    assert platform.edge.live.runs == 0


def heard(messages: Sequence[Message]) -> list[tuple[Heard, Message]]:
    return [(Heard.of(envelope(one, n), one, NOW), one) for n, one in enumerate(messages)]


def test_what_is_counted_is_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = LiveRuns(lambda: NOW)
    forgotten = runs.followed(TENANT, RUN)
    runs.fill(forgotten, heard([REQUESTED, STARTED, STEP]))
    assert runs.bytes == forgotten.journal.size > 0
    monkeypatch.setattr(live, "KEPT", 1)
    kept = runs.followed(TENANT, OLD)
    assert runs.bytes == 0
    runs.fill(forgotten, heard([REQUESTED, STARTED, STEP, FINISHED]))
    runs.release(forgotten)
    assert runs.bytes == 0
    runs.fill(kept, heard([STARTED, STEP]))  # of an attempt that is not known yet
    assert runs.bytes == kept.journal.size > 0
    runs.drop(TENANT, OLD)
    assert (runs.bytes, runs.runs) == (0, 0)

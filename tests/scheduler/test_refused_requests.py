"""A message that the bus will never take ends its run, as anybody can see, and holds up nothing."""

import logging
from datetime import timedelta

import pytest

from contracts.envelope import Wire
from contracts.quota import GetQuotaV1
from contracts.runs import CancelRunV1, RunFinishedV1, RunRequestedV1, RunStatus
from contracts.schedules import ScheduleMissedV1
from contracts.ticks import TickAppliedV1, TickJob, TickV1
from libs.bus.errors import PublishRefusedError
from services.scheduler import ticking
from services.scheduler.domain.deciding import RequestRefused
from tests.scheduler.instances import Broker
from tests.scheduler.platforms import TENANT, Platform, kinds, run_id, submit
from tests.scheduler.reasons import has_known_reason
from tests.scheduler.simulation import World
from tests.scheduler.test_bad_ledgers import BAD, GOOD, begun, calm, submission, told

WHY = "a message takes at most 10 bytes"
TICK = TickV1(job=TickJob.TRIGGER)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Types of messages that the bus refuses of one tenant; the rest it takes."""
    types = {RunRequestedV1.wire_type}
    takes = Broker.send

    async def send(self: Broker, *emits: Wire) -> None:
        bad = tuple(wire for wire in emits if _is_bad(wire, types))
        await takes(self, *(wire for wire in emits if wire not in bad))
        if bad:
            raise PublishRefusedError("scheduler", WHY, bad)

    monkeypatch.setattr(Broker, "send", send)
    return types


def _is_bad(wire: Wire, types: set[str]) -> bool:
    return wire.attributes["ce-tenantid"] == BAD and wire.attributes["ce-type"] in types


def ended(world: World) -> list[RunFinishedV1]:
    return [
        RunFinishedV1.decode(wire.data)
        for wire in world.published.values()
        if wire.attributes["ce-type"] == RunFinishedV1.wire_type
    ]


async def charged(world: World) -> tuple[int, int]:
    """Of the tenant whose requests are refused: what is charged, and what runs."""
    (said,) = await told(world, world.instances[0], GetQuotaV1(tenant_id=BAD))
    return said.used_today, said.running


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("page", [1, 100])
@pytest.mark.parametrize("job", [*TickJob])
@pytest.mark.parametrize("max_running", [0, 3])
async def test_a_run_whose_request_is_refused_fails_at_once_and_is_not_charged(
    max_running: int,
    job: TickJob,
    page: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ticking, "AT_ONCE", page)
    world = await calm(max_running)
    world.now += timedelta(minutes=10)
    (said,) = await told(world, world.instances[0], TickV1(job=job))
    assert isinstance(said, TickAppliedV1)
    (end,) = ended(world)
    assert (end.tenant_id, end.status, end.refunded) == (BAD, RunStatus.FAILED, True)
    assert end.error is not None
    assert end.error.code == "internal_error"
    assert "its request was refused, as one that is too large is" in end.error.detail
    assert WHY not in end.model_dump_json(), "what the bus says is for operators"
    assert f"of tenant {BAD} is not published: {WHY}" in caplog.text
    assert (begun(world, BAD), begun(world, GOOD)) == (0, 1)
    assert await charged(world) == (0, 0)


def test_a_run_whose_cancellation_was_accepted_is_cancelled() -> None:
    platform = Platform()
    platform.tell(submit(0))
    cancel = CancelRunV1(tenant_id=TENANT, run_id=run_id(0), requested_by="gina")
    assert kinds(platform.tell(cancel)) == ["run.cancel_requested.v1"]
    (end,) = platform.tell(RequestRefused(tenant_id=TENANT, run_id=run_id(0), attempt=1))
    assert isinstance(end, RunFinishedV1)
    assert (end.status, end.error, end.refunded) == (RunStatus.CANCELLED, None, False)
    assert has_known_reason(end)


@pytest.mark.usefixtures("refused")
async def test_ticks_that_come_again_find_nothing_left_to_do() -> None:
    world = await calm()
    world.now += timedelta(minutes=10)
    for _ in range(3):
        await told(world, world.instances[0], TICK)
    assert len(ended(world)) == 1
    due = [name for name in world.objects.bodies if name.startswith("due/") and f"/{BAD}/" in name]
    assert len(due) == 1, "the next time of its schedule"


@pytest.mark.usefixtures("refused")
async def test_what_waits_behind_a_refused_request_is_tried_in_its_turn() -> None:
    world = await calm()
    for number in range(5):  # two have slots; that their requests are refused is not known yet
        await told(world, world.instances[0], submission(world, BAD, number))
    world.now += timedelta(seconds=61)
    await told(world, world.instances[0], TICK)
    assert len({one.run_id for one in ended(world)}) == 5
    assert await charged(world) == (0, 0)


async def test_of_another_message_that_is_refused_the_log_tells(
    refused: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    refused.clear()
    refused.add(ScheduleMissedV1.wire_type)
    world = await calm()
    world.now += timedelta(hours=1)
    with caplog.at_level(logging.ERROR):
        await told(world, world.instances[0], TICK)
    assert "schedule.missed.v1" in caplog.text
    assert f"of tenant {BAD} is not published: {WHY}" in caplog.text
    assert begun(world, GOOD) == 1
    assert begun(world, BAD) == 1

"""Lists that are asked for from the first moment there is, or up to the last."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import pytest

from contracts.audit import (
    CostGroup,
    DeadLetterListV1,
    EventListV1,
    EventOrder,
    ListDeadLettersV1,
    ListEventsV1,
    ListRunCostsV1,
    ListUsageV1,
    RunCostListV1,
    UsageListV1,
)
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.runs import ListRunsV1, RunListV1
from contracts.webhooks import ListNoticesV1
from libs.bus.message import Context
from libs.bus.router import Router
from services.audit_log.store import Records
from tests.audit_log.reader import reading
from tests.audit_log.recorder import Recorder, delivery
from tests.audit_log.test_dead_letters import given_up
from tests.audit_log.test_views import queued, step_completed
from tests.audit_log.test_windows import WEBHOOK, tried

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
TYPE = "letter.extreme.v1"
MOMENTS: Sequence[tuple[Mapping[str, datetime], int]] = [
    ({"from_time": FIRST}, 1),
    ({"from_time": FIRST, "to_time": LAST}, 1),
    ({"to_time": FIRST}, 0),
    ({"from_time": FIRST, "to_time": FIRST}, 0),
    ({"from_time": LAST}, 0),
    ({"from_time": LAST, "to_time": LAST}, 0),
]
DAYS: Sequence[tuple[Mapping[str, date], int]] = [
    ({"from_date": date.min}, 1),
    ({"from_date": date.min, "to_date": date.max}, 1),
    ({"to_date": date.max}, 1),
    ({"to_date": date.min}, 0),
    ({"from_date": date.max}, 0),
]


async def answered(recorder: Recorder, question: Message) -> Message:
    """As the service answers."""
    router = Router()
    recorder.handlers.register(router)
    handler = router.handler_for(question)
    assert handler is not None
    (reply,) = await handler(question, Context(delivery(question).envelope)) or ()
    assert isinstance(reply, Message)
    return reply


@pytest.mark.parametrize(("chosen", "found"), MOMENTS)
async def test_moments_may_be_the_first_and_the_last_there_are(
    recorder: Recorder, chosen: Mapping[str, datetime], found: int
) -> None:
    tenant = TenantId("extreme_moments")
    about = {"tenant_id": tenant, **chosen}
    await recorder.record(tried(tenant, 1), given_up(1, TYPE))
    for order in EventOrder:
        wanted = ListEventsV1.model_validate({**about, "order": order, "limit": 1})
        events = await answered(recorder, wanted)
        assert isinstance(events, EventListV1)
        assert len(events.events) == found
    asked = ListNoticesV1.model_validate({**about, "webhook_id": WEBHOOK, "limit": 1})
    notices, _ = await Records(recorder.warehouse).notices(asked)
    assert len(notices) == found
    letters = await answered(
        recorder, ListDeadLettersV1.model_validate({**chosen, "message_type": TYPE, "limit": 1})
    )
    assert isinstance(letters, DeadLetterListV1)
    assert len(letters.letters) == found


@pytest.mark.parametrize(("chosen", "found"), DAYS)
async def test_days_may_be_the_first_and_the_last_there_are(
    recorder: Recorder, chosen: Mapping[str, date], found: int
) -> None:
    tenant = TenantId("extreme_days")
    about = {"tenant_id": tenant, **chosen}
    await recorder.record(queued(tenant, 1), step_completed(tenant, 1))
    runs = await answered(recorder, ListRunsV1.model_validate(about))
    assert isinstance(runs, RunListV1)
    assert len(runs.runs) == found
    usage = await answered(recorder, ListUsageV1.model_validate(about))
    assert isinstance(usage, UsageListV1)
    assert len(usage.days) == found
    for group in CostGroup:
        wanted = ListRunCostsV1.model_validate({**about, "group_by": group})
        costs = await answered(recorder, wanted)
        assert isinstance(costs, RunCostListV1)
        assert len(costs.costs) == found


@pytest.mark.parametrize("chosen", ["from=0001-01-01T00:00:00Z", "to=0001-01-01T00:00:00Z"])
async def test_a_tenant_that_asks_so_is_answered(recorder: Recorder, chosen: str) -> None:
    async with reading(recorder, "extreme_caller") as client:
        assert await client.status(f"/api/v1/audit/events?{chosen}") == 200

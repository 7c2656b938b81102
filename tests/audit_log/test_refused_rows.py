"""One message that can never be a row is a dead letter; all others are recorded."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden

from contracts.catalogue import topic_of
from contracts.identifiers import RunId, StepId, TenantId
from contracts.message import Message, Service
from contracts.steps import StepCompletedV1, StepStatus
from contracts.topology import SubscriptionSpec, dead_letters_of
from libs.bus.memory import MemoryTransport
from libs.bus.publisher import Publisher
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.clock import system_clock
from services.audit_log.handlers import Handlers
from tests.audit_log.recorder import Recorder

TENANT = TenantId("poisoned")
RUN = "00000000-0000-4000-8000-{:012d}"
TOO_MUCH_FOR_INT64 = 2**70
TOO_MUCH_FOR_NUMERIC = 10**60
STEPS = SubscriptionSpec(
    "steps", topic_of(Service.EXECUTOR), dead_letter_topic=dead_letters_of("steps")
)


def completed(number: int, billed: int = 1) -> Message:
    return StepCompletedV1(
        tenant_id=TENANT,
        run_id=RunId(RUN.format(number)),
        attempt=1,
        step_id=StepId("load"),
        step_type="bq_etl.query",
        status=StepStatus.COMPLETED,
        finished_at=datetime(2026, 3, 14, tzinfo=UTC),
        bytes=billed,
    )


async def test_a_row_that_bigquery_refuses_fails_alone(recorder: Recorder) -> None:
    transport = MemoryTransport()
    transport.add(STEPS)
    router = Router()
    router.record_all(recorder.handlers.record)
    bus = Bus(Service.AUDIT_LOG, router, transport, BusOptions("one", [STEPS]))
    await bus.start()
    said = [completed(number) for number in range(20)]
    said[3] = completed(3, TOO_MUCH_FOR_INT64)
    said[11] = completed(11, TOO_MUCH_FOR_NUMERIC)
    await asyncio.gather(
        *(Publisher(Service.EXECUTOR, transport).send(message) for message in said)
    )
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(rows) < 18:
            rows = list(await recorder.rows("tenants.tenant_step_logs", tenant_id=TENANT))
    await bus.drain(30)
    dead = [w for topic, w in transport.published if topic == dead_letters_of(STEPS.name)]
    assert {wire.data for wire in dead} == {said[3].encode(), said[11].encode()}
    assert len(rows) == 18
    reasons = sorted(wire.attributes["dead-reason"] for wire in dead)
    assert "no row can be made of it: InvalidOperation" in reasons[0]
    assert "row 0 was rejected: bytes_billed does not fit int64" in reasons[1]
    assert not any(str(TOO_MUCH_FOR_INT64) in reason for reason in reasons)


async def test_recording_waits_until_it_is_permitted(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that was granted a moment ago is not known everywhere yet."""
    client = recorder.warehouse._client
    allowed, answers = client.list_tables, [Forbidden("Access Denied: Dataset tenants")]

    def listed(*given: Any, **more: Any) -> Any:
        if answers:
            raise answers.pop()
        return allowed(*given, **more)

    monkeypatch.setattr(client, "list_tables", listed)
    await Recorder(recorder.warehouse, Handlers(recorder.warehouse, system_clock)).record(
        completed(1000)
    )
    assert not answers
    rows = await recorder.rows("tenants.tenant_step_logs", run_id=RUN.format(1000))
    assert len(rows) == 1
